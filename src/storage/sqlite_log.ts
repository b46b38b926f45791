/** The log of the file as one thread reads it: over its own read-only connection, so that nobody waits for anybody. */
import type { DatabaseSync } from "node:sqlite";
import type { Event } from "../event.ts";
import { SQLITE_TAIL_CACHE_KIBIBYTES } from "../limits.ts";
import type { ChangedCells } from "../stream.ts";
import { EVENT_COLUMNS, eventOf, isErased } from "./sqlite_columns.ts";
import { openForReading, Query, readTransaction } from "./sqlite_connection.ts";
import { Names } from "./sqlite_names.ts";
import { LogStateQuery } from "./sqlite_schema.ts";
import type { SqliteStore } from "./sqlite_store.ts";

/** A row of the log by its number, and the event's id; number 0 and an empty id before the first. */
interface LogPlace {
  readonly seq: number;
  readonly id: string;
}

/** The committed log of a SQLite file, what `LogStream` reads. */
export class SqliteLog implements Disposable {
  /** Names the file among all others. */
  readonly epoch: string;
  readonly #database: DatabaseSync;
  readonly #store: SqliteStore;
  readonly #names: Names;
  readonly #state: LogStateQuery;
  readonly #newest: Query;
  readonly #idAt: Query;
  readonly #before: Query;
  readonly #rows: Query;
  readonly #step: Query;
  readonly #received: Query;

  /** `store` tells of commits. */
  constructor(path: string, store: SqliteStore) {
    const database = openForReading(path, { cacheKibibytes: SQLITE_TAIL_CACHE_KIBIBYTES });
    this.#database = database;
    this.#store = store;
    this.#names = new Names(database);
    this.#state = new LogStateQuery(database);
    this.#newest = new Query(database, "select seq, id from events order by seq desc limit 1");
    this.#idAt = new Query(database, "select id from events where seq = ?");
    this.#before = new Query(database, "select seq, id from events where seq < ? order by seq desc limit 1");
    this.#rows = new Query(database, `select ${EVENT_COLUMNS} from events where seq > ? order by seq limit ?`);
    this.#step = new Query(
      database,
      "select first_seq from index_steps where received_max >= ? and last_seq > ? order by first_seq limit 1",
    );
    this.#received = new Query(
      database,
      "select seq from events where seq >= ? and received_at >= ? order by seq limit 1",
    );
    this.epoch = this.#state.read().epoch;
  }

  /** The last row; the last one purged when none is kept. */
  newest(): LogPlace {
    const row = this.#newest.first() as [number, string] | undefined;
    return row === undefined ? this.purged() : { seq: row[0], id: row[1] };
  }

  /** The last row that was purged: the log begins behind it. */
  purged(): LogPlace {
    const { purgedSeq, purgedId } = this.#state.read();
    return { seq: purgedSeq, id: purgedId };
  }

  /** The id of the event at a row; `null` where there is none. */
  idAt(seq: number): string | null {
    return (this.#idAt.first(seq)?.[0] as string | undefined) ?? null;
  }

  /** The first row received at or after a time (milliseconds); `null` when there is none. */
  firstReceivedFrom(time: number): number | null {
    return readTransaction(this.#database, () => {
      const { purgedSeq, indexedSeq } = this.#state.read();
      const step = this.#step.first(time, purgedSeq) as [number] | undefined;
      const from = step === undefined ? Math.max(indexedSeq, purgedSeq) + 1 : step[0];
      return (this.#received.first(from, time)?.[0] as number | undefined) ?? null;
    });
  }

  /** The last row before a number; `null` when there is none. */
  before(seq: number): LogPlace | null {
    const row = this.#before.first(seq) as [number, string] | undefined;
    return row === undefined ? null : { seq: row[0], id: row[1] };
  }

  /** Rows behind a number, in order; `event` is `null` where it was erased. */
  read(options: { after: number; limit: number }): { seq: number; id: string; event: Event | null }[] {
    return this.#rows.all(options.after, options.limit).map((row) => ({
      seq: row[0] as number,
      id: row[2] as string,
      event: isErased(row) ? null : eventOf(row, this.#names),
    }));
  }

  /** Runs reads that must see the same commit. */
  together<T>(work: () => T): T {
    return readTransaction(this.#database, work);
  }

  /** Calls back after every commit that made the log longer. */
  watch(listener: () => void): () => void {
    return this.#store.watch(listener, this.newest().seq);
  }

  /** Calls back with what each commit changed, and after a gap with `all`. */
  watchCells(listener: (cells: ChangedCells) => void): () => void {
    return this.#store.watchCells(listener, this.newest().seq);
  }

  /** Closes the connection. Harmless twice. */
  [Symbol.dispose](): void {
    if (this.#database.isOpen) this.#database.close();
  }
}
