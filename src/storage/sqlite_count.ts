/** Exact counts, from the cells and, where a minute is cut, from the events. */
import type { DatabaseSync } from "node:sqlite";
import type { EventRange, Total } from "../storage.ts";
import { HOUR_MS, hourOf, MINUTE_MS, minuteOf } from "../window.ts";
import { carry } from "./sqlite_cells.ts";
import { Query, readTransaction } from "./sqlite_connection.ts";
import type { Names } from "./sqlite_names.ts";
import { decodeTimeEntries } from "./sqlite_postings.ts";
import { joinSum, LogStateQuery, SUM_BASE } from "./sqlite_schema.ts";

/** A half-open range of a tenant, as numbers. */
interface Range {
  readonly tenant: number;
  readonly from: number;
  readonly to: number;
}

/** SQLite adds up parts below this, so that no sum of them leaves the integers that a double holds exactly. */
const PART_BASE = 1_000_000;

/** What SQLite adds up: count, and a sum in parts, of which the last two are in units of `PART_BASE` and of 1. */
type Parts = [count: number, high: number, middle: number, low: number];

/** Adds up totals of which no part overflows. */
interface Sum {
  count: number;
  high: number;
  low: number;
}

/** Counts on one read-only connection. */
export class Counter {
  readonly #database: DatabaseSync;
  readonly #names: Names;
  readonly #state: LogStateQuery;
  readonly #total: Query;
  readonly #entries: Query;
  readonly #unindexedTotal: Query;

  constructor(database: DatabaseSync, names: Names) {
    this.#database = database;
    this.#names = names;
    this.#state = new LogStateQuery(database);
    const range = "c.span = ?1 and c.tenant = ?2 and c.start >= ?3 and c.start < ?4";
    this.#total = new Query(
      database,
      `select coalesce(sum(count), 0), coalesce(sum(sum_high), 0),
         coalesce(sum(sum_low / ${PART_BASE}), 0), coalesce(sum(sum_low % ${PART_BASE}), 0)
       from cells c where ${range}`,
    );
    this.#entries = new Query(database, "select first_seq, entries from index_by_time where tenant = ? and minute = ?");
    this.#unindexedTotal = new Query(
      database,
      `select count(*), 0, coalesce(sum(amount / ${PART_BASE}), 0), coalesce(sum(amount % ${PART_BASE}), 0)
       from events not indexed where seq > ? and tenant = ? and ts >= ? and ts < ?`,
    );
  }

  /** Exact count and sum of a range of milliseconds. */
  count({ tenant: name, from, to }: EventRange): Total {
    const tenant = this.#names.tenantId(name);
    const sum: Sum = { count: 0, high: 0, low: 0 };
    if (tenant !== undefined && from < to) {
      readTransaction(this.#database, () => this.#countInto(sum, { tenant, from, to }));
    }
    return { count: sum.count, sum: joinSum(sum.high, sum.low) };
  }

  #countInto(sum: Sum, { tenant, from, to }: Range): void {
    const firstMinute = Math.ceil(from / MINUTE_MS) * MINUTE_MS;
    const lastMinute = minuteOf(to);
    if (firstMinute > lastMinute) return this.#addEvents(sum, { tenant, from, to });
    this.#addEvents(sum, { tenant, from, to: firstMinute });
    this.#addEvents(sum, { tenant, from: lastMinute, to });
    const firstHour = Math.ceil(firstMinute / HOUR_MS) * HOUR_MS;
    const lastHour = hourOf(lastMinute);
    if (firstHour >= lastHour) return this.#addCells(sum, MINUTE_MS, { tenant, from: firstMinute, to: lastMinute });
    this.#addCells(sum, MINUTE_MS, { tenant, from: firstMinute, to: firstHour });
    this.#addCells(sum, HOUR_MS, { tenant, from: firstHour, to: lastHour });
    this.#addCells(sum, MINUTE_MS, { tenant, from: lastHour, to: lastMinute });
  }

  #addCells(sum: Sum, span: number, { tenant, from, to }: Range): void {
    if (from >= to) return;
    add(sum, this.#total.first(span, tenant, from, to) as Parts);
  }

  /** Counts events of a part of one minute. */
  #addEvents(sum: Sum, { tenant, from, to }: Range): void {
    if (from >= to) return;
    const { indexedSeq, purgedSeq } = this.#state.read();
    const minute = minuteOf(from);
    for (const [firstSeq, bytes] of this.#entries.all(tenant, minute) as [number, Uint8Array][]) {
      const { count, offsetsMs, amounts, rows } = decodeTimeEntries(bytes);
      for (let i = 0; i < count; i++) {
        const timestamp = minute + offsetsMs[i]!;
        if (timestamp < from || timestamp >= to || firstSeq + rows[i]! <= purgedSeq) continue;
        sum.count++;
        sum.low += amounts[i]!;
        carry(sum);
      }
    }
    add(sum, this.#unindexedTotal.first(indexedSeq, tenant, from, to) as Parts);
  }
}

function add(sum: Sum, [count, high, middle, low]: Parts): void {
  const over = Math.floor(middle / (SUM_BASE / PART_BASE));
  sum.count += count;
  sum.high += high + over;
  sum.low += (middle - over * (SUM_BASE / PART_BASE)) * PART_BASE + low;
  carry(sum);
}
