/** The use cases of Event Hub. Every transport handler is decode → one call here → encode. */
import { AggregateFeed, withClosed } from "./aggregate_feed.ts";
import { Batcher } from "./batcher.ts";
import { decodePageCursor, encodePageCursor } from "./cursor.ts";
import { type FieldError, HubError } from "./errors.ts";
import { type Event, parseEvent, type Source } from "./event.ts";
import { Feed, type LiveSubscription, type SubscribeOptions } from "./feed.ts";
import {
  AGGREGATE_ROWS_MAX,
  AGGREGATED_METRICS_MINUTES_MAX,
  BATCH_EVENTS_MAX,
  BATCH_FIELD_ERRORS_MAX,
  PAGE_EVENTS_MAX,
} from "./limits.ts";
import { invalid, outcome, refusal, refused } from "./outcome.ts";
import { countFitting, type PageOptions } from "./page.ts";
import { parseContext, type ParseSettings } from "./parse_context.ts";
import type { AggregateRow } from "./rollup.ts";
import type {
  AppendStatus,
  EventFilter,
  EventRange,
  EventStore,
  RecountReport,
  StoreHealth,
  Total,
} from "./storage.ts";
import type { EventStream } from "./stream.ts";
import { TIMESTAMP_MAX } from "./timestamp.ts";
import { countWindows, HOUR_MS, MINUTE_MS, type Window, windowOf, type WindowSize } from "./window.ts";

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
  /** The page cursor right behind one of the events, by its index. */
  cursorAt(index: number): string;
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

/** What transports may ask of the hub. What is not a `HubError` among the rejections is a fault that they mask. */
export interface HubApi {
  /**
   * Takes one event. Rejects with `invalid_argument` (all field errors), `conflict`, `overloaded`, `unavailable` or
   * `deadline_exceeded` (the last three carry the id the hub gave, if it gave one). Resolves only when it is on disk.
   * `onGivenId` is told the id the hub gave at once, before the event is handed to the store.
   */
  publish(input: unknown, sender: Sender, onGivenId?: (id: string) => void): Promise<Published>;

  /**
   * Takes up to `BATCH_EVENTS_MAX` events, one result each, in order; one bad event harms no other. Once
   * `BATCH_FIELD_ERRORS_MAX` field errors are told, each further event tells its first alone.
   */
  publishBatch(inputs: readonly unknown[], sender: Sender): Promise<readonly IngestResult[]>;

  /** One event, or `not_found`. */
  get(tenant: string, id: string): Promise<Event>;

  /** Events by timestamp. `limit` 1–1,000 (else `invalid_argument`); fewer when they are larger than an answer may be. */
  list(filter: EventFilter, page: PageOptions): Promise<ListedEvents>;

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

/** What the hub is told about its surroundings. */
export interface HubOptions extends ParseSettings {
  readonly store: EventStore;
  readonly stream: EventStream;
  /** A clock that never goes back and is never set, milliseconds from anywhere: what is waited for is measured by it. */
  readonly elapsed: () => number;
  /** How long an event may wait for its commit. */
  readonly requestTimeoutMs: number;
}

/** The hub over a store and a stream. It owns neither: who opened them closes them, after {@link Hub.close}. */
export class Hub implements HubApi {
  readonly #options: HubOptions;
  readonly #batcher: Batcher;
  readonly #feed: Feed;
  readonly #aggregateFeed: AggregateFeed;

  constructor(options: HubOptions) {
    this.#options = options;
    this.#batcher = new Batcher(options.store, { deadlineMs: options.requestTimeoutMs });
    this.#feed = new Feed(options.stream, options);
    this.#aggregateFeed = new AggregateFeed(options.store, options.stream, options);
  }

  /** Subscribers of events and of windows now, and events waiting to be stored. */
  get load(): { readonly subscribers: number; readonly windowSubscribers: number; readonly eventsInFlight: number } {
    return {
      subscribers: this.#feed.size,
      windowSubscribers: this.#aggregateFeed.size,
      eventsInFlight: this.#batcher.inFlight,
    };
  }

  async publish(input: unknown, sender: Sender, onGivenId?: (id: string) => void): Promise<Published> {
    const parsed = parseEvent(input, parseContext(sender, this.#options));
    if (!parsed.ok) throw refused(parsed.errors);
    const id = parsed.idGiven ? undefined : parsed.event.id;
    if (id !== undefined) onGivenId?.(id);
    let status: AppendStatus | null;
    try {
      status = await this.#batcher.submitOne(parsed.event);
    } catch (error) {
      if (error instanceof HubError) throw new HubError(error.code, error.message, { id, cause: error });
      throw error;
    }
    if (status === "stored") return { id: parsed.event.id, duplicate: false };
    if (status === "duplicate") return { id: parsed.event.id, duplicate: true };
    throw refusal(status, id);
  }

  async publishBatch(inputs: readonly unknown[], sender: Sender): Promise<readonly IngestResult[]> {
    if (inputs.length > BATCH_EVENTS_MAX) {
      const message =
        `A batch may hold ${BATCH_EVENTS_MAX} events; this one holds ${inputs.length}, and none was stored`;
      throw new HubError("payload_too_large", message);
    }
    const context = { ...parseContext(sender, this.#options), faultBudget: { left: BATCH_FIELD_ERRORS_MAX } };
    const parsed = inputs.map((input) => parseEvent(input, context));
    const events = parsed.flatMap((each) => each.ok ? [each.event] : []);
    const statuses = await this.#batcher.submit(events);
    let next = 0;
    return parsed.map((each) => each.ok ? outcome(each.event.id, statuses?.[next++] ?? null) : invalid(each));
  }

  async get(tenant: string, id: string): Promise<Event> {
    const event = await this.#options.store.get(tenant, id);
    if (event === null) throw new HubError("not_found", "There is no event with this id");
    return event;
  }

  async list(filter: EventFilter, { limit, order, cursor, bytesOf }: PageOptions): Promise<ListedEvents> {
    checkInteger("limit", limit, { min: 1, max: PAGE_EVENTS_MAX });
    const after = cursor === undefined ? undefined : decodePageCursor(filter.tenant, order, cursor);
    const { events, ties, next } = await this.#options.store.list(filter, { limit, order, after });
    const cursorAt = (index: number) =>
      encodePageCursor(filter.tenant, order, { timestamp: events[index]!.timestamp, tie: ties[index]! });
    const count = countFitting(events, bytesOf);
    if (count < events.length) return { events: events.slice(0, count), nextCursor: cursorAt(count - 1), cursorAt };
    return { events, nextCursor: next === null ? null : encodePageCursor(filter.tenant, order, next), cursorAt };
  }

  async aggregates(request: AggregatesRequest): Promise<Aggregates> {
    const { window, zone } = request;
    const now = this.#options.now();
    const to = request.to ?? (request.from === undefined ? now : Math.max(now, request.from));
    const from = request.from ?? to - HOUR_MS;
    if (from > to) throw badParameter("from", "out_of_range", "must not be later than `to`");
    const range: Window = {
      start: windowOf(from, window, zone).start,
      end: from === to ? windowOf(from, window, zone).start : windowOf(to - 1, window, zone).end,
    };
    if (countWindows(range, window, zone) > AGGREGATE_ROWS_MAX) {
      throw new HubError("range_too_large", `The range has more than ${AGGREGATE_ROWS_MAX} windows of ${window}`, {
        errors: [{ parameter: "from", code: "out_of_range", detail: "ask for a shorter range or a larger window" }],
      });
    }
    const { start, end } = range;
    if (end > TIMESTAMP_MAX) {
      throw badParameter("to", "out_of_range", "must leave the last window within the year 9999");
    }
    const rows = start === end ? [] : await this.#options.store.aggregate({ ...request, from: start, to: end });
    return { from: start, to: end, rows: rows.map((row) => withClosed(row, now)) };
  }

  async aggregatedMetrics(tenant: string, minutes: number): Promise<Total> {
    checkInteger("minutes", minutes, { min: 1, max: AGGREGATED_METRICS_MINUTES_MAX });
    const now = this.#options.now();
    return await this.#options.store.count({ tenant, from: now - minutes * MINUTE_MS, to: now + 1 });
  }

  async streamHead(tenant: string): Promise<string> {
    return this.#options.stream.cursor(tenant, await this.#options.stream.head());
  }

  subscribe(options: SubscribeOptions): Promise<LiveSubscription> {
    return this.#feed.subscribe(options);
  }

  subscribeAggregates(options: AggregateSubscribeOptions): Promise<AggregateSubscription> {
    return this.#aggregateFeed.subscribe(options);
  }

  verify(range: EventRange): Promise<RecountReport> {
    return this.#options.store.verify(checkRange(range));
  }

  rebuild(range: EventRange): Promise<RecountReport> {
    return this.#options.store.rebuild(checkRange(range));
  }

  health(): Promise<StoreHealth> {
    return this.#options.store.health();
  }

  /** What time brings to subscribers: keep-alives, closed windows, the end of stalled ones. Call it every second. */
  async tick(): Promise<void> {
    this.#feed.tick();
    await this.#aggregateFeed.tick();
  }

  /** Resolves when everything taken so far is stored, counted and handed to the subscribers that are up to date. */
  async whenSettled(): Promise<void> {
    await this.#batcher.whenIdle();
    await this.#options.store.settle();
    await this.#feed.whenIdle();
    await this.#aggregateFeed.tick();
  }

  /** Ends all subscriptions with their cursors; the first half of {@link close}. Harmless twice. */
  endSubscriptions(): void {
    this.#feed.close();
    this.#aggregateFeed.close();
  }

  /** Ends all subscriptions, takes no more events, and waits for those that are being stored. Harmless twice. */
  async close(): Promise<void> {
    this.endSubscriptions();
    await this.#batcher[Symbol.asyncDispose]();
  }
}

function badParameter(parameter: string, code: FieldError["code"], detail: string): HubError {
  return new HubError("invalid_argument", `${parameter}: ${detail}`, { errors: [{ parameter, code, detail }] });
}

function checkInteger(parameter: string, value: number, bounds: { min: number; max: number }): void {
  if (Number.isInteger(value) && value >= bounds.min && value <= bounds.max) return;
  throw badParameter(parameter, "out_of_range", `must be a whole number from ${bounds.min} to ${bounds.max}`);
}

function checkRange(range: EventRange): EventRange {
  if (range.from >= range.to) throw badParameter("from", "out_of_range", "must be earlier than `to`");
  return range;
}
