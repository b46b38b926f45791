/** What the memory store holds of one tenant: its events by id and by minute, and the cells of each minute. */
import { foldAmount, mergeCell } from "../rollup.ts";
import { type CountedCell, emptyCountedCell } from "../transfer.ts";
import { minuteOf } from "../window.ts";
import type { MemoryEntry } from "./memory_log.ts";

/** A place in the order of lists: event time, then order of arrival. */
export interface Key {
  readonly timestamp: number;
  readonly sequence: number;
}

/** The events of one minute in the order of lists, and its cells by event type. Cells outlive purged events. */
export class Minute {
  readonly start: number;
  entries: MemoryEntry[] = [];
  cells = new Map<string, CountedCell>();

  constructor(start: number) {
    this.start = start;
  }

  /** The cells as the events say they should be. */
  recount(): Map<string, CountedCell> {
    const cells = new Map<string, CountedCell>();
    for (const entry of this.entries) count(cells, entry);
    return cells;
  }
}

/** One tenant's events. */
export class MemoryTenant {
  readonly entries = new Map<string, MemoryEntry>();
  /** Every type ever stored; purging events takes none away, because the cells stay. */
  readonly eventTypes = new Set<string>();
  readonly #minutes: Minute[] = [];

  /** Puts an entry under its id and into its minute, and counts it. */
  add(entry: MemoryEntry): void {
    this.entries.set(entry.event.id, entry);
    this.eventTypes.add(entry.event.eventType);
    const minute = this.#minute(minuteOf(entry.event.timestamp));
    minute.entries.splice(placeOf(minute.entries, keyOf(entry)), 0, entry);
    count(minute.cells, entry);
  }

  /** Adds cells of events that are not here to a minute. */
  addCells(start: number, cells: ReadonlyMap<string, CountedCell>): void {
    for (const eventType of cells.keys()) this.eventTypes.add(eventType);
    mergeCells(this.#minute(start).cells, cells);
  }

  /** Forgets entries, the tenant's oldest ones by order of arrival; their cells keep counting them. */
  remove(entries: readonly MemoryEntry[]): void {
    const minutes = new Set<Minute>();
    for (const { event } of entries) {
      this.entries.delete(event.id);
      minutes.add(this.#minute(minuteOf(event.timestamp)));
    }
    const last = entries.at(-1)?.sequence ?? 0;
    for (const minute of minutes) minute.entries = minute.entries.filter(({ sequence }) => sequence > last);
  }

  /** The minutes that have events or cells and start in a half-open range, in order. */
  minutesIn(from: number, to: number): Minute[] {
    const first = firstIndex(this.#minutes, (minute) => minute.start >= from);
    const end = firstIndex(this.#minutes, (minute) => minute.start >= to);
    return this.#minutes.slice(first, end);
  }

  /** The entries of a half-open stretch, in the order of lists or backwards. */
  *between(from: Key, to: Key, order: "asc" | "desc"): Iterable<MemoryEntry> {
    const minutes = this.minutesIn(minuteOf(from.timestamp), to.timestamp + 1);
    if (order === "desc") minutes.reverse();
    for (const { entries } of minutes) {
      const first = placeOf(entries, from);
      const end = placeOf(entries, to);
      if (order === "asc") { for (let i = first; i < end; i++) yield entries[i]!; }
      else for (let i = end - 1; i >= first; i--) yield entries[i]!;
    }
  }

  #minute(start: number): Minute {
    const at = firstIndex(this.#minutes, (minute) => minute.start >= start);
    const found = this.#minutes[at];
    if (found?.start === start) return found;
    const minute = new Minute(start);
    this.#minutes.splice(at, 0, minute);
    return minute;
  }
}

function count(cells: Map<string, CountedCell>, { event }: MemoryEntry): void {
  const cell = cellOf(cells, event.eventType);
  foldAmount(cell, event.amount);
  cell.histogram.add(event.amount);
}

function cellOf(cells: Map<string, CountedCell>, eventType: string): CountedCell {
  let cell = cells.get(eventType);
  if (!cell) cells.set(eventType, cell = emptyCountedCell());
  return cell;
}

/** Adds one cell of each type to others. */
export function mergeCells(into: Map<string, CountedCell>, from: ReadonlyMap<string, CountedCell>): void {
  for (const [eventType, cell] of from) {
    const own = cellOf(into, eventType);
    mergeCell(own, cell);
    own.histogram.merge(cell.histogram);
  }
}

function keyOf(entry: MemoryEntry): Key {
  return { timestamp: entry.event.timestamp, sequence: entry.sequence };
}

/** Index of the first entry that is not before the key. */
function placeOf(entries: readonly MemoryEntry[], key: Key): number {
  return firstIndex(
    entries,
    ({ event, sequence }) =>
      event.timestamp > key.timestamp || (event.timestamp === key.timestamp && sequence >= key.sequence),
  );
}

/** Index of the first item of which `holds` is true, in an array where it holds from some item on; else its length. */
function firstIndex<T>(items: readonly T[], holds: (item: T) => boolean): number {
  let [low, high] = [0, items.length];
  // Most of what comes in belongs at the end.
  if (high === 0 || !holds(items[high - 1]!)) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(items[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}
