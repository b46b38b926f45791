/**
 * Cells: what is known of the events of one (tenant, span of time, event type). They fold and merge in any order and
 * grouping to the same result.
 */
import type { Amount } from "./amount.ts";
import { HubError } from "./errors.ts";
import { Histogram } from "./histogram.ts";
import { AGGREGATE_ROWS_MAX } from "./limits.ts";
import { HOUR_MS, type Window, WINDOW_MS, windowOf, windowsIn, type WindowSize } from "./window.ts";

/** Totals of a cell, all exact. `min` and `max` are amounts; both are 0 while `count` is 0. */
export interface Cell {
  count: number;
  /** Sum of the amounts in units of 1/10,000; never overflows. */
  sum: bigint;
  min: Amount;
  max: Amount;
}

/** A stored cell with its key; `histogram` only where percentiles were asked for. */
export interface KeyedCell extends Cell {
  /** Start of its minute or hour, milliseconds. */
  readonly start: number;
  readonly eventType: string;
  readonly histogram: Histogram | null;
}

/** A question about windows of one tenant. The range is already widened to whole windows. */
export interface AggregateQuery {
  readonly tenant: string;
  readonly from: number;
  readonly to: number;
  readonly window: WindowSize;
  /** A row per window and event type instead of one per window. */
  readonly groupByType: boolean;
  /** Restricts to these types; `null` = all. */
  readonly eventTypes: readonly string[] | null;
  /** Whether windows without events give rows of zeros (grouped: for each type seen in the range). */
  readonly fill: boolean;
  /** IANA zone of days. */
  readonly zone: string;
  readonly percentiles: boolean;
}

/** One row of the answer. Amounts and sums in units of 1/10,000. `revision` is the number of events in the row. */
export interface AggregateRow {
  readonly start: number;
  readonly end: number;
  /** `null` when not grouped by type. */
  readonly eventType: string | null;
  readonly count: number;
  readonly total: bigint;
  /** Purchases − returns − refunds of the row, signs as sent. */
  readonly net: bigint;
  /** `null` in a row without events. */
  readonly min: Amount | null;
  readonly max: Amount | null;
  /** Mean in units of 1/10,000, rounded half-even; `null` in a row without events. */
  readonly average: bigint | null;
  /** Nearest-rank percentiles in units of 1/10,000, within 1 %; `null` when not asked for or without events. */
  readonly percentiles: { readonly p50: Amount; readonly p95: Amount; readonly p99: Amount } | null;
}

/** A cell of no events. */
export function emptyCell(): Cell {
  return { count: 0, sum: 0n, min: 0, max: 0 };
}

/** Adds one amount to a cell. */
export function foldAmount(cell: Cell, amount: Amount): void {
  if (cell.count === 0) {
    cell.min = amount;
    cell.max = amount;
  } else if (amount < cell.min) {
    cell.min = amount;
  } else if (amount > cell.max) {
    cell.max = amount;
  }
  cell.count++;
  cell.sum += BigInt(amount);
}

/** Adds one cell to another. */
export function mergeCell(into: Cell, from: Cell): void {
  if (from.count === 0) return;
  if (into.count === 0) {
    into.min = from.min;
    into.max = from.max;
  } else {
    if (from.min < into.min) into.min = from.min;
    if (from.max > into.max) into.max = from.max;
  }
  into.count += from.count;
  into.sum += from.sum;
}

/** Which stored cells answer a query best: hours when every window of it consists of whole UTC hours, else minutes. */
export function spanFor(query: Pick<AggregateQuery, "window" | "zone" | "from" | "to">): "minute" | "hour" {
  if (query.window === "1h") return "hour";
  if (query.window !== "1d") return "minute";
  if (query.zone === "UTC") return "hour";
  for (const window of windowsIn({ start: query.from, end: query.to }, "1d", query.zone)) {
    if (window.start % HOUR_MS !== 0 || window.end % HOUR_MS !== 0) return "minute";
  }
  return "hour";
}

/**
 * Folds stored cells into the rows of a query, ordered by start, then event type. Cells beyond the range or of types
 * not asked for are left out. A row has percentiles when all its cells came with histograms. Throws `range_too_large`
 * beyond `AGGREGATE_ROWS_MAX` rows.
 */
export function summarise(cells: Iterable<KeyedCell>, query: AggregateQuery): AggregateRow[] {
  const wanted = query.eventTypes === null ? null : new Set(query.eventTypes);
  const table = new Map<string, Map<number, RowTotals>>();
  const typesSeen = new Set<string>();
  let window: Window = { start: 0, end: 0 };
  let rows = 0;
  for (const cell of cells) {
    if (cell.count === 0 || cell.start < query.from || cell.start >= query.to) continue;
    if (wanted !== null && !wanted.has(cell.eventType)) continue;
    if (cell.start < window.start || cell.start >= window.end) window = windowOf(cell.start, query.window, query.zone);
    const group = query.groupByType ? cell.eventType : "";
    typesSeen.add(group);
    let column = table.get(group);
    if (column === undefined) {
      column = new Map();
      table.set(group, column);
    }
    let totals = column.get(window.start);
    if (totals === undefined) {
      if (++rows > AGGREGATE_ROWS_MAX) throw tooManyRows();
      totals = new RowTotals(window, query.percentiles);
      column.set(window.start, totals);
    }
    totals.add(cell);
  }
  const groups = query.groupByType ? [...typesSeen].sort() : [""];
  return query.fill ? filled(table, groups, query) : present(table, groups, query);
}

/** The rows that have events. */
function present(table: Map<string, Map<number, RowTotals>>, groups: string[], query: AggregateQuery): AggregateRow[] {
  const rows: AggregateRow[] = [];
  const scratch = new Histogram();
  for (const group of groups) {
    for (const totals of table.get(group)?.values() ?? []) {
      rows.push(totals.row(query.groupByType ? group : null, scratch));
    }
  }
  // The groups come in order and the sort is stable: rows of one start stay ordered by type.
  return rows.sort((a, b) => a.start - b.start);
}

/** A row for every window and group, zeros where nothing happened. */
function filled(table: Map<string, Map<number, RowTotals>>, groups: string[], query: AggregateQuery): AggregateRow[] {
  const rows: AggregateRow[] = [];
  if (groups.length === 0) return rows;
  const scratch = new Histogram();
  // A day has at least 20 hours: whatever is surely too much is refused before it is made.
  const fewest = ((query.to - query.from) / WINDOW_MS[query.window]) * (query.window === "1d" ? 0.8 : 1);
  if (fewest * groups.length > AGGREGATE_ROWS_MAX * 1.5) throw tooManyRows();
  for (const window of windowsIn({ start: query.from, end: query.to }, query.window, query.zone)) {
    for (const group of groups) {
      if (rows.length === AGGREGATE_ROWS_MAX) throw tooManyRows();
      const totals = table.get(group)?.get(window.start) ?? new RowTotals(window, false);
      rows.push(totals.row(query.groupByType ? group : null, scratch));
    }
  }
  return rows;
}

function tooManyRows(): HubError {
  return new HubError(
    "range_too_large",
    `The answer would have more than ${AGGREGATE_ROWS_MAX} rows: ask for a shorter range or larger windows`,
  );
}

/** What a row adds up. */
class RowTotals {
  readonly #window: Window;
  readonly #cell = emptyCell();
  #net = 0n;
  /** Of the cells of the row; `null` when not asked for, or when a cell came without one. */
  #histograms: Histogram[] | null;

  constructor(window: Window, percentiles: boolean) {
    this.#window = window;
    this.#histograms = percentiles ? [] : null;
  }

  add(cell: KeyedCell): void {
    mergeCell(this.#cell, cell);
    if (cell.eventType === "purchase") this.#net += cell.sum;
    else if (cell.eventType === "return" || cell.eventType === "refund") this.#net -= cell.sum;
    if (cell.histogram === null) this.#histograms = null;
    else this.#histograms?.push(cell.histogram);
  }

  /** The row. `scratch` is room to merge histograms in: one for all rows, so that thousands of rows stay small. */
  row(eventType: string | null, scratch: Histogram): AggregateRow {
    const { count, sum, min, max } = this.#cell;
    const { start, end } = this.#window;
    const empty = count === 0;
    return {
      start,
      end,
      eventType,
      count,
      total: sum,
      net: this.#net,
      min: empty ? null : min,
      max: empty ? null : max,
      average: empty ? null : divideHalfEven(sum, BigInt(count)),
      percentiles: empty || this.#histograms === null ? null : percentilesOf(this.#histograms, { min, max }, scratch),
    };
  }
}

function percentilesOf(
  histograms: readonly Histogram[],
  bounds: { min: Amount; max: Amount },
  scratch: Histogram,
): NonNullable<AggregateRow["percentiles"]> {
  scratch.clear();
  for (const histogram of histograms) scratch.merge(histogram);
  return {
    p50: scratch.percentile(0.5, bounds),
    p95: scratch.percentile(0.95, bounds),
    p99: scratch.percentile(0.99, bounds),
  };
}

/** The quotient rounded to the nearest integer, a tie to the even one. The divisor is positive. */
function divideHalfEven(dividend: bigint, divisor: bigint): bigint {
  const quotient = dividend / divisor;
  const rest = dividend % divisor;
  const twice = 2n * (rest < 0n ? -rest : rest);
  if (twice < divisor || (twice === divisor && quotient % 2n === 0n)) return quotient;
  return dividend < 0n ? quotient - 1n : quotient + 1n;
}
