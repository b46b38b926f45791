/** Counts events anew, an hour at a time in small steps, and compares with the cells: for verify and rebuild. */
import { Histogram } from "../histogram.ts";
import { RECOUNT_DIFFERENCES_MAX } from "../limits.ts";
import type { CellDifference, EventRange, RecountReport, Total } from "../storage.ts";
import { HOUR_MS, hourOf, MINUTE_MS, minuteOf } from "../window.ts";
import { addCell, carry } from "./sqlite_cells.ts";
import { readTransaction } from "./sqlite_connection.ts";
import type { Names } from "./sqlite_names.ts";
import type { CountedCell, CountedRow, RecountQueries } from "./sqlite_recount_queries.ts";
import { joinSum } from "./sqlite_schema.ts";

/** Before every minute there is. */
const NOTHING_FROZEN = -1;

/** An hour of a tenant as the log had it at one moment; the later events can be added. */
export class HourRecount {
  readonly tenant: number;
  readonly hour: number;
  /** Cells as they were found, of the hour and its minutes. */
  readonly stored: readonly CountedCell[];
  /** Up to here the log was counted. */
  readonly throughSeq: number;
  /** Minutes that begin up to this time are frozen: purge took events of them. */
  readonly frozenThrough: number;
  /** Rows that were not indexed at that moment: stored histograms lack them. */
  readonly unindexed: readonly CountedRow[];
  events = 0;
  readonly #queries: RecountQueries;
  readonly #stretches: [number, number][];
  readonly #minutes = new Map<string, CountedCell>();

  /** Takes the moment: call it in a transaction. `frozen`: the events that are left of frozen minutes are counted, too. */
  constructor(
    queries: RecountQueries,
    { tenant, hour, frozen = false }: { tenant: number; hour: number; frozen?: boolean },
  ) {
    this.#queries = queries;
    this.tenant = tenant;
    this.hour = hour;
    const { lastSeq, indexedSeq, purgedThrough } = queries.state();
    this.throughSeq = lastSeq;
    this.frozenThrough = frozen ? NOTHING_FROZEN : purgedThrough;
    this.stored = queries.stored(tenant, hour);
    this.#stretches = queries.stretches(tenant, hour);
    this.unindexed = queries.tail(tenant, hour, { after: indexedSeq, through: lastSeq });
    for (const row of this.unindexed) this.fold(row, { indexed: false });
  }

  /** Counts one stretch of the log; false when none was left. */
  step(): boolean {
    const stretch = this.#stretches.pop();
    if (stretch === undefined) return false;
    for (const row of this.#queries.stretch(this.tenant, this.hour, stretch)) this.fold(row, { indexed: true });
    return true;
  }

  /** Adds an event to its minute; to its histogram only when `indexed`. */
  fold(row: CountedRow, { indexed }: { indexed: boolean }): void {
    const start = minuteOf(row.timestamp);
    if (start <= this.frozenThrough) return;
    const { type, amount } = row;
    const key = `${start}.${type}`;
    let cell = this.#minutes.get(key);
    if (cell === undefined) {
      cell = emptyCell({ span: MINUTE_MS, tenant: this.tenant, start, type, min: amount, max: amount });
      this.#minutes.set(key, cell);
    }
    this.events++;
    cell.count++;
    cell.low += amount;
    carry(cell);
    if (amount < cell.min) cell.min = amount;
    if (amount > cell.max) cell.max = amount;
    if (indexed) this.index(row);
  }

  /** Adds an event that was folded before to its histogram. */
  index({ timestamp, type, amount }: CountedRow): void {
    const cell = this.#minutes.get(`${minuteOf(timestamp)}.${type}`);
    if (cell === undefined) return;
    cell.histogram ??= new Histogram();
    cell.histogram.add(amount);
  }

  /** Stored cells of frozen minutes: all that is left of them. */
  get frozen(): CountedCell[] {
    return this.stored.filter((cell) => cell.span === MINUTE_MS && cell.start <= this.frozenThrough);
  }

  /** The cells as they should be, but for the frozen minutes: the other minutes, and the hour over all of them. */
  counted(): CountedCell[] {
    const hours = new Map<number, CountedCell>();
    for (const minute of [...this.frozen, ...this.#minutes.values()]) {
      let hour = hours.get(minute.type);
      if (hour === undefined) {
        const { tenant, type, min, max } = minute;
        hour = emptyCell({ span: HOUR_MS, tenant, start: this.hour, type, min, max });
        hours.set(type, hour);
      }
      addCell(hour, minute);
      if (minute.histogram === null) continue;
      hour.histogram ??= new Histogram();
      hour.histogram.merge(minute.histogram);
    }
    return [...this.#minutes.values(), ...hours.values()];
  }
}

/** Adds up what the hours of a recount found. */
export class Recount {
  readonly #queries: RecountQueries;
  readonly #names: Names;
  readonly #tenant: number;
  readonly #to: number;
  readonly #report = { events: 0, cells: 0, differing: 0, frozenMinutes: 0 };
  readonly #differences: CellDifference[] = [];
  #from: number;

  /** Goes over a range, widened to hours. */
  constructor(queries: RecountQueries, { names, tenant, range }: { names: Names; tenant: number; range: EventRange }) {
    this.#queries = queries;
    this.#names = names;
    this.#tenant = tenant;
    this.#from = hourOf(range.from);
    this.#to = range.to;
  }

  /** The next hour of which anything is known; `null` at the end. */
  next(): HourRecount | null {
    return readTransaction(this.#queries.database, () => {
      const hour = this.#queries.hourFrom(this.#tenant, this.#from);
      return hour === null || hour >= this.#to ? null : new HourRecount(this.#queries, { tenant: this.#tenant, hour });
    });
  }

  /** Takes an hour that is counted; false when a purge came between, so that it must be counted again. */
  take(hour: HourRecount): boolean {
    const { purgedThrough } = this.#queries.state();
    if (purgedThrough !== hour.frozenThrough && hour.hour <= purgedThrough) return false;
    this.#compare(hour);
    this.#from = hour.hour + HOUR_MS;
    return true;
  }

  /** What was found so far. */
  get report(): RecountReport {
    return { ...this.#report, differences: this.#differences };
  }

  #compare(hour: HourRecount): void {
    this.#report.events += hour.events;
    this.#report.frozenMinutes += new Set(hour.frozen.map((cell) => cell.start)).size;
    const stored = new Map<string, CountedCell>();
    for (const cell of hour.stored) {
      if (cell.span === HOUR_MS || cell.start > hour.frozenThrough) stored.set(keyOf(cell), cell);
    }
    for (const cell of hour.counted()) {
      this.#compareCell(stored.get(keyOf(cell)) ?? null, cell);
      stored.delete(keyOf(cell));
    }
    for (const cell of stored.values()) this.#compareCell(cell, null);
  }

  #compareCell(stored: CountedCell | null, counted: CountedCell | null): void {
    this.#report.cells++;
    if (stored !== null && counted !== null && isSame(stored, counted)) return;
    this.#report.differing++;
    if (this.#differences.length === RECOUNT_DIFFERENCES_MAX) return;
    const { start, span, type } = (stored ?? counted)!;
    this.#differences.push({
      start,
      span: span === HOUR_MS ? "hour" : "minute",
      eventType: this.#names.type(type),
      stored: totalOf(stored),
      counted: totalOf(counted),
    });
  }
}

function emptyCell(
  given: Pick<CountedCell, "span" | "tenant" | "start" | "type" | "min" | "max">,
): CountedCell {
  return { ...given, count: 0, high: 0, low: 0, histogram: null };
}

function keyOf({ span, start, type }: CountedCell): string {
  return `${span}.${start}.${type}`;
}

function isSame(a: CountedCell, b: CountedCell): boolean {
  if (a.count !== b.count || a.high !== b.high || a.low !== b.low || a.min !== b.min || a.max !== b.max) return false;
  if (a.histogram === null || b.histogram === null) return a.histogram === b.histogram;
  return a.histogram.equals(b.histogram);
}

function totalOf(cell: CountedCell | null): Total | null {
  return cell === null ? null : { count: cell.count, sum: joinSum(cell.high, cell.low) };
}
