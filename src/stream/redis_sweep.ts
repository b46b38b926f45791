/**
 * What the stream did not bring: events that wait too long are counted from the store, whatever became of Redis, and
 * then published, because nobody knows whether they were. They are not published while the group that counts has entries
 * waiting that are older: these may be the very events.
 */
import { getLogger } from "@logtape/logtape";
import { HubError } from "../errors.ts";
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
import { type SupervisedWorker, wait } from "../worker.ts";
import { RedisConnection, RedisRefusal, type Reply } from "./redis_connection.ts";
import { toEntries } from "./redis_entry.ts";
import { INBOUND_GROUP } from "./redis_inbound.ts";
import { RedisEpochs } from "./redis_epochs.ts";
import { compareIds, millisecondsOf } from "./redis_position.ts";
import { BatchWriter } from "./redis_publisher.ts";
import { ROLLUP_GROUP, type RollupOptions, tellCells } from "./redis_rollup.ts";
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
  #tidiedAt = performance.now();
  #woken = new AbortController();

  constructor(options: SweepOptions) {
    this.#options = options;
    this.#keys = new RedisKeys(options.prefix ?? "events");
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
      await this.#withoutFailing("sweep", async () => {
        // Counting never waits for Redis: a lease that cannot be asked for is none.
        const isFree = !connection.ready || await hold.take(lease, SWEEP_LEASE_MS).catch(() => true);
        if (isFree && !signal.aborted) await this.#round({ connection, writer, signal });
      });
      this.#woken = new AbortController();
      await wait(everyMs, AbortSignal.any([signal, this.#woken.signal]));
    }
    if (connection.ready) {
      await hold.release(lease).catch((cause) => log.debug("The lease runs out by itself", { cause }));
    }
  }

  async #round(
    { connection, writer, signal }: { connection: RedisConnection; writer: BatchWriter; signal: AbortSignal },
  ): Promise<void> {
    const { source, ageMs = SWEEP_AGE_MS, janitorEveryMs = JANITOR_EVERY_MS } = this.#options;
    const { settled, changed } = await source.sweep({ ageMs });
    if (settled > 0) log.info("{settled} events were counted that the stream did not bring", { settled });
    if (!connection.ready) return;
    await tellCells(connection, { keys: this.#keys, cells: changed });
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
        if (!(error instanceof RedisRefusal)) throw error;
        log.debug("Group {group} is not there", { group });
      }
    }
  }

  /** What fails is tried again in the next round. */
  async #withoutFailing(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      if (cause instanceof HubError && cause.code === "unavailable") {
        log.debug("The {what} waits: {cause}", { what, cause });
      } else {
        log.error("The {what} failed; the next round tries again", { what, cause });
      }
    }
  }
}

/** The oldest entry that the counting group has not acknowledged or not even read; `null` when there is none. */
export async function oldestWaiting(connection: RedisConnection, stream: string): Promise<string | null> {
  try {
    const [, pending] = await connection.ask("XPENDING", stream, ROLLUP_GROUP) as readonly Reply[];
    const groups = await connection.ask("XINFO", "GROUPS", stream) as readonly (readonly Reply[])[];
    const group = groups.find((one) => one[one.indexOf("name") + 1] === ROLLUP_GROUP);
    const delivered = String(group?.[group.indexOf("last-delivered-id") + 1] ?? "0-0");
    const unread = toEntries(await connection.ask("XRANGE", stream, `(${delivered}`, "+", "COUNT", 1)).at(0)?.id;
    const waiting = [pending, unread].flatMap((id) => typeof id === "string" ? [id] : []);
    return waiting.sort(compareIds)[0] ?? null;
  } catch (error) {
    // No group, or no stream: nothing waits.
    if (error instanceof RedisRefusal) return null;
    throw error;
  }
}
