/**
 * The port to durable storage. A driver stores events, keeps their per-minute cells, and answers questions about both.
 * Batching, masking of errors and metrics sit above it. `tests/storage/conformance.ts` is its suite.
 */
import type { Event } from "./event.ts";
import type { AggregateQuery, AggregateRow } from "./rollup.ts";

/**
 * What became of one appended event.
 * - `stored`: it is on disk, and this call put it there.
 * - `duplicate`: the id was there with the same content.
 * - `conflict`: the id was there with other content; nothing changed.
 * - `too_many_event_types`: its type would be one more than a tenant may have; not stored.
 * - `purged`: it is not newer than an event that retention has purged; not stored, so that no id is counted twice. A
 *   store that counts by recomputing refuses the rest of that minute, too.
 * - `unavailable`: it is not known to be stored. Sending it again with the same id is safe.
 */
export type AppendStatus = "stored" | "duplicate" | "conflict" | "too_many_event_types" | "purged" | "unavailable";

/** Half-open range of event time in milliseconds since the epoch, of one tenant. */
export interface EventRange {
  readonly tenant: string;
  readonly from: number;
  readonly to: number;
}

/** Which events to list. Times are event times in milliseconds, half-open; what is missing does not restrict. */
export interface EventFilter {
  readonly tenant: string;
  readonly userId?: string;
  readonly eventTypes?: readonly string[];
  readonly from?: number;
  readonly to?: number;
}

/** A place between two events in the order (timestamp, tie). `tie` is the driver's own and means nothing elsewhere. */
export interface PagePosition {
  readonly timestamp: number;
  readonly tie: string;
}

/** One page of a list, ordered by (timestamp, tie). */
export interface PageRequest {
  /** Largest number of events, 1 to `PAGE_EVENTS_MAX`. */
  readonly limit: number;
  readonly order: "asc" | "desc";
  /** Where the page before ended; missing = from the start. */
  readonly after?: PagePosition;
}

/** A page may be shorter than asked for; only `next: null` is the end. */
export interface EventPage {
  readonly events: readonly Event[];
  /** The tie of each event, in the same order: with its timestamp it is the place right behind that event. */
  readonly ties: readonly string[];
  readonly next: PagePosition | null;
}

/** Exact totals of a range: `sum` in amount units (1/10,000). */
export interface Total {
  readonly count: number;
  readonly sum: bigint;
}

/** A minute cell that differs from a recount of its events. */
export interface CellDifference {
  /** Start of the minute (or hour), milliseconds. */
  readonly start: number;
  readonly span: "minute" | "hour";
  readonly eventType: string;
  readonly stored: Total | null;
  readonly counted: Total | null;
}

/** What a recount found. `differences` holds the first 100. */
export interface RecountReport {
  readonly events: number;
  readonly cells: number;
  readonly differing: number;
  readonly differences: readonly CellDifference[];
  /** Minutes not looked at because retention purged events of them: their cells are all that is left. */
  readonly frozenMinutes: number;
}

/** Whether the store can take and give events now. */
export interface StoreHealth {
  readonly ok: boolean;
  /** What is wrong, or what it is, for a person. */
  readonly detail: string;
}

/**
 * Durable storage. Every method rejects with a `HubError` of code `unavailable` when the database cannot be reached,
 * except {@link append}, which answers per event.
 */
export interface EventStore extends AsyncDisposable {
  /** Name of the driver for logs and health. */
  readonly name: string;
  /** Whether a cell shows an event as soon as it is stored (embedded), or only after {@link settle} (distributed). */
  readonly settlesOnAppend: boolean;

  /**
   * Stores events, each in (tenant, id) once, and answers with one status an event, in order. Resolves only when
   * everything called `stored` or `duplicate` is on disk. Of equal ids in one call the first is the first copy.
   * Never rejects because of the database: what is not known to be stored is `unavailable`. An event without a user (no
   * parsed one is) was erased where it comes from, and is stored as erased.
   */
  append(events: readonly Event[]): Promise<readonly AppendStatus[]>;

  /** One event; `null` when it was never stored, is purged, or is erased. */
  get(tenant: string, id: string): Promise<Event | null>;

  /** A page of events by (timestamp, order of arrival). Erased events are hidden. */
  list(filter: EventFilter, page: PageRequest): Promise<EventPage>;

  /** Windows computed from the cells; the work is done off the serving thread where the driver has one. */
  aggregate(query: AggregateQuery): Promise<readonly AggregateRow[]>;

  /** Exact count and sum of a range of milliseconds, edges counted from the events (of those settled). */
  count(range: EventRange): Promise<Total>;

  /** Counts what is stored but not yet in the cells; safe at any time, from anywhere, twice. Answers how many. */
  settle(): Promise<number>;

  /** Recounts the cells of a range from the events and compares; changes nothing. The range is widened to hours. */
  verify(range: EventRange): Promise<RecountReport>;

  /** Replaces the cells of a range by a recount. The report tells what differed before. */
  rebuild(range: EventRange): Promise<RecountReport>;

  /**
   * Deletes the events received before a time (milliseconds), oldest first and in small steps, up to the first that
   * stays; keeps their cells. An event not newer than one ever purged is refused from then on, and so one stays whose
   * timestamp is not older than that time. What was received later than `now` came while the clock was ahead: it keeps
   * nothing behind it. `fateOf` is the rule. Answers how many were deleted.
   */
  purge(receivedBefore: number, options?: { readonly now?: number }): Promise<number>;

  /** Makes the events of a user anonymous and hidden; type, amount, time and id stay. Answers how many. */
  erase(tenant: string, userId: string): Promise<number>;

  /** Asks the database for a sign of life. Never rejects. */
  health(): Promise<StoreHealth>;
}
