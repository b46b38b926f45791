/** Windows, from the cells: in steps, so that neither memory nor a transaction grows with the range. */
import type { DatabaseSync } from "node:sqlite";
import { HubError } from "../errors.ts";
import { Histogram } from "../histogram.ts";
import { AGGREGATE_CELLS_MAX, SQLITE_AGGREGATE_STEP_CELLS } from "../limits.ts";
import {
  type AggregateQuery,
  type AggregateRow,
  type Cell,
  emptyCell,
  foldAmount,
  type KeyedCell,
  spansOf,
  Summary,
} from "../rollup.ts";
import { HOUR_MS, MINUTE_MS } from "../window.ts";
import { cellKey, HISTOGRAM_ID } from "./sqlite_cells.ts";
import { Query, readTransaction } from "./sqlite_connection.ts";
import type { Names } from "./sqlite_names.ts";
import { joinSum, LogStateQuery } from "./sqlite_schema.ts";

/** What a query asks, with names turned into numbers. `types` is JSON; `null` = all. */
interface Asked {
  readonly tenant: number;
  readonly types: string | null;
  readonly query: AggregateQuery;
  /** By span: the cells of rows that no histogram knows, and the state of the log they are of. */
  readonly unindexed: Map<number, { readonly state: string; readonly cells: ReadonlyMap<number, CountedCell> }>;
}

/** Cells of one span that start in a half-open range. */
interface Step {
  readonly span: number;
  readonly from: number;
  readonly to: number;
}

type CountedCell = Cell & { readonly histogram: Histogram };

/** Answers questions about windows on one read-only connection. */
export class Windows {
  readonly #database: DatabaseSync;
  readonly #names: Names;
  readonly #cellsMax: number;
  readonly #state: LogStateQuery;
  readonly #lastSeq: Query;
  readonly #cells: Query;
  readonly #cellsWithHistograms: Query;
  readonly #unindexedAmounts: Query;

  /** `cellsMax`: how many cells a question may read; small numbers are for tests. */
  constructor(database: DatabaseSync, names: Names, { cellsMax = AGGREGATE_CELLS_MAX } = {}) {
    this.#database = database;
    this.#names = names;
    this.#cellsMax = cellsMax;
    this.#state = new LogStateQuery(database);
    this.#lastSeq = new Query(database, "select max(seq) from events");
    const range = "c.span = ?1 and c.tenant = ?2 and c.start >= ?3 and c.start < ?4";
    const ofTypes = "(?5 is null or type in (select value from json_each(?5)))";
    const columns = "c.start, c.type, count, sum_high, sum_low, min, max";
    this.#cells = new Query(
      database,
      `select ${columns} from cells c where ${range} and ${ofTypes}
       order by c.start`,
    );
    this.#cellsWithHistograms = new Query(
      database,
      `select ${columns}, buckets from cells c left join histograms h on h.id = ${HISTOGRAM_ID}
       where ${range} and ${ofTypes.replace("or type", "or c.type")} order by c.start`,
    );
    this.#unindexedAmounts = new Query(
      database,
      `select ts, type, amount from events not indexed
       where seq > ?1 and tenant = ?2 and ts >= ?3 and ts < ?4 and ${ofTypes}`,
    );
  }

  /**
   * The rows of a query. Each `next` reads a step in a transaction of its own: a window that changes meanwhile shows some
   * of what came in. Throws `range_too_large` beyond `AGGREGATE_ROWS_MAX` rows and `AGGREGATE_CELLS_MAX` cells.
   */
  *aggregate(query: AggregateQuery): Generator<void, AggregateRow[]> {
    const summary = new Summary(query);
    this.#names.refresh();
    const tenant = this.#names.tenantId(query.tenant);
    if (tenant === undefined) return summary.rows();
    const types = query.eventTypes === null ? null : this.#names.typeIds(tenant, query.eventTypes);
    if (types?.length === 0) return summary.rows();
    const asked = { tenant, query, types: types === null ? null : JSON.stringify(types), unindexed: new Map() };
    // Each start has a cell of each type at most.
    const starts = Math.max(1, Math.floor(SQLITE_AGGREGATE_STEP_CELLS / this.#names.typeCount(tenant)));
    let cells = 0;
    for (const part of spansOf(query)) {
      const span = part.span === "hour" ? HOUR_MS : MINUTE_MS;
      for (let from = part.start; from < part.end; from += starts * span) {
        const step = { span, from, to: Math.min(part.end, from + starts * span) };
        cells += readTransaction(this.#database, () => this.#read(summary, asked, step));
        if (cells > this.#cellsMax) throw tooManyCells(this.#cellsMax);
        yield;
      }
    }
    return summary.rows();
  }

  /** Reads the cells of a step; answers how many. */
  #read(summary: Summary, asked: Asked, step: Step): number {
    const { tenant, types } = asked;
    const values = [step.span, tenant, step.from, step.to, types];
    if (asked.query.percentiles) {
      const rows = this.#cellsWithHistograms.all(...values);
      if (rows.length > 0) this.#addWithHistograms(summary, rows, this.#unindexed(asked, step.span), step.span);
      return rows.length;
    }
    const rows = this.#cells.all(...values) as number[][];
    for (const [start, type, count, high, low, min, max] of rows) {
      summary.add({
        start: start!,
        eventType: this.#names.type(type!),
        count: count!,
        sum: joinSum(high!, low!),
        min: min!,
        max: max!,
        histogram: null,
      });
    }
    return rows.length;
  }

  /**
   * Adds cells with their histograms. Stored histograms lack the rows that are not indexed yet: those come as cells of
   * their own, taken out of the others.
   */
  #addWithHistograms(
    summary: Summary,
    rows: ReturnType<Query["all"]>,
    unindexed: ReadonlyMap<number, CountedCell>,
    span: number,
  ): void {
    for (const row of rows) {
      const [start, type, count, high, low, min, max] = row as number[];
      const key: Pick<KeyedCell, "start" | "eventType"> = { start: start!, eventType: this.#names.type(type!) };
      const later = unindexed.get(cellKey(start!, { span, type: type! }));
      if (later !== undefined) summary.add({ ...later, ...key });
      const indexed = count! - (later?.count ?? 0);
      if (indexed === 0) continue;
      const sum = joinSum(high!, low!) - (later?.sum ?? 0n);
      const histogram = row[7] === null ? new Histogram() : Histogram.decode(row[7] as Uint8Array);
      summary.add({ ...key, count: indexed, sum, min: min!, max: max!, histogram });
    }
  }

  /** Cells of the rows that are not indexed yet; read again only when the log went on since the last step. */
  #unindexed({ tenant, types, query, unindexed }: Asked, span: number): ReadonlyMap<number, CountedCell> {
    const { indexedSeq } = this.#state.read();
    const state = `${indexedSeq} ${this.#lastSeq.first()![0]}`;
    const known = unindexed.get(span);
    if (known?.state === state) return known.cells;
    const cells = new Map<number, CountedCell>();
    const rows = this.#unindexedAmounts.all(indexedSeq, tenant, query.from, query.to, types);
    for (const [timestamp, type, amount] of rows as [number, number, number][]) {
      const key = cellKey(timestamp, { span, type });
      let cell = cells.get(key);
      if (cell === undefined) cells.set(key, cell = { ...emptyCell(), histogram: new Histogram() });
      foldAmount(cell, amount);
      cell.histogram.add(amount);
    }
    unindexed.set(span, { state, cells });
    return cells;
  }
}

function tooManyCells(cellsMax: number): HubError {
  return new HubError(
    "range_too_large",
    `The range holds more than ${cellsMax} cells (minutes or hours, times event types): ` +
      "ask for a shorter range, fewer event types, or windows of an hour or a day",
  );
}
