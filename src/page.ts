/** A page of events: how much of it fits into one answer. */
import { type Event, heldBytes } from "./event.ts";
import { PAGE_BYTES_MAX } from "./limits.ts";

/** Which part of a list, and how much of it. */
export interface PageOptions {
  /** At most so many events. */
  readonly limit: number;
  readonly order: "asc" | "desc";
  /** Of the page before; missing gives the first page. */
  readonly cursor?: string;
  /** What an event takes at most in the form the caller gives it; its text, unless said otherwise. */
  readonly bytesOf?: (event: Event) => number;
}

/** What an event takes at most beside its user and its properties, whatever the form. */
export const EVENT_FRAME_BYTES = 300;

/** How many of the events, from the first, fit into one answer: those within `PAGE_BYTES_MAX`, and at least one. */
export function countFitting(events: readonly Event[], bytesOf: (event: Event) => number = heldBytes): number {
  let left = PAGE_BYTES_MAX;
  const beyond = events.findIndex((event) => (left -= bytesOf(event)) < 0);
  return beyond < 0 ? events.length : Math.max(1, beyond);
}
