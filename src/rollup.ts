/**
 * Cells: what is known of the events of one (tenant, span of time, event type). They fold and merge in any order and
 * grouping to the same result.
 */
import type { Amount } from "./amount.ts";
import { HubError } from "./errors.ts";
import { Histogram } from "./histogram.ts";
import { AGGREGATE_ROWS_MAX } from "./limits.ts";
import { HOUR_MS, hourOf, type Window, WINDOW_MS, windowOf, windowsIn, type WindowSize } from "./window.ts";

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

/** A part of a query's range, and which stored cells to read for it. */
export interface SpanRange extends Window {
  readonly span: "minute" | "hour";
}

/**
 * Which stored cells answer a query best, in adjoining parts from first to last: hours where whole UTC hours lie within
 * one window, minutes elsewhere. So a zone of half hours costs the minutes of one hour a day.
 */
export function* spansOf(query: Pick<AggregateQuery, "window" | "zone" | "from" | "to">): Iterable<SpanRange> {
  const { window, zone, from, to } = query;
  if (from >= to) return;
  if (window !== "1d" || zone === "UTC") {
    return yield { span: window === "1h" || window === "1d" ? "hour" : "minute", start: from, end: to };
  }
  let part: SpanRange | undefined;
  for (const day of windowsIn({ start: from, end: to }, "1d", zone)) {
    for (const next of spansOfDay(day)) {
      if (part !== undefined && part.span !== next.span) yield part;
      part = part?.span === next.span ? { ...part, end: next.end } : next;
    }
  }
  if (part !== undefined) yield part;
}

function spansOfDay({ start, end }: Window): SpanRange[] {
  const firstHour = Math.ceil(start / HOUR_MS) * HOUR_MS;
  const lastHour = hourOf(end);
  const parts: SpanRange[] = [
    { span: "minute", start, end: firstHour },
    { span: "hour", start: firstHour, end: lastHour },
    { span: "minute", start: lastHour, end },
  ];
  return parts.filter((part) => part.start < part.end);
}

/** {@link Summary} of cells that are all there. */
export function summarise(cells: Iterable<KeyedCell>, query: AggregateQuery): AggregateRow[] {
  const summary = new Summary(query);
  for (const cell of cells) summary.add(cell);
  return summary.rows();
}

/**
 * Folds stored cells into the rows of a query. Cells beyond the range or of types not asked for are left out. A row has
 * percentiles when all its cells came with histograms. Without them cells may come in any order; with them the cells of a
 * window follow each other, so that few histograms are held at once.
 */
export class Summary {
  readonly #query: AggregateQuery;
  readonly #wanted: ReadonlySet<string> | null;
  /** By event type (or the one group of all), then by the start of the window. */
  readonly #table = new Map<string, Map<number, RowTotals>>();
  readonly #scratch = new Histogram();
  #window: Window = { start: 0, end: 0 };
  /** Rows of that window. */
  #open = new Set<RowTotals>();
  #rows = 0;

  constructor(query: AggregateQuery) {
    this.#query = query;
    this.#wanted = query.eventTypes === null ? null : new Set(query.eventTypes);
  }

  /** Adds a cell. Throws `range_too_large` beyond `AGGREGATE_ROWS_MAX` rows. */
  add(cell: KeyedCell): void {
    const { from, to, window: size, zone, groupByType, percentiles } = this.#query;
    if (cell.count === 0 || cell.start < from || cell.start >= to) return;
    if (this.#wanted !== null && !this.#wanted.has(cell.eventType)) return;
    if (cell.start < this.#window.start || cell.start >= this.#window.end) {
      this.#window = windowOf(cell.start, size, zone);
      for (const totals of this.#open) totals.close(this.#scratch);
      this.#open.clear();
    }
    const group = groupByType ? cell.eventType : "";
    let column = this.#table.get(group);
    if (column === undefined) this.#table.set(group, column = new Map());
    let totals = column.get(this.#window.start);
    if (totals === undefined) {
      if (++this.#rows > AGGREGATE_ROWS_MAX) throw tooManyRows();
      totals = new RowTotals(this.#window, percentiles);
      column.set(this.#window.start, totals);
    }
    totals.add(cell, this.#scratch);
    if (percentiles) this.#open.add(totals);
  }

  /** The rows, ordered by start, then event type. Throws `range_too_large` as {@link add}, when zeros are filled in. */
  rows(): AggregateRow[] {
    const { groupByType, fill } = this.#query;
    for (const totals of this.#open) totals.close(this.#scratch);
    const groups = groupByType ? [...this.#table.keys()].sort() : [""];
    return fill ? filled(this.#table, groups, this.#query) : present(this.#table, groups, this.#query);
  }
}

/** The rows that have events. */
function present(table: Map<string, Map<number, RowTotals>>, groups: string[], query: AggregateQuery): AggregateRow[] {
  const rows: AggregateRow[] = [];
  for (const group of groups) {
    for (const totals of table.get(group)?.values() ?? []) {
      rows.push(totals.row(query.groupByType ? group : null));
    }
  }
  // The groups come in order and the sort is stable: rows of one start stay ordered by type.
  return rows.sort((a, b) => a.start - b.start);
}

/** A row for every window and group, zeros where nothing happened. */
function filled(table: Map<string, Map<number, RowTotals>>, groups: string[], query: AggregateQuery): AggregateRow[] {
  const rows: AggregateRow[] = [];
  if (groups.length === 0) return rows;
  // A day has at least 20 hours: whatever is surely too much is refused before it is made.
  const fewest = ((query.to - query.from) / WINDOW_MS[query.window]) * (query.window === "1d" ? 0.8 : 1);
  if (fewest * groups.length > AGGREGATE_ROWS_MAX * 1.5) throw tooManyRows();
  for (const window of windowsIn({ start: query.from, end: query.to }, query.window, query.zone)) {
    for (const group of groups) {
      if (rows.length === AGGREGATE_ROWS_MAX) throw tooManyRows();
      const totals = table.get(group)?.get(window.start) ?? new RowTotals(window, false);
      rows.push(totals.row(query.groupByType ? group : null));
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

/** Histograms of one row that wait to be merged: by bytes they are small, and merging many at once is cheapest. */
const HISTOGRAMS_WAITING = 256;

/** What a row adds up. */
class RowTotals {
  readonly #window: Window;
  readonly #cell = emptyCell();
  #net = 0n;
  /** Of the cells of the row; `null` when not asked for, when a cell came without one, or when they are summed up. */
  #histograms: Histogram[] | null;
  #percentiles: AggregateRow["percentiles"] = null;

  constructor(window: Window, percentiles: boolean) {
    this.#window = window;
    this.#histograms = percentiles ? [] : null;
  }

  /** `scratch` is room to merge histograms in: one for all rows. */
  add(cell: KeyedCell, scratch: Histogram): void {
    if (this.#percentiles !== null) throw new Error("Cannot add a cell to a window that was left");
    mergeCell(this.#cell, cell);
    if (cell.eventType === "purchase") this.#net += cell.sum;
    else if (cell.eventType === "return" || cell.eventType === "refund") this.#net -= cell.sum;
    if (cell.histogram === null) this.#histograms = null;
    if (this.#histograms === null || cell.histogram === null) return;
    if (this.#histograms.push(cell.histogram) < HISTOGRAMS_WAITING) return;
    mergeInto(scratch, this.#histograms);
    this.#histograms = [Histogram.decode(scratch.encode())];
  }

  /** Makes percentiles of the histograms and lets go of them: no cell of the window follows. */
  close(scratch: Histogram): void {
    if (this.#histograms === null || this.#cell.count === 0) return;
    mergeInto(scratch, this.#histograms);
    this.#histograms = null;
    this.#percentiles = {
      p50: scratch.percentile(0.5, this.#cell),
      p95: scratch.percentile(0.95, this.#cell),
      p99: scratch.percentile(0.99, this.#cell),
    };
  }

  /** The row. */
  row(eventType: string | null): AggregateRow {
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
      percentiles: this.#percentiles,
    };
  }
}

function mergeInto(scratch: Histogram, histograms: readonly Histogram[]): void {
  scratch.clear();
  for (const histogram of histograms) scratch.merge(histogram);
}

/** The quotient rounded to the nearest integer, a tie to the even one. The divisor is positive. */
function divideHalfEven(dividend: bigint, divisor: bigint): bigint {
  const quotient = dividend / divisor;
  const rest = dividend % divisor;
  const twice = 2n * (rest < 0n ? -rest : rest);
  if (twice < divisor || (twice === divisor && quotient % 2n === 0n)) return quotient;
  return dividend < 0n ? quotient - 1n : quotient + 1n;
}
