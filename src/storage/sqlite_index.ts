/**
 * Fills the index tables and the histograms behind the commits, a stretch of the log at a time. Rows not yet in them
 * are few and are scanned by whoever reads; so the path of a commit stays free of random writes.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { Histogram } from "../histogram.ts";
import { INDEX_BACKLOG_ROWS_MAX, INDEX_STEP_CELLS, INDEX_STEP_ROWS, INDEX_STEP_ROWS_MIN } from "../limits.ts";
import { HOUR_MS, MINUTE_MS, minuteOf } from "../window.ts";
import { StoredRows } from "./sqlite_append.ts";
import { cellKey, histogramId } from "./sqlite_cells.ts";
import { Query, writeTransaction } from "./sqlite_connection.ts";
import {
  bucketOf,
  encodeTimeEntries,
  encodeUserEntries,
  STRETCH_SEQS,
  USER_BUCKETS,
  userHash,
  userRowId,
} from "./sqlite_postings.ts";
import { LogStateQuery } from "./sqlite_schema.ts";

/** A backlog of so many times what is allowed comes of steps that fail. */
const BROKEN = 8;

/** One stretch of the log as columns. */
type Stretch = Pick<StoredRows, "seqs" | "tenants" | "types" | "timestamps" | "amounts" | "receivedAts" | "users">;

/** Keeps the rows that are not indexed yet, and indexes them. */
export class Indexer {
  readonly #database: DatabaseSync;
  readonly #stepRows: number;
  readonly #state: LogStateQuery;
  readonly #selectTail: Query;
  readonly #insertStep: StatementSync;
  readonly #insertByTime: StatementSync;
  readonly #insertByUser: StatementSync;
  readonly #selectHistogram: Query;
  readonly #insertHistogram: StatementSync;
  readonly #setIndexed: StatementSync;
  #tail: Stretch = new StoredRows();
  #paused = false;
  /** Room for one histogram after the other. */
  readonly #scratch = new Histogram();

  /** `stepRows`: how many rows wait before a step, and go into it at most. */
  constructor(database: DatabaseSync, { stepRows = INDEX_STEP_ROWS } = {}) {
    this.#stepRows = stepRows;
    this.#database = database;
    this.#state = new LogStateQuery(database);
    this.#selectTail = new Query(
      database,
      "select seq, tenant, type, ts, amount, received_at, user_id from events where seq > ? order by seq limit ?",
    );
    this.#insertStep = database.prepare("insert into index_steps(first_seq, last_seq, received_max) values (?, ?, ?)");
    this.#insertByTime = database.prepare(
      "insert into index_by_time(tenant, minute, first_seq, entries) values (?, ?, ?, ?)",
    );
    this.#insertByUser = database.prepare("insert into index_by_user(id, entries) values (?, ?)");
    this.#selectHistogram = new Query(
      database,
      "select buckets from histograms where id = ?",
    );
    this.#insertHistogram = database.prepare(
      "insert into histograms(id, buckets) values (?, ?) on conflict do update set buckets = excluded.buckets",
    );
    this.#setIndexed = database.prepare("update meta set value = cast(? as integer) where name = 'indexed_seq'");
    this.reload();
  }

  /** Rows that wait. */
  get backlog(): number {
    return this.#tail.seqs.length;
  }

  /** Whether enough rows wait for a step. */
  get isDue(): boolean {
    return !this.#paused && this.backlog >= this.#stepRows;
  }

  /** Ends a pause that no commit can end any more, because so much waits that none is taken. */
  resumeWhenBroken(): void {
    if (this.#isBroken) this.#paused = false;
  }

  /** Throws when so much waits that the index is not behind but broken: memory must stay bounded. */
  assertFollows(): void {
    if (!this.#isBroken) return;
    throw new Error(`The index does not follow: ${this.backlog} events are not in it`);
  }

  get #isBroken(): boolean {
    return this.backlog > BROKEN * INDEX_BACKLOG_ROWS_MAX;
  }

  /** Whether a step is worth while when there is nothing else to do. */
  get isWorthwhile(): boolean {
    return !this.#paused && this.backlog >= INDEX_STEP_ROWS_MIN;
  }

  /** Whether a step must come before so many more rows are stored. */
  mustStepBefore(rows: number): boolean {
    return !this.#paused && this.backlog > 0 && this.backlog + rows > INDEX_BACKLOG_ROWS_MAX;
  }

  /** Waits for the next commit that succeeds: a disk that takes no events takes no index either. */
  pause(): void {
    this.#paused = true;
  }

  /** Takes the rows of a commit. */
  add(rows: Stretch): void {
    const tail = this.#tail;
    this.#paused = false;
    for (let i = 0; i < rows.seqs.length; i++) {
      tail.seqs.push(rows.seqs[i]!);
      tail.tenants.push(rows.tenants[i]!);
      tail.types.push(rows.types[i]!);
      tail.timestamps.push(rows.timestamps[i]!);
      tail.amounts.push(rows.amounts[i]!);
      tail.receivedAts.push(rows.receivedAts[i]!);
      tail.users.push(rows.users[i]!);
    }
  }

  /** Reads the waiting rows from the file: at the start, and when they were changed there. */
  reload(): void {
    const tail = new StoredRows();
    let after = this.#state.read().indexedSeq;
    while (true) {
      const rows = this.#selectTail.all(after, INDEX_STEP_ROWS) as [...number[], string][];
      for (const [seq, tenant, type, timestamp, amount, receivedAt, user] of rows as number[][]) {
        tail.seqs.push(seq!);
        tail.tenants.push(tenant!);
        tail.types.push(type!);
        tail.timestamps.push(timestamp!);
        tail.amounts.push(amount!);
        tail.receivedAts.push(receivedAt!);
        tail.users.push(user as unknown as string);
      }
      if (rows.length < INDEX_STEP_ROWS) break;
      after = tail.seqs.at(-1)!;
    }
    this.#tail = tail;
  }

  /** Makes the waiting rows of a user nobody's, as was done in the file. */
  anonymise(tenant: number, userId: string): void {
    const { tenants, users } = this.#tail;
    for (let i = 0; i < users.length; i++) if (users[i] === userId && tenants[i] === tenant) users[i] = "";
  }

  /**
   * Indexes the first waiting rows in one transaction, and none beyond the seq `through`. Throws when
   * it cannot: nothing is lost then.
   */
  step(through = Infinity): void {
    const length = this.#stepLength(through);
    if (length === 0) return;
    const tail = this.#tail;
    const cut = <T>(column: T[]) => column.slice(0, length);
    const stretch: Stretch = {
      seqs: cut(tail.seqs),
      tenants: cut(tail.tenants),
      types: cut(tail.types),
      timestamps: cut(tail.timestamps),
      amounts: cut(tail.amounts),
      receivedAts: cut(tail.receivedAts),
      users: cut(tail.users),
    };
    const lastSeq = stretch.seqs[length - 1]!;
    // What a crash may lose of this is found again in the log, and the next commit syncs the file anyway.
    this.#database.exec("pragma synchronous = normal");
    try {
      writeTransaction(this.#database, () => {
        this.#insertStep.run(stretch.seqs[0]!, lastSeq, maximum(stretch.receivedAts));
        this.#addToTimeIndex(stretch);
        this.#addToUserIndex(stretch);
        this.#addToHistograms(stretch);
        this.#setIndexed.run(lastSeq);
      });
    } finally {
      this.#database.exec("pragma synchronous = full");
    }
    for (const column of [tail.seqs, tail.tenants, tail.types, tail.timestamps, tail.amounts, tail.receivedAts]) {
      column.splice(0, length);
    }
    tail.users.splice(0, length);
  }

  #stepLength(through: number): number {
    const { seqs, timestamps, types } = this.#tail;
    let length = Math.min(seqs.length, this.#stepRows);
    while (length > 0 && seqs[length - 1]! > through) length--;
    // Rows of many minutes are dearer than rows of a few: the step ends earlier.
    const cells = new Set<number>();
    for (let i = 0; i < length; i++) {
      cells.add(cellKey(timestamps[i]!, { span: MINUTE_MS, type: types[i]! }));
      if (cells.size >= INDEX_STEP_CELLS && i + 1 >= INDEX_STEP_ROWS_MIN) length = i + 1;
    }
    // Seqs that no row got make holes, so that a stretch may be too long for its entries.
    while (length > 0 && seqs[length - 1]! - seqs[0]! >= STRETCH_SEQS) length--;
    return length;
  }

  #addToTimeIndex(stretch: Stretch): void {
    const firstSeq = stretch.seqs[0]!;
    const chosen = new Map<number, Map<number, number[]>>();
    for (let i = 0; i < stretch.seqs.length; i++) {
      const minute = minuteOf(stretch.timestamps[i]!);
      let ofTenant = chosen.get(stretch.tenants[i]!);
      if (ofTenant === undefined) chosen.set(stretch.tenants[i]!, ofTenant = new Map());
      const rows = ofTenant.get(minute);
      if (rows === undefined) ofTenant.set(minute, [i]);
      else rows.push(i);
    }
    for (const [tenant, minutes] of chosen) {
      for (const [minute, rows] of minutes) {
        const entries = encodeTimeEntries(stretch, { chosen: rows, minute, firstSeq });
        this.#insertByTime.run(tenant, minute, firstSeq, entries);
      }
    }
  }

  #addToUserIndex(stretch: Stretch): void {
    const firstSeq = stretch.seqs[0]!;
    const hashes = new Uint32Array(stretch.seqs.length);
    const chosen: number[][] = Array.from({ length: USER_BUCKETS }, () => []);
    stretch.users.forEach((user, i) => {
      // An erased event has no user and is not found by one.
      if (user === "") return;
      hashes[i] = userHash(stretch.tenants[i]!, user);
      chosen[bucketOf(hashes[i]!)]!.push(i);
    });
    chosen.forEach((rows, bucket) => {
      if (rows.length === 0) return;
      const entries = encodeUserEntries({ ...stretch, hashes }, { chosen: rows, firstSeq });
      this.#insertByUser.run(userRowId(bucket, firstSeq), entries);
    });
  }

  #addToHistograms(stretch: Stretch): void {
    for (const span of [MINUTE_MS, HOUR_MS]) {
      const cells = new Map<number, number[]>();
      for (let i = 0; i < stretch.seqs.length; i++) {
        const key = cellKey(stretch.timestamps[i]!, { span, type: stretch.types[i]! });
        const rows = cells.get(key);
        if (rows === undefined) cells.set(key, [i]);
        else rows.push(i);
      }
      for (const rows of cells.values()) this.#addToHistogram(span, stretch, rows);
    }
  }

  /** Adds rows of one cell to its histogram. */
  #addToHistogram(span: number, stretch: Stretch, rows: readonly number[]): void {
    const start = Math.floor(stretch.timestamps[rows[0]!]! / span) * span;
    const id = histogramId({ span, start, type: stretch.types[rows[0]!]! });
    const histogram = this.#scratch;
    histogram.clear();
    for (const i of rows) histogram.add(stretch.amounts[i]!);
    const stored = this.#selectHistogram.first(id);
    if (stored !== undefined) Histogram.decode(stored[0] as Uint8Array, histogram);
    this.#insertHistogram.run(id, histogram.encode());
  }
}

function maximum(values: readonly number[]): number {
  let largest = -Infinity;
  for (const value of values) if (value > largest) largest = value;
  return largest;
}
