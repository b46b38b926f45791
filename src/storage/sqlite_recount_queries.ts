/** What a recount reads: the stored cells of an hour, and its events straight from the log. */
import type { DatabaseSync } from "node:sqlite";
import { Histogram } from "../histogram.ts";
import { HOUR_MS, hourOf, MINUTE_MS } from "../window.ts";
import { HISTOGRAM_ID, type StoredCell } from "./sqlite_cells.ts";
import { Query } from "./sqlite_connection.ts";
import { decodeTimeEntries } from "./sqlite_postings.ts";
import { type LogState, LogStateQuery } from "./sqlite_schema.ts";

type StoredRow = [number, number, number, number, number, number, number, Uint8Array | null];

/** A stretch is read in one piece when at least this part of its rows is wanted. */
const DENSE = 1 / 4;

/** An event as a recount sees it. */
export interface CountedRow {
  readonly seq: number;
  readonly timestamp: number;
  readonly type: number;
  readonly amount: number;
}

/** A cell and its histogram; the histogram covers the indexed rows alone. */
export interface CountedCell extends StoredCell {
  readonly span: number;
  histogram: Histogram | null;
}

/** The statements of recounts on one connection. */
export class RecountQueries {
  readonly database: DatabaseSync;
  readonly #state: LogStateQuery;
  readonly #lastSeq: Query;
  readonly #cells: Query;
  readonly #stretches: Query;
  readonly #entries: Query;
  readonly #span: Query;
  readonly #picked: Query;
  readonly #tail: Query;
  readonly #next: Query;

  constructor(database: DatabaseSync) {
    this.database = database;
    this.#state = new LogStateQuery(database);
    this.#lastSeq = new Query(database, "select max(seq) from events");
    this.#cells = new Query(
      database,
      `select start, type, count, sum_high, sum_low, min, max, buckets
       from cells c left join histograms h on h.id = ${HISTOGRAM_ID}
       where span = ? and tenant = ? and start >= ? and start < ?`,
    );
    this.#stretches = new Query(
      database,
      `select distinct i.first_seq, s.last_seq from index_by_time i join index_steps s on s.first_seq = i.first_seq
       where i.tenant = ? and i.minute >= ? and i.minute < ?`,
    );
    this.#entries = new Query(
      database,
      "select minute, entries from index_by_time where tenant = ? and minute = ? and first_seq = ?",
    );
    const columns = "seq, ts, type, amount";
    this.#span = new Query(
      database,
      `select ${columns} from events not indexed where seq >= ? and seq <= ? and tenant = ? and ts >= ? and ts < ?`,
    );
    this.#picked = new Query(
      database,
      `select seq, ts, e.type, amount from json_each(?) as wanted cross join events as e not indexed on seq = wanted.value
       where tenant = ? and ts >= ? and ts < ?`,
    );
    this.#tail = new Query(
      database,
      `select ${columns} from events not indexed where seq > ? and seq <= ? and tenant = ? and ts >= ? and ts < ?`,
    );
    this.#next = new Query(
      database,
      `select min(start) from (
         select min(start) as start from cells where span = ${HOUR_MS} and tenant = ?1 and start >= ?2
         union all select min(start) from cells where span = ${MINUTE_MS} and tenant = ?1 and start >= ?2
         union all select min(minute) from index_by_time where tenant = ?1 and minute >= ?2
         union all select min(ts) from events not indexed
           where seq > (select value from meta where name = 'indexed_seq') and tenant = ?1 and ts >= ?2)`,
    );
  }

  /** The state of the log, and its last seq. */
  state(): LogState & { readonly lastSeq: number } {
    const state = this.#state.read();
    return { ...state, lastSeq: (this.#lastSeq.first()![0] as number | null) ?? state.purgedSeq };
  }

  /** The next hour from a time on of which anything is known; `null` when there is none. */
  hourFrom(tenant: number, time: number): number | null {
    const [start] = this.#next.first(tenant, time) as [number | null];
    return start === null ? null : hourOf(start);
  }

  /** The stored cells of an hour and its minutes. */
  stored(tenant: number, hour: number): CountedCell[] {
    const cells: CountedCell[] = [];
    for (const span of [MINUTE_MS, HOUR_MS]) {
      for (const row of this.#cells.all(span, tenant, hour, hour + HOUR_MS) as StoredRow[]) {
        const [start, type, count, high, low, min, max, buckets] = row;
        const histogram = buckets === null ? null : Histogram.decode(buckets);
        cells.push({ span, tenant, start, type, count, high, low, min, max, histogram });
      }
    }
    return cells;
  }

  /** Stretches of the log in which an hour has rows. */
  stretches(tenant: number, hour: number): [firstSeq: number, lastSeq: number][] {
    return this.#stretches.all(tenant, hour, hour + HOUR_MS) as [number, number][];
  }

  /** The rows of an hour in one stretch, as the log has them. */
  stretch(tenant: number, hour: number, [firstSeq, lastSeq]: [number, number]): CountedRow[] {
    const seqs: number[] = [];
    for (let minute = hour; minute < hour + HOUR_MS; minute += MINUTE_MS) {
      const found = this.#entries.first(tenant, minute, firstSeq);
      if (found === undefined) continue;
      for (const row of decodeTimeEntries(found[1] as Uint8Array).rows) seqs.push(firstSeq + row);
    }
    const rows = seqs.length >= (lastSeq - firstSeq) * DENSE
      ? this.#span.all(firstSeq, lastSeq, tenant, hour, hour + HOUR_MS)
      : this.#picked.all(JSON.stringify(seqs), tenant, hour, hour + HOUR_MS);
    return (rows as [number, number, number, number][]).map(rowOf);
  }

  /** The rows of an hour behind one seq and up to another. */
  tail(tenant: number, hour: number, { after, through }: { after: number; through: number }): CountedRow[] {
    const rows = this.#tail.all(after, through, tenant, hour, hour + HOUR_MS);
    return (rows as [number, number, number, number][]).map(rowOf);
  }
}

function rowOf([seq, timestamp, type, amount]: [number, number, number, number]): CountedRow {
  return { seq, timestamp, type, amount };
}
