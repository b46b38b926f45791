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
  /** What the scripts left of the stream, and the floor: what lay below it was trimmed. */
  readonly floor: string;
  /** The stream of changed cells. */
  readonly cells: string;
  /** The stream of inbound events, and the marker that names it. */
  readonly inbound: string;
  readonly inboundEpoch: string;
  /** Written to learn whether Redis takes anything. */
  readonly probe: string;
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
    this.stream = prefix;
    this.epoch = `${prefix}:epoch`;
    this.floor = `${prefix}:floor`;
    this.cells = `${prefix}:cells`;
    this.inbound = `${prefix}:in`;
    this.inboundEpoch = `${prefix}:in:epoch`;
    this.probe = `${prefix}:probe`;
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

/**
 * KEYS stream, epoch, floor. What is looked at is what every version of Redis since 6.2 tells. Trimming is told from
 * erasure so: each script that adds or erases notes the first entry it leaves; where another one is first later, somebody
 * trimmed. The floor is then the first entry left, or the last id where none is. The last id that was given out is noted
 * too: where it is ahead of the stream's own, the stream was deleted or made anew, and `lost` is true. So it is where
 * these notes do not name the marker: they are gone, or were never made by an earlier version, and nobody knows.
 */
const STATE = `
local run = redis.call('INFO', 'server'):match('run_id:(%w+)') or ''
local marker = redis.call('GET', KEYS[2]) or ''
local last, first = '0-0', ''
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1]
    elseif info[i] == 'first-entry' and info[i + 1] then first = info[i + 1][1] end
  end
end
local function isBefore(a, b)
  local aTime, aNumber = a:match('^(%d+)-(%d+)$')
  local bTime, bNumber = b:match('^(%d+)-(%d+)$')
  aTime, aNumber, bTime, bNumber = tonumber(aTime), tonumber(aNumber), tonumber(bTime), tonumber(bNumber)
  return aTime < bTime or (aTime == bTime and aNumber < bNumber)
end
local noted = redis.call('HMGET', KEYS[3], 'first', 'last', 'floor', 'marker')
local floor = noted[3] or ''
local lost = noted[4] ~= marker or (noted[2] and isBefore(last, noted[2]))
if noted[1] and noted[1] ~= '' and noted[1] ~= first then floor = first == '' and last or first end
local function firstNow()
  local entry = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  return entry and entry[1] or ''
end
`;

/**
 * KEYS stream, epoch, floor; ARGV marker, run, place, count. Answers `[1, run, marker, last id, floor, milliseconds of
 * the clock, entries behind the place]`, or `[0, run, marker, …]` where the epoch differs or the stream is lost.
 */
export const LOOK = new Script(`${STATE}
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
if lost or run ~= ARGV[2] or marker ~= ARGV[1] then return {0, run, marker, last, floor, now, {}} end
local entries = {}
if ARGV[4] ~= '0' then entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[3], '+', 'COUNT', ARGV[4]) end
return {1, run, marker, last, floor, now, entries}
`);

/**
 * KEYS stream, epoch, floor; ARGV the marker seen, a new one. Sets the new one unless somebody else did; answers which
 * one holds. What was noted of the old epoch is forgotten, the floor too: the stream counts from its last id as it is now.
 */
export const CLAIM = new Script(`${STATE}
if marker == ARGV[1] then
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[3], 'marker', ARGV[2], 'last', last)
  redis.call('SET', KEYS[2], ARGV[2])
end
return redis.call('GET', KEYS[2])
`);

/**
 * KEYS stream, epoch, floor, last batch of this publisher; ARGV marker, run, batch, length of the stream, skew allowed,
 * then for each entry its time of publication, the number of texts that follow, and these: names and values of its
 * fields. Answers `["sent"]`; `["lost"]` where the epoch differs or the stream is lost; or, with nothing added,
 * `["far", t, indexes]`: these lie too far from t, the time of Redis. A batch that is sent again because its answer was lost is not added again.
 */
export const PUBLISH = new Script(`${STATE}
if lost or run ~= ARGV[2] or marker ~= ARGV[1] then return {'lost'} end
if redis.call('GET', KEYS[4]) == ARGV[3] then return {'sent'} end
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
  last = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', unpack(ARGV, at + 2, at + 1 + ARGV[at + 1]))
  at = at + 2 + ARGV[at + 1]
end
local left = firstNow()
if first ~= '' and left ~= first then floor = left == '' and last or left end
redis.call('HSET', KEYS[3], 'first', left, 'last', last, 'floor', floor)
redis.call('SET', KEYS[4], ARGV[3], 'EX', 600)
return {'sent'}
`);

/** KEYS stream, epoch, floor; ARGV ids. Takes entries out and notes what it leaves, so that it does not look like trimming. */
export const FORGET = new Script(`${STATE}
local gone = redis.call('XDEL', KEYS[1], unpack(ARGV))
if gone > 0 then redis.call('HSET', KEYS[3], 'first', firstNow(), 'floor', floor) end
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
