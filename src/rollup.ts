/**
 * Cells: what is known of the events of one (tenant, span of time, event type). They fold and merge in any order and
 * grouping to the same result.
 */
import type { Amount } from "./amount.ts";
import type { Histogram } from "./histogram.ts";
import type { WindowSize } from "./window.ts";

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
export function foldAmount(_cell: Cell, _amount: Amount): void {
  throw new Error("unwritten");
}

/** Adds one cell to another. */
export function mergeCell(_into: Cell, _from: Cell): void {
  throw new Error("unwritten");
}

/** Which stored cells answer a query best: hours when every window consists of whole UTC hours, otherwise minutes. */
export function spanFor(_query: Pick<AggregateQuery, "window" | "zone">): "minute" | "hour" {
  throw new Error("unwritten");
}

/**
 * Folds stored cells into the rows of a query, ordered by start, then event type. Throws `range_too_large` beyond
 * `AGGREGATE_ROWS_MAX` rows.
 */
export function summarise(_cells: Iterable<KeyedCell>, _query: AggregateQuery): AggregateRow[] {
  throw new Error("unwritten");
}
