/**
 * What the stream did not bring: events that wait too long are counted from the store, whatever became of Redis, and
 * then published, because nobody knows whether they were. They are not published while the group that counts has entries
 * waiting that are older: these may be the very events.
 */
import { getLogger } from "@logtape/logtape";
import {
  JANITOR_EVERY_MS,
  PUBLISH_BATCH_EVENTS,
  STREAM_ENTRIES_DEFAULT,
  STREAM_SKEW_MS,
  SWEEP_AGE_MS,
  SWEEP_EVERY_MS,
  SWEEP_LEASE_MS,
} from "../limits.ts";
import type { StoredEvent } from "../publication.ts";
import { type SupervisedWorker, Trouble, wait } from "../worker.ts";
import { CellNews } from "./redis_cells.ts";
import { RedisConnection, RedisRefusal, type Reply } from "./redis_connection.ts";
import { toEntries } from "./redis_entry.ts";
import { groupsOf } from "./redis_groups.ts";
import { INBOUND_GROUP } from "./redis_inbound.ts";
import { RedisEpochs } from "./redis_epochs.ts";
import { compareIds, millisecondsOf } from "./redis_position.ts";
import { BatchWriter } from "./redis_publisher.ts";
import { ROLLUP_GROUP, type RollupOptions } from "./redis_rollup.ts";
import { RedisKeys } from "./redis_scripts.ts";
import { Hold, removeDeadConsumers } from "./redis_slot.ts";

const log = getLogger(["eventhub", "sweep"]);

/** What a sweep works with. The times are shortened by tests. */
export interface SweepOptions extends Pick<RollupOptions, "url" | "prefix" | "source" | "timeoutMs" | "ageMs"> {
  /** About how many entries the stream holds. */
  readonly entriesMax?: number;
  readonly everyMs?: number;
  readonly janitorEveryMs?: number;
}

/** The worker that sweeps. Several share a lease, so that one of them works; correctness does not depend on it. */
export class SweepWorker implements SupervisedWorker {
  readonly name = "redis sweep";
  readonly #options: SweepOptions;
  readonly #keys: RedisKeys;
  readonly #news: CellNews;
  readonly #trouble = new Trouble({
    begun: (cause) => log.warn("The sweep cannot go on; the next round tries again", { cause }),
    over: () => log.info("The sweep goes on"),
  });
  #tidiedAt = performance.now();
  #woken = new AbortController();
  #swept = 0;

  constructor(options: SweepOptions) {
    this.#options = options;
    this.#keys = new RedisKeys(options.prefix ?? "events");
    this.#news = new CellNews(this.#keys);
  }

  /** Events it counted since the start. */
  get swept(): number {
    return this.#swept;
  }

  /** Why it does not work now; `null` while it does. */
  get trouble(): string | null {
    return this.#trouble.reason;
  }

  /** Begins the next round at once, if none runs. */
  wake(): void {
    this.#woken.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { url, source, timeoutMs, everyMs = SWEEP_EVERY_MS, entriesMax = STREAM_ENTRIES_DEFAULT } = this.#options;
    await using connection = new RedisConnection(url, { name: "eventhub-sweep", timeoutMs, signal });
    const epochs = new RedisEpochs(source, connection, this.#keys);
    const writer = new BatchWriter({ source, connection, epochs, keys: this.#keys, entriesMax });
    const hold = new Hold(connection);
    const lease = this.#keys.lease("sweep");
    while (!signal.aborted) {
      try {
        // Counting never waits for Redis: a lease that cannot be asked for is none.
        const problem = connection.ready ? await problemOf(epochs) : null;
        const isUsable = connection.ready && problem === null;
        const isFree = !isUsable || await hold.take(lease, SWEEP_LEASE_MS).catch(() => true);
        if (isFree && !signal.aborted) await this.#round({ connection, isUsable, writer, signal });
        // What speaks against using this Redis is told by the stream.
        if (problem !== null && epochs.objection === null) throw problem;
        this.#trouble.end();
      } catch (cause) {
        if (!signal.aborted) this.#trouble.begin(cause);
      }
      this.#woken = new AbortController();
      await wait(everyMs, AbortSignal.any([signal, this.#woken.signal]));
    }
    if (connection.ready) {
      await hold.release(lease).catch((cause) => log.debug("The lease runs out by itself", { cause }));
    }
  }

  async #round(
    { connection, isUsable, writer, signal }: {
      connection: RedisConnection;
      isUsable: boolean;
      writer: BatchWriter;
      signal: AbortSignal;
    },
  ): Promise<void> {
    const { source, ageMs = SWEEP_AGE_MS, janitorEveryMs = JANITOR_EVERY_MS } = this.#options;
    const { settled, changed } = await source.sweep({ ageMs });
    this.#swept += settled;
    if (settled > 0) log.info("{settled} events were counted that the stream did not bring", { settled });
    if (!isUsable || !connection.ready) return;
    await this.#news.tell(connection, changed);
    await this.#publish({ connection, writer, signal });
    if (performance.now() - this.#tidiedAt < janitorEveryMs) return;
    this.#tidiedAt = performance.now();
    await this.#tidy(connection);
  }

  async #publish(
    { connection, writer, signal }: { connection: RedisConnection; writer: BatchWriter; signal: AbortSignal },
  ): Promise<void> {
    const { source } = this.#options;
    while (!signal.aborted) {
      // Asked for first: what the group finishes meanwhile is no longer among the unpublished then.
      const oldest = await oldestWaiting(connection, this.#keys.stream);
      const events = await source.unpublished(PUBLISH_BATCH_EVENTS);
      const ready = events.filter(({ pub }) => oldest === null || pub + STREAM_SKEW_MS < millisecondsOf(oldest));
      if (ready.length === 0) return;
      await this.#send(ready, writer);
      if (events.length < PUBLISH_BATCH_EVENTS) return;
    }
  }

  async #send(events: readonly StoredEvent[], writer: BatchWriter): Promise<void> {
    await writer.send(writer.batch(events));
    await this.#options.source.markPublished(events);
    log.info("{count} events were published late", { count: events.length });
  }

  /** Takes out of Redis what retention has purged from the store, and the names of consumers that are gone. */
  async #tidy(connection: RedisConnection): Promise<void> {
    const purged = await this.#options.source.purgedUntil();
    if (purged !== null) {
      await connection.ask("XTRIM", this.#keys.stream, "MINID", Math.max(0, purged - STREAM_SKEW_MS));
    }
    const groups = [[this.#keys.stream, ROLLUP_GROUP], [this.#keys.inbound, INBOUND_GROUP]] as const;
    for (const [stream, group] of groups) {
      try {
        const removed = await removeDeadConsumers(connection, { keys: this.#keys, stream, group });
        if (removed.length > 0) log.info("Consumers {removed} of {group} are gone and removed", { removed, group });
      } catch (error) {
        if (!isMissing(error)) throw error;
        log.debug("Group {group} is not there", { group });
      }
    }
  }
}

/** Why the stream cannot be used; `null` when it can. */
async function problemOf(epochs: RedisEpochs): Promise<unknown> {
  try {
    await epochs.renew();
    return null;
  } catch (cause) {
    return cause;
  }
}

/** The oldest entry that the counting group has not acknowledged or not even read; `null` when there is none. */
export async function oldestWaiting(connection: RedisConnection, stream: string): Promise<string | null> {
  try {
    const [, pending] = await connection.ask("XPENDING", stream, ROLLUP_GROUP) as readonly Reply[];
    const group = (await groupsOf(connection, stream)).find(({ name }) => name === ROLLUP_GROUP);
    const delivered = group?.delivered ?? "0-0";
    const unread = toEntries(await connection.ask("XRANGE", stream, `(${delivered}`, "+", "COUNT", 1)).at(0)?.id;
    const waiting = [pending, unread].flatMap((id) => typeof id === "string" ? [id] : []);
    return waiting.sort(compareIds)[0] ?? null;
  } catch (error) {
    // Nothing waits.
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Whether there is no such group or no such stream. */
function isMissing(error: unknown): boolean {
  return error instanceof RedisRefusal && (error.is("NOGROUP") || error.is("ERR no such key"));
}
