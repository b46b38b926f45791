/** Places in the order of lists: event time, then seq. */
import { HubError } from "../errors.ts";
import type { EventFilter, PagePosition, PageRequest } from "../storage.ts";

/** The largest time a date can hold. */
const TIME_MAX = 8_640_000_000_000_000;

/** Where an event stands in lists. */
export interface Place {
  readonly timestamp: number;
  readonly seq: number;
}

/** A half-open stretch of the order. */
export interface Stretch {
  readonly from: Place;
  readonly to: Place;
}

/** Whether one place comes before another, oldest first. */
export function isBefore(a: Place, b: Place): boolean {
  return a.timestamp < b.timestamp || (a.timestamp === b.timestamp && a.seq < b.seq);
}

/** The stretch that a page has to look at. Throws `invalid_cursor` for a tie that is not this driver's. */
export function stretchOf(filter: EventFilter, page: PageRequest): Stretch {
  const clamp = (time: number) => Math.min(Math.max(time, -TIME_MAX), TIME_MAX);
  const stretch = {
    from: { timestamp: clamp(filter.from ?? -Infinity), seq: 0 },
    to: { timestamp: clamp(filter.to ?? Infinity), seq: 0 },
  };
  if (page.after === undefined) return stretch;
  if (!/^\d{1,16}$/.test(page.after.tie)) {
    throw new HubError("invalid_cursor", "The cursor belongs to another kind of store");
  }
  const after = { timestamp: page.after.timestamp, seq: Number(page.after.tie) };
  return behind(stretch, after, page.order);
}

/** What is left of a stretch behind a place in the order of reading. */
export function behind({ from, to }: Stretch, place: Place, order: "asc" | "desc"): Stretch {
  if (order === "desc") return { from, to: isBefore(place, to) ? place : to };
  const next = { timestamp: place.timestamp, seq: place.seq + 1 };
  return { from: isBefore(from, next) ? next : from, to };
}

/** A place as the position of a page. */
export function positionOf({ timestamp, seq }: Place): PagePosition {
  return { timestamp, tie: String(seq) };
}

/** Keeps the first places of many, in the order of reading. */
export class FirstPlaces {
  readonly #size: number;
  readonly #order: "asc" | "desc";
  #places: Place[] = [];
  /** The last place kept, once places were left out. */
  #last: Place | null = null;

  constructor(size: number, order: "asc" | "desc") {
    this.#size = size;
    this.#order = order;
  }

  /** Whether as many were added as are kept. */
  get isFull(): boolean {
    return this.#places.length >= this.#size;
  }

  /** Adds a place. */
  add(timestamp: number, seq: number): void {
    const place = { timestamp, seq };
    if (this.#last !== null && this.#compare(place, this.#last) >= 0) return;
    this.#places.push(place);
    if (this.#places.length > 4 * this.#size + 1_024) this.#cut();
  }

  /** The places in order, at most as many as are kept; `last` is the last one when others were left out. */
  finish(): { places: readonly Place[]; last: Place | null } {
    this.#cut();
    return { places: this.#places, last: this.#last };
  }

  #cut(): void {
    this.#places.sort((a, b) => this.#compare(a, b));
    if (this.#places.length <= this.#size) return;
    this.#places.length = this.#size;
    this.#last = this.#places[this.#size - 1]!;
  }

  #compare(a: Place, b: Place): number {
    const ascending = a.timestamp - b.timestamp || a.seq - b.seq;
    return this.#order === "asc" ? ascending : -ascending;
  }
}
