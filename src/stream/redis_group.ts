/**
 * Work from a stream by a consumer group: each entry is given to a handler until one acknowledged it. At the start, and
 * after anything that went wrong, a consumer first reads what it was given and did not acknowledge; what dead consumers
 * left is taken over. A group that is gone, an empty server and a server that hangs are waited out.
 */
import { getLogger } from "@logtape/logtape";
import {
  CLAIM_ENTRIES,
  CLAIM_EVERY_MS,
  CLAIM_IDLE_MS,
  GROUP_FIRST_ENTRIES,
  GROUP_READ_BYTES,
  REDIS_BLOCK_MS,
  REDIS_COMMAND_MS,
  REDIS_RETRY_MS,
} from "../limits.ts";
import { nextDelay, type SupervisedWorker, Trouble, wait } from "../worker.ts";
import { RedisConnection, RedisRefusal, type Reply } from "./redis_connection.ts";
import { type RawEntry, toEntries } from "./redis_entry.ts";
import { groupsOf } from "./redis_groups.ts";
import { compareIds } from "./redis_position.ts";
import { RedisKeys, Script } from "./redis_scripts.ts";
import { skipTrimmed } from "./redis_trimmed.ts";
import { Hold, keepSlot, type Slot, takeSlot } from "./redis_slot.ts";

const log = getLogger(["eventhub", "redis"]);

/**
 * Handles entries and answers which of them are done, by id; they are acknowledged. The others stay, and are given again
 * after a pause, as are all when it rejects.
 */
export type GroupHandler = (entries: readonly RawEntry[], connection: RedisConnection) => Promise<readonly string[]>;

/** What a group works on. */
export interface GroupOptions {
  readonly url: string;
  readonly prefix?: string;
  /** Key of the stream. */
  readonly stream: (keys: RedisKeys) => string;
  readonly group: string;
  /** Entries given to the handler at once; of large ones fewer are read. */
  readonly entriesMax: number;
  /** Whether the stream is the bounded one, which may be trimmed past the group. */
  readonly isTrimmed?: boolean;
  /** Whether what is done leaves the stream, in the same moment as it is acknowledged. */
  readonly deletesDone?: boolean;
  /** Least time from the beginning of a pass to that of the next, milliseconds. */
  readonly passMs?: number;
  /** An entry that was not acknowledged for so long may be taken over, milliseconds; and how often it is looked for. */
  readonly claimIdleMs?: number;
  readonly claimEveryMs?: number;
  readonly blockMs?: number;
  readonly timeoutMs?: number;
  /**
   * Asked by both connections before anything is taken, and again by the one that brought entries, before they are handled;
   * rejects while nothing may be.
   */
  readonly admit?: (connection: RedisConnection) => Promise<void>;
}

/** The connections and the name of one run. */
interface Session {
  /** For blocking reads, and for what is done with what they brought: the other may lead to another server by now. */
  readonly reader: RedisConnection;
  readonly connection: RedisConnection;
  readonly slot: Slot;
  readonly signal: AbortSignal;
}

/** One consumer of a group. */
export class GroupWorker implements SupervisedWorker {
  readonly name: string;
  readonly #options: GroupOptions;
  readonly #keys: RedisKeys;
  readonly #stream: string;
  readonly #handler: GroupHandler;
  readonly #trouble: Trouble;
  readonly #overrun: Trouble;
  #overruns = 0;
  #entriesMax: number;
  #failures = 0;
  #passAt = 0;
  #claimAt = -Infinity;
  #lost = 0;

  constructor(options: GroupOptions, handler: GroupHandler) {
    this.name = `redis ${options.group}`;
    this.#options = options;
    this.#keys = new RedisKeys(options.prefix ?? "events");
    this.#stream = options.stream(this.#keys);
    this.#handler = handler;
    const { group } = options;
    this.#trouble = new Trouble({
      begun: (cause) => log.warn("Group {group} cannot go on; it is tried again", { group, cause }),
      over: () => log.info("Group {group} goes on", { group }),
    });
    this.#overrun = new Trouble({
      begun: () => {
        this.#overruns += 1;
        log.error("The stream was trimmed past group {group}: the sweep counts what it was not given", { group });
      },
      over: () => log.info("Group {group} has caught up with the stream", { group }),
    });
    this.#entriesMax = Math.min(options.entriesMax, GROUP_FIRST_ENTRIES);
  }

  /** How often the stream was trimmed past what the group was given, since the start: an alarm. */
  get overruns(): number {
    return this.#overruns;
  }

  /** Entries that were trimmed before they were given out or acknowledged, since the start: an alarm. */
  get lost(): number {
    return this.#lost;
  }

  /** The group it works for. */
  get group(): string {
    return this.#options.group;
  }

  /** Why it does not work now; `null` while it does. */
  get trouble(): string | null {
    return this.#trouble.reason;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { url, group, blockMs = REDIS_BLOCK_MS, timeoutMs = REDIS_COMMAND_MS } = this.#options;
    await using connection = new RedisConnection(url, { name: `eventhub-${group}`, timeoutMs, signal });
    const reading = { name: `eventhub-${group}-reader`, timeoutMs: blockMs + timeoutMs, signal };
    await using reader = new RedisConnection(url, reading);
    const hold = new Hold(connection);
    while (!signal.aborted) {
      try {
        // Where the two lead to different servers, one of them is refused, and connects anew.
        for (const each of [reader, connection]) await this.#options.admit?.(each);
        const slot = await takeSlot(hold, { keys: this.#keys, group });
        await this.#hold(hold, { reader, connection, slot, signal });
      } catch (cause) {
        if (signal.aborted) return;
        await this.#pause(cause, signal);
      }
    }
  }

  /** Works under a name for as long as it is held. */
  async #hold(hold: Hold, session: Session): Promise<void> {
    const ended = new AbortController();
    const signal = AbortSignal.any([session.signal, ended.signal]);
    // Without Redis the name cannot be renewed, but nothing can be read either: reading finds out by itself.
    const keeping = keepSlot(hold, { slot: session.slot, signal })
      .catch((cause) => session.signal.aborted || this.#trouble.begin(cause))
      .finally(() => ended.abort());
    try {
      await this.#follow({ ...session, signal });
    } finally {
      ended.abort();
      await keeping;
      if (session.connection.ready) {
        await hold.release(session.slot.key).catch((cause) => log.debug("The name runs out by itself", { cause }));
      }
    }
  }

  async #follow(session: Session): Promise<void> {
    await this.#createGroup(session.connection);
    await this.#takeOwn(session);
    const { blockMs = REDIS_BLOCK_MS, passMs = 0, claimEveryMs = CLAIM_EVERY_MS } = this.#options;
    while (!session.signal.aborted) {
      if (performance.now() - this.#claimAt >= claimEveryMs) await this.#takeOver(session);
      await wait(Math.max(0, this.#passAt + passMs - performance.now()), session.signal);
      if (session.signal.aborted) return;
      if (this.#options.isTrimmed) await this.#lookForOverrun(session.connection);
      const entries = await this.#read(session, ">", blockMs);
      if (await this.#pass(entries, session.reader)) this.#trouble.end();
      else await this.#takeOwn(session);
    }
  }

  /** Everything this consumer was given and did not acknowledge, until nothing of it is left. */
  async #takeOwn(session: Session): Promise<void> {
    while (!session.signal.aborted) {
      let isDone = true;
      for (let after = "0"; !session.signal.aborted;) {
        const entries = await this.#read(session, after, null);
        const last = entries.at(-1);
        if (last === undefined) break;
        after = last.id;
        if (!await this.#pass(entries, session.reader)) isDone = false;
      }
      if (isDone) return;
      await this.#pause(null, session.signal);
    }
  }

  /** What other consumers were given and left lying. */
  async #takeOver(session: Session): Promise<void> {
    this.#claimAt = performance.now();
    const { connection } = session;
    const { group, claimIdleMs = CLAIM_IDLE_MS } = this.#options;
    for (let start = "0-0"; !session.signal.aborted;) {
      const count = Math.min(CLAIM_ENTRIES, this.#entriesMax);
      const claim = [this.#stream, group, session.slot.consumer, claimIdleMs, start, "COUNT", count];
      const [next, entries = [], gone] = await connection.send("XAUTOCLAIM", ...claim) as readonly Reply[];
      // It takes those whose message is gone out of the list, however short they lie there.
      this.#reportGone(((gone ?? []) as readonly string[]).length);
      const there = toEntries(entries);
      this.#measure(there);
      await this.#options.admit?.(connection);
      // Before Redis 7 those whose message is gone are taken over without being named: they are found among the own.
      const areAllThere = there.length === (entries as readonly Reply[]).length;
      if (!await this.#pass(there, connection) || !areAllThere) return await this.#takeOwn(session);
      start = String(next);
      if (start === "0-0") return;
    }
  }

  /** Gives entries to the handler, with the connection that brought them; `false` when some of them stay. */
  async #pass(entries: readonly RawEntry[], connection: RedisConnection): Promise<boolean> {
    if (entries.length === 0) return true;
    this.#passAt = performance.now();
    const there = entries.filter(({ fields }) => fields !== null);
    await this.#dropGone(entries.filter(({ fields }) => fields === null).map(({ id }) => id), connection);
    if (there.length === 0) return true;
    const done = await this.#handler(there, connection);
    await this.#acknowledge(done, connection);
    if (done.length < there.length) return false;
    this.#failures = 0;
    return true;
  }

  async #acknowledge(ids: readonly string[], connection: RedisConnection): Promise<void> {
    const { group, deletesDone = false } = this.#options;
    for (let i = 0; i < ids.length; i += ACKNOWLEDGED_AT_ONCE) {
      const part = ids.slice(i, i + ACKNOWLEDGED_AT_ONCE);
      if (!deletesDone) await connection.ask("XACK", this.#stream, group, ...part);
      else await FINISH.run(connection, { keys: [this.#stream], args: [group, ...part], repeatable: true });
    }
  }

  /** Entries whose message is gone will never come again. Who takes them out of the list counts them. */
  async #dropGone(ids: readonly string[], connection: RedisConnection): Promise<void> {
    if (ids.length === 0) return;
    this.#reportGone(Number(await connection.ask("XACK", this.#stream, this.#options.group, ...ids)));
  }

  #reportGone(count: number): void {
    if (count === 0) return;
    this.#lost += count;
    log.error("{count} entries of {stream} were deleted before group {group} was done with them", {
      count,
      stream: this.#stream,
      group: this.#options.group,
    });
  }

  async #read({ reader, slot }: Session, after: string, blockMs: number | null): Promise<readonly RawEntry[]> {
    const { group } = this.#options;
    const block = blockMs === null ? [] : ["BLOCK", blockMs];
    const count = ["COUNT", this.#entriesMax];
    const command = ["GROUP", group, slot.consumer, ...count, ...block, "STREAMS", this.#stream, after];
    const reply = await reader.send("XREADGROUP", ...command) as readonly (readonly Reply[])[] | null;
    const entries = toEntries(reply?.[0]?.[1]);
    await this.#options.admit?.(reader);
    this.#measure(entries);
    return entries;
  }

  /** Of entries as large as these no more are read at once than fit. */
  #measure(entries: readonly RawEntry[]): void {
    if (entries.length === 0) return;
    const fitting = Math.floor(GROUP_READ_BYTES * entries.length / Math.max(1, bytesOf(entries)));
    this.#entriesMax = Math.min(this.#options.entriesMax, Math.max(1, fitting));
  }

  /** What is trimmed before anybody was given it is not even pending: the floor of the stream tells, and Redis 7 how much. */
  async #lookForOverrun(connection: RedisConnection): Promise<void> {
    const [groups, floor] = await Promise.all([
      groupsOf(connection, this.#stream),
      connection.ask("HGET", this.#keys.floor, "floor"),
    ]);
    const delivered = groups.find(({ name }) => name === this.#options.group)?.delivered;
    const isBehind = typeof floor === "string" && floor !== "" && delivered !== undefined &&
      compareIds(delivered, floor) < 0;
    if (!isBehind) return this.#overrun.end();
    // The floor is the first entry that is left: the last one the group was given may be the last one that is gone.
    const skipped = await skipTrimmed(connection, { stream: this.#stream, group: this.#options.group });
    if (skipped !== 0) this.#overrun.begin(floor);
    this.#lost += skipped ?? 0;
  }

  /** A server that is out of memory creates nothing, but what is there can be worked on. */
  async #createGroup(connection: RedisConnection): Promise<void> {
    const { group } = this.#options;
    if ((await groupsOf(connection, this.#stream)).some(({ name }) => name === group)) return;
    try {
      await connection.ask("XGROUP", "CREATE", this.#stream, group, "0", "MKSTREAM");
    } catch (error) {
      if (!(error instanceof RedisRefusal && error.is("BUSYGROUP"))) throw error;
    }
  }

  /** Waits longer with each failure in a row; a group that is gone is made again at once. */
  async #pause(cause: unknown, signal: AbortSignal): Promise<void> {
    if (cause instanceof RedisRefusal && (cause.is("NOGROUP") || cause.is("UNBLOCKED"))) {
      log.warn("Group {group} of {stream} is gone and is made anew", {
        group: this.#options.group,
        stream: this.#stream,
      });
      await wait(REDIS_RETRY_MS, signal);
      return;
    }
    this.#failures += 1;
    if (cause !== null) this.#trouble.begin(cause);
    await wait(Math.min(nextDelay(this.#failures), PAUSE_LONGEST), signal);
  }
}

function bytesOf(entries: readonly RawEntry[]): number {
  let bytes = 0;
  for (const { fields } of entries) for (const text of fields ?? []) bytes += text.length;
  return bytes;
}

/** Lua unpacks a few thousand arguments at most. */
const ACKNOWLEDGED_AT_ONCE = 1_000;

/** KEYS stream; ARGV group, ids. Acknowledged first and deleted later, an entry could stay for ever. */
const FINISH = new Script(`
local ids = {unpack(ARGV, 2)}
redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))
return redis.call('XDEL', KEYS[1], unpack(ids))
`);

/** Redis and the store come back within seconds more often than not. */
const PAUSE_LONGEST = 5_000;
