/** Windows and exact counts, from the cells and, where a minute is cut, from the events. */
import type { DatabaseSync } from "node:sqlite";
import { Histogram } from "../histogram.ts";
import {
  type AggregateQuery,
  type AggregateRow,
  type Cell,
  emptyCell,
  foldAmount,
  type KeyedCell,
  spanFor,
  summarise,
} from "../rollup.ts";
import type { EventRange, Total } from "../storage.ts";
import { HOUR_MS, hourOf, MINUTE_MS, minuteOf } from "../window.ts";
import { carry, cellKey, HISTOGRAM_ID } from "./sqlite_cells.ts";
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

/** Answers questions about totals on one read-only connection. */
export class Metrics {
  readonly #database: DatabaseSync;
  readonly #names: Names;
  readonly #state: LogStateQuery;
  readonly #cells: Query;
  readonly #cellsWithHistograms: Query;
  readonly #unindexedAmounts: Query;
  readonly #total: Query;
  readonly #entries: Query;
  readonly #unindexedTotal: Query;

  constructor(database: DatabaseSync, names: Names) {
    this.#database = database;
    this.#names = names;
    this.#state = new LogStateQuery(database);
    const range = "c.span = ?1 and c.tenant = ?2 and c.start >= ?3 and c.start < ?4";
    const ofTypes = "(?5 is null or type in (select value from json_each(?5)))";
    const columns = "c.start, c.type, count, sum_high, sum_low, min, max";
    this.#cells = new Query(database, `select ${columns} from cells c where ${range} and ${ofTypes}`);
    this.#cellsWithHistograms = new Query(
      database,
      `select ${columns}, buckets from cells c left join histograms h on h.id = ${HISTOGRAM_ID}
       where ${range} and ${ofTypes.replace("or type", "or c.type")}`,
    );
    this.#unindexedAmounts = new Query(
      database,
      `select ts, type, amount from events not indexed
       where seq > ?1 and tenant = ?2 and ts >= ?3 and ts < ?4 and ${ofTypes}`,
    );
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

  /** The rows of a query. */
  aggregate(query: AggregateQuery): AggregateRow[] {
    const tenant = this.#names.tenantId(query.tenant);
    if (tenant === undefined) return summarise([], query);
    const types = query.eventTypes === null ? null : JSON.stringify(this.#names.typeIds(tenant, query.eventTypes));
    const span = spanFor(query) === "hour" ? HOUR_MS : MINUTE_MS;
    const range = { tenant, from: query.from, to: query.to };
    return readTransaction(this.#database, () => {
      const cells = query.percentiles
        ? this.#keyedWithHistograms(span, range, types)
        : this.#keyed(this.#cells.all(span, tenant, query.from, query.to, types) as number[][]);
      return summarise(cells, query);
    });
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

  *#keyed(rows: Iterable<readonly number[]>): Generator<KeyedCell> {
    for (const [start, type, count, high, low, min, max] of rows) {
      yield {
        start: start!,
        eventType: this.#names.type(type!),
        count: count!,
        sum: joinSum(high!, low!),
        min: min!,
        max: max!,
        histogram: null,
      };
    }
  }

  /**
   * Cells with their histograms. Stored histograms lack the rows that are not indexed yet: those come as cells of
   * their own, taken out of the others.
   */
  *#keyedWithHistograms(span: number, { tenant, from, to }: Range, types: string | null): Generator<KeyedCell> {
    const later = this.#unindexedCells(span, { tenant, from, to }, types);
    for (const row of this.#cellsWithHistograms.all(span, tenant, from, to, types)) {
      const [start, type, count, high, low, min, max] = row as number[];
      const eventType = this.#names.type(type!);
      const part = later.get(cellKey(start!, { span, type: type! }));
      if (part !== undefined) yield { ...part, start: start!, eventType };
      const indexed = count! - (part?.count ?? 0);
      if (indexed === 0) continue;
      const sum = joinSum(high!, low!) - (part?.sum ?? 0n);
      const histogram = row[7] === null ? new Histogram() : Histogram.decode(row[7] as Uint8Array);
      yield { start: start!, eventType, count: indexed, sum, min: min!, max: max!, histogram };
    }
  }

  #unindexedCells(span: number, { tenant, from, to }: Range, types: string | null) {
    const cells = new Map<number, Cell & { histogram: Histogram }>();
    const { indexedSeq } = this.#state.read();
    const rows = this.#unindexedAmounts.all(indexedSeq, tenant, from, to, types) as [number, number, number][];
    for (const [timestamp, type, amount] of rows) {
      const key = cellKey(timestamp, { span, type });
      let cell = cells.get(key);
      if (cell === undefined) cells.set(key, cell = { ...emptyCell(), histogram: new Histogram() });
      foldAmount(cell, amount);
      cell.histogram.add(amount);
    }
    return cells;
  }
}

function add(sum: Sum, [count, high, middle, low]: Parts): void {
  const over = Math.floor(middle / (SUM_BASE / PART_BASE));
  sum.count += count;
  sum.high += high + over;
  sum.low += (middle - over * (SUM_BASE / PART_BASE)) * PART_BASE + low;
  carry(sum);
}
