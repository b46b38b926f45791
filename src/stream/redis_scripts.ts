/**
 * The Lua scripts. Each sees one state of Redis: the marker, the run of the server and the stream belong together.
 * `LOOK` and `PUBLISH` do nothing unless both are those of the epoch the caller knows.
 */
import { checkOf } from "../cursor.ts";
import type { RedisConnection, Reply } from "./redis_connection.ts";
import { RedisRefusal } from "./redis_connection.ts";

/** The names of everything the hub holds in Redis. The stream itself is named as the prefix. */
export class RedisKeys {
  readonly stream: string;
  /** The marker of the epoch. */
  readonly epoch: string;
  /** How many entries erasure took out of the stream. */
  readonly erased: string;
  /** The stream of changed cells. */
  readonly cells: string;
  /** The stream of inbound events, and the marker that names it. */
  readonly inbound: string;
  readonly inboundEpoch: string;
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
    this.stream = prefix;
    this.epoch = `${prefix}:epoch`;
    this.erased = `${prefix}:erased`;
    this.cells = `${prefix}:cells`;
    this.inbound = `${prefix}:in`;
    this.inboundEpoch = `${prefix}:in:epoch`;
  }

  /** The last batch of a publisher. */
  batch(publisher: string): string {
    return `${this.#prefix}:batch:${publisher}`;
  }

  /** A consumer's name in a group. */
  slot(group: string, number: number): string {
    return `${this.#prefix}:slot:${group}:${number}`;
  }

  /** A lease on work that is done better by one process at a time. */
  lease(work: string): string {
    return `${this.#prefix}:lease:${work}`;
  }
}

/** A script of Redis; its name is for errors. */
export class Script {
  readonly #text: string;
  #digest: string | null = null;

  constructor(text: string) {
    this.#text = text;
  }

  /** Runs it by its digest, and sends its text only to a server that does not know it. */
  async run(
    connection: RedisConnection,
    options: { keys: readonly string[]; args: readonly (string | number)[]; repeatable: boolean },
  ): Promise<Reply> {
    this.#digest ??= await sha1(this.#text);
    const rest = [options.keys.length, ...options.keys, ...options.args];
    const send = (command: string, script: string) =>
      options.repeatable ? connection.ask(command, script, ...rest) : connection.send(command, script, ...rest);
    try {
      return await send("EVALSHA", this.#digest);
    } catch (error) {
      if (!(error instanceof RedisRefusal && error.is("NOSCRIPT"))) throw error;
      return await send("EVAL", this.#text);
    }
  }
}

const STATE = `
local run = redis.call('INFO', 'server'):match('run_id:(%w+)') or ''
local marker = redis.call('GET', KEYS[2]) or ''
local last, first, removed = '0-0', '', 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  local length, added = 0, nil
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1]
    elseif info[i] == 'length' then length = info[i + 1]
    elseif info[i] == 'entries-added' then added = info[i + 1]
    elseif info[i] == 'first-entry' and info[i + 1] then first = info[i + 1][1] end
  end
  removed = added and (added - length) or 1
end
`;

/**
 * KEYS stream, epoch, erased; ARGV marker, run, place, count. Answers `[1, run, marker, last id, first id, how many
 * entries are gone that nobody erased, entries behind the place]`, or `[0, run, marker, …]` where the epoch differs.
 */
export const LOOK = new Script(`${STATE}
local gone = removed - tonumber(redis.call('GET', KEYS[3]) or '0')
if run ~= ARGV[2] or marker ~= ARGV[1] then return {0, run, marker, last, first, gone, {}} end
local entries = {}
if ARGV[4] ~= '0' then entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[3], '+', 'COUNT', ARGV[4]) end
return {1, run, marker, last, first, gone, entries}
`);

/** KEYS epoch; ARGV the marker seen, a new one. Sets the new one unless somebody else did; answers which one holds. */
export const CLAIM = new Script(`
if (redis.call('GET', KEYS[1]) or '') == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
`);

/**
 * KEYS stream, epoch, last batch of this publisher; ARGV marker, run, batch, length of the stream, skew allowed, then for
 * each entry its time of publication, the number of texts that follow, and these: names and values of its fields.
 * Answers `["sent"]`; `["lost"]` where the epoch differs; or, with nothing added, `["far", t, indexes]`: these lie too far
 * from t, the time of Redis. A batch that is sent again because its answer was lost is not added again.
 */
export const PUBLISH = new Script(`${STATE}
if run ~= ARGV[2] or marker ~= ARGV[1] then return {'lost'} end
if redis.call('GET', KEYS[3]) == ARGV[3] then return {'sent'} end
local time = redis.call('TIME')
local t = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(last:match('^%d+')))
local at, index, far = 6, 0, {}
while at <= #ARGV do
  if math.abs(tonumber(ARGV[at]) - t) > tonumber(ARGV[5]) then far[#far + 1] = index end
  at, index = at + 2 + ARGV[at + 1], index + 1
end
if #far > 0 then return {'far', string.format('%.0f', t), far} end
at = 6
while at <= #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', unpack(ARGV, at + 2, at + 1 + ARGV[at + 1]))
  at = at + 2 + ARGV[at + 1]
end
redis.call('SET', KEYS[3], ARGV[3], 'EX', 600)
return {'sent'}
`);

/** KEYS stream, erased; ARGV ids. Takes entries out and remembers how many, so that it does not look like trimming. */
export const FORGET = new Script(`
local gone = redis.call('XDEL', KEYS[1], unpack(ARGV))
redis.call('INCRBY', KEYS[2], gone)
return gone
`);

/** A random text that names an epoch or an inbound stream. */
export function newMarker(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

/** The check of a marker as positions and cursors hold it. */
export function checkOfMarker(marker: string): string {
  return checkOf(marker).padStart(7, "0");
}

async function sha1(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-1", new TextEncoder().encode(text))).toHex();
}
