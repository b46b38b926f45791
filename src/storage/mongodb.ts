/**
 * The driver over MongoDB, standalone, replicated or sharded, from 4.4 on. Events are stored with the mark that they
 * are not counted; `mongodb_settle.ts` counts them. Any number of processes may share a database.
 */
import type { DeadLetters } from "../dead_letters.ts";
import type { Event } from "../event.ts";
import { MONGODB_HEALTH_MS, MONGODB_SWEEP_AGE_MS } from "../limits.ts";
import type { PublicationSource, SettleSource } from "../publication.ts";
import type { AggregateQuery, AggregateRow } from "../rollup.ts";
import type {
  AppendStatus,
  EventFilter,
  EventPage,
  EventRange,
  EventStore,
  PageRequest,
  RecountReport,
  StoreHealth,
  Total,
} from "../storage.ts";
import type { StoreTransfer } from "../transfer.ts";
import { within } from "../worker.ts";
import { Appender } from "./mongodb_append.ts";
import { type Collections, MongoConnection } from "./mongodb_connection.ts";
import { MongodbDeadLetters } from "./mongodb_dead_letters.ts";
import { erase } from "./mongodb_erase.ts";
import { aggregate, count } from "./mongodb_metrics.ts";
import { getEvent, listEvents } from "./mongodb_pages.ts";
import { Publications } from "./mongodb_publication.ts";
import { purge, PurgeState } from "./mongodb_purge.ts";
import { rebuildHour } from "./mongodb_rebuild.ts";
import { Recount } from "./mongodb_recount.ts";
import { type Clearing, Settler, type Sweep } from "./mongodb_settle.ts";
import { MongodbTransfer } from "./mongodb_transfer.ts";

/** How to open a store. */
export interface MongodbOptions {
  /** `mongodb://…`; a URL without a database means `event_hub`. */
  readonly url: string;
  /**
   * Whether a stream hands out what is stored (the default). Then what nobody is known to have published is marked so
   * when it is counted, and is not purged before it is published.
   */
  readonly isPublished?: boolean;
  /** Whether a database without a store is an error (it is not by default: then one is created). */
  readonly mustExist?: boolean;
  /** The clock of this process, milliseconds. */
  readonly clock?: () => number;
  /** Shortened by tests: `MONGODB_SOCKET_TIMEOUT_MS`. */
  readonly socketTimeoutMs?: number;
}

/** A store in a MongoDB database. */
export class MongodbStore implements EventStore {
  readonly name = "mongodb";
  readonly settlesOnAppend = false;
  /** What a stream beside the store asks of it. */
  readonly publications: PublicationSource;
  /** What a worker of the rollups asks of it. */
  readonly settler: SettleSource;
  /** Inbound messages that could not be taken. They end with the store. */
  readonly deadLetters: DeadLetters;
  /** Moves what it holds. */
  readonly transfer: StoreTransfer;
  readonly #connection: MongoConnection;
  readonly #appender: Appender;
  readonly #settler: Settler;
  readonly #purges = new PurgeState();
  readonly #isPublished: boolean;
  #signOfLife: Promise<void> | null = null;

  private constructor(connection: MongoConnection, { isPublished }: { isPublished: boolean }) {
    this.#connection = connection;
    this.#isPublished = isPublished;
    this.#appender = new Appender(connection, this.#purges);
    this.settler = this.#settler = new Settler(connection);
    this.publications = new Publications(connection, this.#appender);
    this.deadLetters = new MongodbDeadLetters(connection);
    this.transfer = new MongodbTransfer({
      connection,
      appender: this.#appender,
      settler: this.#settler,
      purges: this.#purges,
      settle: () => this.settle(),
    });
  }

  /**
   * Connects, and creates the indexes that are missing. Rejects with an error for a person, that never holds the
   * password, when no server can be reached, it refuses the user, or is too old.
   */
  static async open(
    { url, isPublished = true, clock = Date.now, ...options }: MongodbOptions,
  ): Promise<MongodbStore> {
    return new MongodbStore(await MongoConnection.open(url, { ...options, clock }), { isPublished });
  }

  append(events: readonly Event[]): Promise<readonly AppendStatus[]> {
    return this.#appender.append(events);
  }

  get(tenant: string, id: string): Promise<Event | null> {
    return this.#connection.read(({ events }) => getEvent(events, tenant, id));
  }

  list(filter: EventFilter, page: PageRequest): Promise<EventPage> {
    return this.#connection.read(({ events }) => listEvents(events, filter, page));
  }

  aggregate(query: AggregateQuery): Promise<readonly AggregateRow[]> {
    return this.#connection.read((collections) => aggregate(collections, query));
  }

  count(range: EventRange): Promise<Total> {
    return this.#connection.read((collections) => count(collections, range));
  }

  /**
   * Counts everything. Where a stream stands beside the store, events that are younger than `MONGODB_SWEEP_AGE_MS` keep
   * their mark: the worker that gets them from the stream clears it, because it knows that they were published.
   */
  settle(): Promise<number> {
    return this.#connection.causally(async (collections) => (await this.#settleIn(collections)).settled);
  }

  async #settleIn(collections: Collections): Promise<Pick<Sweep, "settled" | "damagedFrom">> {
    const sweep = (ageMs: number, clearing: Clearing) =>
      this.#settler.sweepIn(collections, { ageMs, clearing, namedMax: 0 });
    if (!this.#isPublished) return await sweep(0, "counted");
    const [old, young] = [await sweep(MONGODB_SWEEP_AGE_MS, "unpublished"), await sweep(0, "left")];
    return {
      settled: old.settled + young.settled,
      damagedFrom: Math.min(old.damagedFrom, young.damagedFrom),
    };
  }

  verify(range: EventRange): Promise<RecountReport> {
    return this.#connection.causally((collections) => new Recount(collections, this.#purges).run(range));
  }

  rebuild(range: EventRange): Promise<RecountReport> {
    return this.#connection.causally((collections) =>
      new Recount(collections, this.#purges).run(
        range,
        (hour) => rebuildHour(collections, { tenant: range.tenant, hour, frozen: this.#purges.throughMinute }),
      )
    );
  }

  purge(receivedBefore: number, { now = Infinity }: { readonly now?: number } = {}): Promise<number> {
    return this.#connection.causally((collections) =>
      purge(collections, {
        border: { receivedBefore, now },
        state: this.#purges,
        settle: () => this.#settleIn(collections),
        now: () => this.#connection.now(),
      })
    );
  }

  erase(tenant: string, userId: string): Promise<number> {
    return this.#connection.run(({ events }) => erase(events, { tenant, userId }));
  }

  /** A server that hangs is asked once, however often health is, and told as such after `MONGODB_HEALTH_MS`. */
  async health(): Promise<StoreHealth> {
    try {
      this.#signOfLife ??= this.#connection.measureClock().finally(() => this.#signOfLife = null);
      await within(MONGODB_HEALTH_MS, "A sign of life of MongoDB", this.#signOfLife);
      return { ok: true, detail: this.#connection.description };
    } catch (error) {
      return { ok: false, detail: error instanceof Error ? error.message : String(error) };
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#connection[Symbol.asyncDispose]();
  }
}
