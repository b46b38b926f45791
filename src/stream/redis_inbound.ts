/**
 * Events that come in by a Redis Stream. Processes take them together, as the group `ingest`. An entry leaves the
 * stream when the store has its event, or when it was put aside among the dead letters because it never can be taken.
 */
import { getLogger } from "@logtape/logtape";
import type { DeadLetter, DeadLetters } from "../dead_letters.ts";
import { HubError, toHubError } from "../errors.ts";
import type { HubApi, IngestResult } from "../hub.ts";
import { INBOUND_FAILURES_MAX, INBOUND_PASS_ENTRIES } from "../limits.ts";
import { Trouble } from "../worker.ts";
import type { RedisConnection } from "./redis_connection.ts";
import type { RawEntry } from "./redis_entry.ts";
import { epochsOf, type EpochSource } from "./redis_epochs.ts";
import { type GroupOptions, GroupWorker } from "./redis_group.ts";
import { decodeInbound, type Inbound } from "./redis_inbound_entry.ts";
import { newMarker, RedisKeys, Script } from "./redis_scripts.ts";

const log = getLogger(["eventhub", "inbound"]);

/** The group of inbound events. */
export const INBOUND_GROUP = "ingest";

/** What the worker of inbound events works with. The times are shortened by tests. */
export interface InboundOptions extends Partial<Omit<GroupOptions, "url" | "group" | "stream" | "prefix" | "admit">> {
  readonly url: string;
  readonly prefix?: string;
  /** What the events are stored in. */
  readonly source: EpochSource;
  readonly hub: Pick<HubApi, "publishBatch">;
  readonly deadLetters: Pick<DeadLetters, "add">;
  /** The clock, milliseconds. */
  readonly now: () => number;
}

/** The worker that takes inbound events. Any number of them share the work. */
export function inboundWorker(options: InboundOptions): GroupWorker {
  const { url, prefix = "events" } = options;
  const keys = new RedisKeys(prefix);
  const epochs = epochsOf(options.source, keys);
  const intake = new Intake(options, keys);
  const group: GroupOptions = {
    entriesMax: INBOUND_PASS_ENTRIES,
    ...options,
    url,
    prefix,
    group: INBOUND_GROUP,
    stream: () => keys.inbound,
    deletesDone: true,
    // Neither what comes in by the keys of another database nor what is left in a former Redis is taken.
    admit: async (connection) => void await epochs(connection).renew(),
  };
  return new GroupWorker(group, (entries, connection) => intake.take(entries, connection));
}

/** Takes entries in, and remembers which of them made the hub fail. */
class Intake {
  readonly #options: InboundOptions;
  readonly #keys: RedisKeys;
  /** How often an entry made the hub fail, by its name. */
  readonly #failures = new Map<string, number>();
  readonly #trouble = new Trouble({
    begun: (cause) => log.warn("Inbound events wait", { cause }),
    over: () => log.info("Inbound events are taken again"),
  });
  readonly #lettersTrouble = new Trouble({
    begun: (cause) => log.warn("Dead letters cannot be kept; their entries wait", { cause }),
    over: () => log.info("Dead letters are kept again"),
  });

  constructor(options: InboundOptions, keys: RedisKeys) {
    this.#options = options;
    this.#keys = keys;
  }

  /** The ids of the entries that are done: stored, or put aside. */
  async take(entries: readonly RawEntry[], connection: RedisConnection): Promise<readonly string[]> {
    const marker = await this.#marker(connection);
    const done: string[] = [];
    const valid: Inbound[] = [];
    const refused: Inbound[] = [];
    for (const entry of entries) {
      const isText = await isUtf8(entry, { connection, stream: this.#keys.inbound });
      const inbound = decodeInbound(entry, { marker, isText });
      (inbound.refusal === null ? valid : refused).push(inbound);
    }
    done.push(...await this.#putAside(refused.map((inbound) => this.#letter(inbound, inbound.refusal!))));
    for (const [tenant, group] of Map.groupBy(valid, ({ tenant }) => tenant)) {
      done.push(...await this.#publish(tenant, group));
    }
    return done;
  }

  async #publish(tenant: string, group: readonly Inbound[]): Promise<readonly string[]> {
    let results: readonly IngestResult[];
    try {
      results = await this.#options.hub.publishBatch(group.map(({ input }) => input), { tenant, source: "redis" });
    } catch (cause) {
      const error = toHubError(cause);
      if (error.code !== "internal") {
        this.#trouble.begin(error);
        return [];
      }
      return await this.#failed(tenant, group, error);
    }
    if (results.every(({ status }) => status !== "unavailable")) this.#trouble.end();
    else this.#trouble.begin(new HubError("unavailable", "The store does not take them"));
    const done: string[] = [];
    const letters: { id: string; letter: DeadLetter }[] = [];
    for (const [i, inbound] of group.entries()) {
      const result = results[i]!;
      if (result.status === "unavailable") continue;
      this.#failures.delete(inbound.name);
      if (result.status === "conflict" || result.status === "invalid") {
        letters.push(this.#letter(inbound, refusalOf(result)));
      } else {
        done.push(inbound.id);
      }
    }
    return [...done, ...await this.#putAside(letters)];
  }

  /** One of them makes the hub fail: each is tried alone, and the one that fails too often is put aside. */
  async #failed(tenant: string, group: readonly Inbound[], error: HubError): Promise<readonly string[]> {
    if (group.length > 1) {
      const done: string[] = [];
      for (const inbound of group) done.push(...await this.#publish(tenant, [inbound]));
      return done;
    }
    const inbound = group[0]!;
    const failures = (this.#failures.get(inbound.name) ?? 0) + 1;
    log.error("Inbound entry {name} made the hub fail, {failures} times now", {
      name: inbound.name,
      failures,
      cause: error.cause,
    });
    if (failures < INBOUND_FAILURES_MAX) {
      // Entries that another process took meanwhile are never heard of again.
      if (this.#failures.size >= INBOUND_PASS_ENTRIES) this.#failures.clear();
      this.#failures.set(inbound.name, failures);
      return [];
    }
    this.#failures.delete(inbound.name);
    return await this.#putAside([this.#letter(inbound, error)]);
  }

  #letter(inbound: Inbound, { code, message, errors }: HubError): { id: string; letter: DeadLetter } {
    const { name, tenant, payload, userId } = inbound;
    const failedAt = this.#options.now();
    const letter = { id: name, tenant, failedAt, code, detail: message, errors, payload, userId };
    return { id: inbound.id, letter };
  }

  /** Keeps letters, and answers which entries they are; none while the store is away. */
  async #putAside(letters: readonly { id: string; letter: DeadLetter }[]): Promise<readonly string[]> {
    if (letters.length === 0) return [];
    try {
      const dropped = await this.#options.deadLetters.add(letters.map(({ letter }) => letter));
      if (dropped > 0) log.error("{dropped} dead letters were dropped: there are too many", { dropped });
    } catch (cause) {
      this.#lettersTrouble.begin(cause);
      return [];
    }
    this.#lettersTrouble.end();
    log.warn("{count} inbound entries cannot be taken and are dead letters now", { count: letters.length });
    return letters.map(({ id }) => id);
  }

  /** Names this inbound stream: ids of entries may come again after a loss of everything, together with the marker. */
  async #marker(connection: RedisConnection): Promise<string> {
    const known = await connection.ask("GET", this.#keys.inboundEpoch);
    if (known !== null) return String(known);
    await connection.ask("SET", this.#keys.inboundEpoch, newMarker(), "NX");
    return String(await connection.ask("GET", this.#keys.inboundEpoch));
  }
}

/** What stands in a text for bytes that are none, and what a text may hold itself. */
const REPLACEMENT = "\ufffd";

/** KEYS stream; ARGV id. How often an entry itself holds the replacement character. */
const REPLACEMENTS = new Script(`
local count = 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])) do
  for _, text in ipairs(entry[2]) do
    local _, found = text:gsub('\\239\\191\\189', '')
    count = count + found
  end
end
return count
`);

/** Whether an entry is text as it was sent. Only one that holds replacement characters has to be looked at in Redis. */
async function isUtf8(
  { id, fields }: RawEntry,
  { connection, stream }: { connection: RedisConnection; stream: string },
): Promise<boolean> {
  const replaced = (fields ?? []).reduce((count, text) => count + text.split(REPLACEMENT).length - 1, 0);
  if (replaced === 0) return true;
  return replaced === await REPLACEMENTS.run(connection, { keys: [stream], args: [id], repeatable: true });
}

function refusalOf(result: Extract<IngestResult, { readonly errors: unknown }>): HubError {
  const code = result.status === "conflict" ? "conflict" : "invalid_argument";
  return new HubError(code, result.errors[0]?.detail ?? "The event is not valid", { errors: result.errors });
}
