/** The connection to MongoDB: how the server is asked, what the database holds, and what errors of it mean. */
import { getLogger } from "@logtape/logtape";
import {
  type ClientSession,
  type Collection,
  type Db,
  type Document,
  type MongoClient,
  MongoError,
  type ObjectId,
} from "mongodb";
import { HubError } from "../errors.ts";
import {
  MONGODB_CLOCK_ANSWER_MS,
  MONGODB_CLOCK_MS,
  MONGODB_PROBLEM_LOG_MS,
  MONGODB_SOCKET_TIMEOUT_MS,
} from "../limits.ts";
import type { CellsDocument, SliceDocument } from "./mongodb_cells.ts";
import {
  connectPatiently,
  createClient,
  databaseOf,
  greet,
  hostsOf,
  refuseDirect,
  serverVersion,
} from "./mongodb_client.ts";
import type { EventDocument } from "./mongodb_documents.ts";
import { DatabaseProblem, explain, loggable, redact } from "./mongodb_errors.ts";
import { Gate } from "./mongodb_gate.ts";
import { createIndexes, requireStore } from "./mongodb_indexes.ts";

const log = getLogger(["eventhub", "mongodb"]);

/** MongoDB's code of an answer that took longer than was allowed. */
const MAX_TIME_EXPIRED = 50;
/** How often the clock is asked at open; the quickest answer is the truest. */
const CLOCK_QUESTIONS = 3;

/** What is known of a tenant. */
export interface TenantDocument {
  readonly _id: string;
  /** Every type ever admitted, in the order of arrival. */
  readonly event_types: readonly string[];
}

/** A life of the stream; see `Epoch`. */
export interface EpochDocument {
  readonly _id: number;
  readonly started_at: Date;
  readonly lost_until?: Date;
  readonly followed_at?: Date;
  readonly run_id: string;
  readonly marker: string;
}

/** What is kept of the database as a whole: what purges leave behind (`purge`), and its name (`database`). */
export interface MetaDocument {
  readonly _id: "purge" | "database";
  /** Largest timestamp of an event ever purged. */
  readonly through?: Date;
  /** Largest `pub` of one. */
  readonly pub?: Date;
  /** Random text that names the database. */
  readonly id?: string;
}

/** Says that a store is being moved; in the collection `meta`, too. While one is valid nothing is purged. */
export interface MoveDocument {
  /** `move:` and a random text. */
  readonly _id: string;
  /** By the server's clock. */
  readonly until: Date;
}

/** A dead letter. */
export interface DeadLetterDocument {
  /** `<tenant>:<id>`. */
  readonly _id: string;
  readonly tenant: string;
  /** Orders letters by arrival. */
  readonly arrival: ObjectId;
  readonly failed_at: Date;
  readonly code: string;
  readonly detail: string;
  /** JSON text. */
  readonly errors: string;
  readonly payload: string;
  readonly user_id: string | null;
}

/** The collections of one database. */
export interface Collections {
  readonly events: Collection<EventDocument>;
  readonly slices: Collection<SliceDocument>;
  readonly rollups: Collection<CellsDocument>;
  readonly tenants: Collection<TenantDocument>;
  readonly epochs: Collection<EpochDocument>;
  readonly meta: Collection<MetaDocument>;
  readonly moves: Collection<MoveDocument>;
  readonly deadLetters: Collection<DeadLetterDocument>;
  /** Inside {@link MongoConnection.causally}: goes with every command. */
  readonly session?: ClientSession;
}

/** An open database. Everything is asked through {@link run}, so that closing waits for what is under way. */
export class MongoConnection implements AsyncDisposable {
  readonly collections: Collections;
  /** What it is, for health: never with the password. */
  readonly description: string;
  readonly #client: MongoClient;
  readonly #database: Db;
  readonly #clock: () => number;
  readonly #reads = new Gate();
  /** `null` = not known yet. */
  #offsetMs: number | null = null;
  /** When the server's clock was last asked for, by this process's. */
  #measuredAt = -Infinity;
  #isClockless = false;
  #hasSessions = false;
  /** When each kind of trouble was logged. */
  readonly #toldAt = new Map<number | string, number>();
  #running = 0;
  #idle = Promise.withResolvers<void>();
  #closing: Promise<void> | null = null;

  private constructor(
    client: MongoClient,
    { database, description, clock }: { database: Db; description: string; clock: () => number },
  ) {
    this.#client = client;
    this.#database = database;
    this.#clock = clock;
    this.description = description;
    this.collections = {
      events: database.collection("events"),
      slices: database.collection("slices"),
      rollups: database.collection("rollups"),
      tenants: database.collection("tenants"),
      epochs: database.collection("epochs"),
      meta: database.collection("meta"),
      moves: database.collection("meta"),
      deadLetters: database.collection("dead_letters"),
    };
  }

  /** Connects, looks at the server, and creates the indexes that are missing. Rejects with an error for a person. */
  static async open(
    url: string,
    { clock, socketTimeoutMs = MONGODB_SOCKET_TIMEOUT_MS, mustExist = false }: {
      clock: () => number;
      socketTimeoutMs?: number;
      mustExist?: boolean;
    },
  ): Promise<MongoConnection> {
    let client: MongoClient | null = null;
    try {
      client = createClient(url, { socketTimeoutMS: socketTimeoutMs });
      await client.connect();
      const database = databaseOf(client, url);
      const version = await serverVersion(database);
      const description = `MongoDB ${version}, database ${database.databaseName} at ${hostsOf(client)}`;
      const connection = new MongoConnection(client, { database, description, clock });
      await refuseDirect(client, database);
      await connection.measureClock(CLOCK_QUESTIONS);
      if (mustExist) await requireStore(database);
      await createIndexes(database, () => connectPatiently(url));
      await connection.#lookForOthers();
      return connection;
    } catch (cause) {
      await client?.close();
      throw new Error(`Cannot open ${redact(url)} (EVENTHUB_STORE_URL): ${explain(cause, url)}`, {
        cause: loggable(cause),
      });
    }
  }

  /** Whether it was closed, or is about to be. */
  get closed(): boolean {
    return this.#closing !== null;
  }

  /** The server's clock, milliseconds. */
  now(): number {
    return Math.round(this.#clock() + (this.#offsetMs ?? 0));
  }

  /**
   * Learns how far the server's clock is from this process's; half the way of the quickest answer is the error. One that
   * took longer than `MONGODB_CLOCK_ANSWER_MS` changes nothing that is known already.
   */
  measureClock(questions = 1): Promise<void> {
    this.#measuredAt = this.#clock();
    return this.run(async () => {
      let quickestMs = this.#offsetMs === null ? Infinity : MONGODB_CLOCK_ANSWER_MS;
      let isTold = false;
      for (let i = 0; i < questions; i++) {
        const sent = this.#clock();
        const { time, hasSessions } = await greet(this.#database);
        const tookMs = this.#clock() - sent;
        this.#hasSessions = hasSessions;
        isTold ||= time !== null;
        // Below zero: this process's own clock was set meanwhile.
        if (time === null || tookMs < 0 || tookMs >= quickestMs) continue;
        quickestMs = tookMs;
        this.#offsetMs = time - (sent + tookMs / 2);
      }
      if (isTold || this.#isClockless) return;
      this.#isClockless = true;
      log.warn("The server does not tell its time: the clocks of all hubs must agree to a second");
    });
  }

  /** Asks the database. Rejects with `unavailable` when it is closed or does not answer. */
  async run<T>(work: (collections: Collections) => Promise<T>): Promise<T> {
    if (this.#closing) throw new HubError("unavailable", "The store is closed");
    this.#refreshClock();
    this.#running++;
    try {
      return await work(this.collections);
    } catch (cause) {
      if (!(cause instanceof MongoError)) throw cause;
      throw this.#unavailable(new DatabaseProblem(cause));
    } finally {
      this.#running--;
      if (this.#running === 0) this.#idle.resolve();
    }
  }

  /** As {@link run}, for a question of a client: of these a few run at once, and too many are `overloaded`. */
  read<T>(work: (collections: Collections) => Promise<T>): Promise<T> {
    return this.#reads.pass(() => this.run(work));
  }

  /**
   * As {@link run}, in a causally consistent session: each command sees at least what those before it saw or wrote, also
   * when another server has become primary in between, which for a moment may know less. A server without sessions
   * has no others that it could be replaced by.
   */
  causally<T>(work: (collections: Collections) => Promise<T>): Promise<T> {
    return this.run((collections) =>
      this.#hasSessions
        ? this.#client.withSession({ causalConsistency: true }, (session) => work({ ...collections, session }))
        : work(collections)
    );
  }

  /** Clients are told little; what it is, the log tells once in a while. */
  #unavailable(problem: DatabaseProblem): HubError {
    const now = performance.now();
    if (now - (this.#toldAt.get(problem.code) ?? -Infinity) >= MONGODB_PROBLEM_LOG_MS) {
      this.#toldAt.set(problem.code, now);
      log.warn("The database does not do what it is asked: {problem}", { problem: problem.message });
    }
    return problem.code === MAX_TIME_EXPIRED
      ? new HubError("overloaded", "The database takes too long to answer this question", { cause: problem })
      : new HubError("unavailable", "The database does not answer", { cause: problem });
  }

  /** Asks for the clock anew from time to time: either of the two may be set, or drift. */
  #refreshClock(): void {
    if (Math.abs(this.#clock() - this.#measuredAt) < MONGODB_CLOCK_MS) return;
    this.measureClock(CLOCK_QUESTIONS).catch((cause) => log.debug("The clock could not be asked for", { cause }));
  }

  /** Waits for what is under way and closes. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    if (this.#running > 0) {
      this.#idle = Promise.withResolvers();
      await this.#idle.promise;
    }
    await this.#client.close();
  }

  /** Documents without a tenant are not this program's, for example those of the prototype. Found by an index. */
  async #lookForOthers(): Promise<void> {
    const events: Collection<Document> = this.#database.collection("events");
    if (await events.findOne({ tenant: null }, { projection: { _id: 1 } }) === null) return;
    log.warn(
      "The collection events has documents of another program, for example the prototype: they are left alone, and " +
        "neither shown nor counted",
    );
  }
}
