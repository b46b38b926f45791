/**
 * Puts what this process stored into the stream, in the order it was stored. It never delays or fails what stores:
 * while Redis is away the newest insertions wait here, and those there is no room for are found by the sweep.
 */
import { getLogger } from "@logtape/logtape";
import { HubError } from "../errors.ts";
import { heldBytes } from "../event.ts";
import {
  IN_FLIGHT_EVENTS_MAX,
  PUBLISH_BATCH_EVENTS,
  REDIS_RETRY_MS,
  REPUBLISH_ATTEMPTS_MAX,
  STREAM_SKEW_MS,
  SWEEP_AGE_MS,
  UNPUBLISHED_BYTES_MAX,
  UNPUBLISHED_EVENTS_MAX,
} from "../limits.ts";
import type { PublicationSource, StoredEvent } from "../publication.ts";
import { Trouble, wait } from "../worker.ts";
import type { RedisConnection } from "./redis_connection.ts";
import { toFields } from "./redis_entry.ts";
import type { RedisEpochs } from "./redis_epochs.ts";
import { newMarker, PUBLISH, type RedisKeys } from "./redis_scripts.ts";

const log = getLogger(["eventhub", "redis"]);

/** What a publisher works with. */
export interface PublisherOptions {
  readonly source: Pick<PublicationSource, "republishAt">;
  readonly connection: RedisConnection;
  readonly epochs: RedisEpochs;
  readonly keys: RedisKeys;
  /** About how many entries the stream holds. */
  readonly entriesMax: number;
}

/** Sends batches to the stream, one at a time; the same batch sent twice in a row is added once. */
export class BatchWriter {
  readonly #options: PublisherOptions;
  readonly #key: string;
  #batches = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#key = options.keys.batch(newMarker());
  }

  /** A new batch; send it until that succeeds. */
  batch(events: readonly StoredEvent[]): { readonly number: number; events: readonly StoredEvent[] } {
    this.#batches += 1;
    return { number: this.#batches, events };
  }

  /** Resolves when the batch is in the stream. Rejects with `unavailable`; then it may be there or not. */
  async send(batch: { readonly number: number; events: readonly StoredEvent[] }): Promise<void> {
    for (let attempt = 0; attempt < REPUBLISH_ATTEMPTS_MAX; attempt++) {
      const [outcome, time, indexes] = await this.#run(batch);
      if (outcome === "sent") return;
      if (outcome === "lost") {
        await this.#options.epochs.renew();
        continue;
      }
      // The clock of Redis is the one all readers see in the ids, so the store follows it.
      const pub = Number(time);
      const far = new Set(indexes as readonly number[]);
      await this.#options.source.republishAt(batch.events.filter((_, i) => far.has(i)), pub);
      batch.events = batch.events.map((event, i) => far.has(i) ? { ...event, pub } : event);
    }
    throw new HubError("unavailable", "Redis and the store cannot agree on the time");
  }

  async #run({ number, events }: { number: number; events: readonly StoredEvent[] }): Promise<readonly unknown[]> {
    const { connection, epochs, keys, entriesMax } = this.#options;
    const epoch = await epochs.current();
    const args: (string | number)[] = [epoch.marker, epoch.runId, number, entriesMax, STREAM_SKEW_MS];
    for (const event of events) {
      const fields = toFields(event);
      args.push(event.pub, fields.length, ...fields);
    }
    const options = { keys: [keys.stream, keys.epoch, keys.floor, this.#key], args, repeatable: false };
    return await PUBLISH.run(connection, options) as readonly unknown[];
  }
}

/** What a publisher asks of the store it follows. */
type FollowedSource = Pick<PublicationSource, "now" | "republishAt" | "watchStored" | "uncountedOf">;

/** Follows the store of this process and publishes. */
export class Publisher implements AsyncDisposable {
  readonly #options: PublisherOptions & { readonly source: FollowedSource };
  readonly #writer: BatchWriter;
  readonly #waiting: StoredEvent[] = [];
  readonly #stopping = new AbortController();
  readonly #unwatch: () => void;
  readonly #trouble = new Trouble({
    begun: (cause) => log.warn("Events cannot be published; they wait", { cause }),
    over: () => log.info("Events are published again; {dropped} are left to the sweep", { dropped: this.#dropped }),
  });
  #running: Promise<void> | null = null;
  /** Of what waits, estimated. */
  #bytes = 0;
  #dropped = 0;

  constructor(options: PublisherOptions & { readonly source: FollowedSource }) {
    this.#options = options;
    this.#writer = new BatchWriter(options);
    this.#unwatch = options.source.watchStored((group) => this.#take(group));
  }

  /** Why nothing is published now; `null` while it is. */
  get trouble(): string | null {
    return this.#trouble.reason;
  }

  /** Resolves when nothing waits, or when it is disposed. */
  async whenIdle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  /** Drops what waits of a user. */
  forget(tenant: string, userId: string): void {
    for (const stored of this.#takeFirst(this.#waiting.length)) {
      if (stored.event.tenant !== tenant || stored.event.userId !== userId) this.#enqueue(stored);
    }
  }

  /** Stops at once; what still waits is found by the sweep. Harmless twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#unwatch();
    this.#stopping.abort();
    await this.#running;
  }

  #take(group: readonly StoredEvent[]): void {
    if (this.#stopping.signal.aborted) return;
    for (const stored of group) this.#enqueue(stored);
    let excess = Math.max(
      0,
      this.#waiting.length - (this.trouble === null ? IN_FLIGHT_EVENTS_MAX : UNPUBLISHED_EVENTS_MAX),
    );
    let bytes = this.#bytes;
    for (const { event } of this.#waiting.slice(0, excess)) bytes -= heldBytes(event);
    while (bytes > UNPUBLISHED_BYTES_MAX) bytes -= heldBytes(this.#waiting[excess++]!.event);
    if (excess > 0) {
      this.#takeFirst(excess);
      if (this.#dropped === 0) log.warn("More events wait for Redis than are kept; the sweep will publish the others");
      this.#dropped += excess;
    }
    this.#running ??= this.#work();
  }

  #enqueue(stored: StoredEvent): void {
    this.#waiting.push(stored);
    this.#bytes += heldBytes(stored.event);
  }

  #takeFirst(count: number): StoredEvent[] {
    const taken = this.#waiting.splice(0, count);
    for (const { event } of taken) this.#bytes -= heldBytes(event);
    return taken;
  }

  async #work(): Promise<void> {
    // What is stored in one turn of the loop goes out in one batch.
    await Promise.resolve();
    while (this.#waiting.length > 0 && !this.#stopping.signal.aborted) {
      await this.#send(this.#writer.batch(this.#takeFirst(PUBLISH_BATCH_EVENTS)));
    }
    // In the same turn as it saw that nothing waits: what is stored a turn later begins anew.
    this.#running = null;
  }

  /** Sends a batch until Redis has it. */
  async #send(batch: ReturnType<BatchWriter["batch"]>): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#leaveToSweep(batch);
        if (batch.events.length > 0) await this.#writer.send(batch);
        this.#trouble.end();
        this.#dropped = 0;
        return;
      } catch (cause) {
        if (this.#stopping.signal.aborted) return;
        this.#trouble.begin(cause);
        await wait(REDIS_RETRY_MS, this.#stopping.signal);
      }
    }
  }

  /** What waited so long that the sweep has counted it is published by the sweep, and would be here twice. */
  async #leaveToSweep(batch: { events: readonly StoredEvent[] }): Promise<void> {
    const { source, epochs } = this.#options;
    const isOld = ({ pub }: StoredEvent) => pub <= source.now() - SWEEP_AGE_MS / 2;
    if (!batch.events.some(isOld)) return;
    // The store is asked when Redis is there, so that no sweep comes between.
    await epochs.look();
    const uncounted = await source.uncountedOf(batch.events);
    batch.events = batch.events.filter(({ pend }) => uncounted.has(pend));
  }
}
