/** The use cases of Event Hub. Every transport handler is decode → one call here → encode. */
import type { FieldError } from "./errors.ts";
import type { Event, Source } from "./event.ts";
import type { LiveSubscription, SubscribeOptions } from "./feed.ts";
import type { AggregateRow } from "./rollup.ts";
import type { EventFilter, EventRange, RecountReport, StoreHealth, Total } from "./storage.ts";
import type { WindowSize } from "./window.ts";

/** Who sends, and over which protocol. */
export interface Sender {
  readonly tenant: string;
  readonly source: Source;
}

/** A single event that was taken. */
export interface Published {
  readonly id: string;
  readonly duplicate: boolean;
}

/** What became of one event of a batch. `id` is `null` only where an invalid event brought none. */
export type IngestResult =
  | { readonly status: "stored" | "duplicate"; readonly id: string }
  | { readonly status: "conflict"; readonly id: string; readonly errors: readonly FieldError[] }
  | { readonly status: "invalid"; readonly id: string | null; readonly errors: readonly FieldError[] }
  /** Not known to be stored: send it again with this id. */
  | { readonly status: "unavailable"; readonly id: string };

/** A page of events and the opaque cursor of the next; `null` is the end. */
export interface ListedEvents {
  readonly events: readonly Event[];
  readonly nextCursor: string | null;
}

/** A question about windows; see contract `GET /aggregates`. Times in milliseconds; missing = the last hour. */
export interface AggregatesRequest {
  readonly tenant: string;
  readonly from?: number;
  readonly to?: number;
  readonly window: WindowSize;
  readonly groupByType: boolean;
  readonly eventTypes: readonly string[] | null;
  readonly fill: boolean;
  readonly zone: string;
  readonly percentiles: boolean;
}

/** A row and whether its window is closed (its end and a grace of 5 s have passed; a late event still changes it). */
export type WindowRow = AggregateRow & { readonly closed: boolean };

/** The windows asked for; `from` and `to` as widened to whole windows. */
export interface Aggregates {
  readonly from: number;
  readonly to: number;
  readonly rows: readonly WindowRow[];
}

/** What {@link HubApi.subscribeAggregates} follows. */
export interface AggregateSubscribeOptions {
  readonly tenant: string;
  readonly window: WindowSize;
  readonly groupByType: boolean;
  readonly eventTypes: readonly string[] | null;
}

/** Rows that changed or closed; nothing for 15 s (`alive`); or the end. */
export type AggregateMessage =
  | { readonly kind: "rows"; readonly rows: readonly WindowRow[] }
  | { readonly kind: "alive" }
  | { readonly kind: "end"; readonly reason: "slow_consumer" | "shutdown" | "unavailable" };

/** Like a `LiveSubscription`, of windows. */
export interface AggregateSubscription {
  next(): Promise<AggregateMessage>;
  /** Aborted when the hub ended it, as in `LiveSubscription`. */
  readonly ended: AbortSignal;
  close(): void;
}

/** What transports may ask of the hub. Every method rejects with a `HubError`, and only with that. */
export interface HubApi {
  /**
   * Takes one event. Rejects with `invalid_argument` (all field errors), `conflict`, `overloaded`, `unavailable` or
   * `deadline_exceeded` (the last three carry the id the hub gave, if it gave one). Resolves only when it is on disk.
   */
  publish(input: unknown, sender: Sender): Promise<Published>;

  /** Takes up to `BATCH_EVENTS_MAX` events, one result each, in order; one bad event harms no other. */
  publishBatch(inputs: readonly unknown[], sender: Sender): Promise<readonly IngestResult[]>;

  /** One event, or `not_found`. */
  get(tenant: string, id: string): Promise<Event>;

  /** Events by timestamp. `limit` 1–1,000 (else `invalid_argument`); `cursor` from the page before. */
  list(
    filter: EventFilter,
    page: { limit: number; order: "asc" | "desc"; cursor?: string },
  ): Promise<ListedEvents>;

  /** Windows of metrics; rejects with `range_too_large` beyond 10,000 rows. */
  aggregates(request: AggregatesRequest): Promise<Aggregates>;

  /** Exactly the events with `now − minutes·60 s ≤ timestamp ≤ now`. `minutes` 1–1,440 (else `invalid_argument`). */
  aggregatedMetrics(tenant: string, minutes: number): Promise<Total>;

  /** The live cursor of now, to list first and follow then without a gap. */
  streamHead(tenant: string): Promise<string>;

  /** Follows the log. Rejects with `invalid_cursor`, `overloaded` (too many subscribers) or `unavailable`. */
  subscribe(options: SubscribeOptions): Promise<LiveSubscription>;

  /** Follows windows: the rows of the last two, then a row whenever a window changes or closes. */
  subscribeAggregates(options: AggregateSubscribeOptions): Promise<AggregateSubscription>;

  /** Recounts a range of event time and compares. */
  verify(range: EventRange): Promise<RecountReport>;

  /** Recounts a range and replaces its cells. */
  rebuild(range: EventRange): Promise<RecountReport>;

  /** Whether events can be taken and given now. */
  health(): Promise<StoreHealth>;
}
