/** The cells of minutes and hours as the writer keeps them: folded in the transaction that stores their events. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { SQLITE_CELLS_CACHED } from "../limits.ts";
import { HOUR_MS, MINUTE_MS } from "../window.ts";
import { Query } from "./sqlite_connection.ts";
import { SUM_BASE } from "./sqlite_schema.ts";

/** A cell is found by (start of its span ÷ span) · TYPES + type, which stays a safe integer up to the year 9999. */
const TYPES = 1 << 20;
/** Up to here a part of a sum can take another amount and still be an exact integer. */
const PART_MAX = 4e15;
/** Rows of one statement. */
const ROWS = 8;
const COLUMNS = 9;

/** The number under which the cell of a span is found; types are numbered across tenants. */
export function cellKey(timestamp: number, { span, type }: { span: number; type: number }): number {
  return Math.floor(timestamp / span) * TYPES + type;
}

/** The id of a cell's histogram; a safe integer up to the year 9999. */
export function histogramId({ span, start, type }: { span: number; start: number; type: number }): number {
  return (start / MINUTE_MS * TYPES + type) * 2 + (span === HOUR_MS ? 1 : 0);
}

/** {@link histogramId} in SQL, for a row `c` of table `cells`. */
export const HISTOGRAM_ID = `(c.start / ${MINUTE_MS} * ${TYPES} + c.type) * 2 + (c.span = ${HOUR_MS})`;

/** Exact totals of one cell, or what one transaction adds to them. */
export interface StoredCell {
  readonly tenant: number;
  readonly type: number;
  readonly start: number;
  count: number;
  /** The sum is `high` · SUM_BASE + `low`. */
  high: number;
  low: number;
  min: number;
  max: number;
}

/** Adds to a sum of two parts and carries, so that 0 ≤ low < SUM_BASE. */
export function carry(cell: { high: number; low: number }): void {
  const over = Math.floor(cell.low / SUM_BASE);
  cell.high += over;
  cell.low -= over * SUM_BASE;
}

/** Folds amounts into the cells of one span. */
export class Fold {
  readonly span: number;
  readonly cells = new Map<number, StoredCell>();

  constructor(span: number) {
    this.span = span;
  }

  /** Adds an amount. */
  add(kind: { tenant: number; type: number }, timestamp: number, amount: number): void {
    const place = Math.floor(timestamp / this.span);
    const key = place * TYPES + kind.type;
    const cell = this.cells.get(key);
    if (cell === undefined) {
      const { tenant, type } = kind;
      const start = place * this.span;
      const fresh = { tenant, type, start, count: 1, high: 0, low: amount, min: amount, max: amount };
      this.cells.set(key, fresh);
      return;
    }
    cell.count++;
    cell.low += amount;
    if (cell.low > PART_MAX || cell.low < -PART_MAX) carry(cell);
    if (amount < cell.min) cell.min = amount;
    else if (amount > cell.max) cell.max = amount;
  }

  /** Adds whole cells of a shorter span. */
  merge(cells: Iterable<StoredCell>): void {
    for (const from of cells) {
      const place = Math.floor(from.start / this.span);
      const key = place * TYPES + from.type;
      const cell = this.cells.get(key);
      if (cell === undefined) this.cells.set(key, { ...from, start: place * this.span });
      else addCell(cell, from);
    }
  }
}

/** Adds one cell's totals to another's. */
export function addCell(into: StoredCell, from: StoredCell): void {
  into.count += from.count;
  into.high += from.high;
  into.low += from.low;
  carry(into);
  if (from.min < into.min) into.min = from.min;
  if (from.max > into.max) into.max = from.max;
}

/** Writes folded cells, and remembers those it wrote lately so that they need not be read again. */
export class CellWriter {
  readonly #select: Query;
  readonly #insertOne: StatementSync;
  readonly #insertMany: StatementSync;
  /** By span, then by key. */
  readonly #cached = new Map<number, Map<number, StoredCell>>([[MINUTE_MS, new Map()], [HOUR_MS, new Map()]]);

  constructor(database: DatabaseSync) {
    this.#select = new Query(
      database,
      "select count, sum_high, sum_low, min, max from cells where span = ? and tenant = ? and start = ? and type = ?",
    );
    const insert = (rows: number) =>
      database.prepare(
        `insert into cells(span, tenant, start, type, count, sum_high, sum_low, min, max)
         values ${Array(rows).fill(`(${Array(COLUMNS).fill("?").join(", ")})`).join(", ")}
         on conflict do update set count = excluded.count, sum_high = excluded.sum_high, sum_low = excluded.sum_low,
           min = excluded.min, max = excluded.max`,
      );
    this.#insertOne = insert(1);
    this.#insertMany = insert(ROWS);
  }

  /** Adds what a transaction folded to the stored cells, in that transaction. */
  write(fold: Fold): void {
    const cached = this.#cached.get(fold.span)!;
    const values: number[] = [];
    for (const [key, delta] of fold.cells) {
      let cell = cached.get(key);
      if (cell === undefined) {
        cell = this.#read(fold.span, delta);
        cached.set(key, cell);
      }
      if (cell.count === 0) {
        cell.min = delta.min;
        cell.max = delta.max;
      }
      addCell(cell, delta);
      const { tenant, start, type, count, high, low, min, max } = cell;
      values.push(fold.span, tenant, start, type, count, high, low, min, max);
      if (values.length === ROWS * COLUMNS) {
        this.#insertMany.run(...values);
        values.length = 0;
      }
    }
    for (let at = 0; at < values.length; at += COLUMNS) this.#insertOne.run(...values.slice(at, at + COLUMNS));
    // Oldest first. Not while writing: a cell may come twice only after it was written.
    for (const key of cached.keys()) {
      if (cached.size <= SQLITE_CELLS_CACHED) break;
      cached.delete(key);
    }
  }

  /** Forgets what it remembers: after a transaction that failed, and when cells were replaced. */
  forget(): void {
    for (const cells of this.#cached.values()) cells.clear();
  }

  #read(span: number, { tenant, start, type }: StoredCell): StoredCell {
    const row = this.#select.first(span, tenant, start, type) as [number, number, number, number, number] | undefined;
    const [count, high, low, min, max] = row ?? [0, 0, 0, 0, 0];
    return { tenant, start, type, count, high, low, min, max };
  }
}
