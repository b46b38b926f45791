/** Live windows: whoever follows a window gets its row again when it changed or closed, at most once a second. */
import { getLogger } from "@logtape/logtape";
import { HubError } from "./errors.ts";
import type { AggregateMessage, AggregateSubscribeOptions, AggregateSubscription, WindowRow } from "./hub.ts";
import {
  AGGREGATE_CHANGED_WINDOWS_MAX,
  AGGREGATE_SUBSCRIBER_ROWS_MAX,
  AGGREGATE_WINDOWS_PER_TICK_MAX,
  STREAM_KEEP_ALIVE_MS,
  SUBSCRIBER_STALL_MS,
  SUBSCRIBERS_MAX,
  WINDOW_CLOSE_GRACE_MS,
} from "./limits.ts";
import type { EventStore } from "./storage.ts";
import type { ChangedCells, EventStream } from "./stream.ts";
import { type Window, windowOf } from "./window.ts";

const log = getLogger(["eventhub", "aggregate-feed"]);

type Follower = AggregateSubscription & {
  offer(rows: readonly WindowRow[]): void;
  tick(now: number): void;
  finish(reason: "slow_consumer" | "shutdown" | "unavailable"): void;
};

/** A row with whether its window is closed at a time. */
export function withClosed<Row extends { readonly end: number }>(row: Row, now: number): Row & { closed: boolean } {
  return { ...row, closed: isClosed(row, now) };
}

function isClosed(window: { readonly end: number }, now: number): boolean {
  return now >= window.end + WINDOW_CLOSE_GRACE_MS;
}

/** A subscriber: rows wait by their key, so that a newer state replaces the older one. */
class WindowSubscriber implements Follower {
  readonly #elapsed: () => number;
  readonly #remove: () => void;
  readonly #ended = new AbortController();
  readonly #waiting = new Map<string, WindowRow>();
  #waiter: ((message: AggregateMessage) => void) | null = null;
  #pendingSince: number | null = null;
  #takenAt: number;
  #end: AggregateMessage | null = null;

  constructor(options: { elapsed: () => number; remove: (subscriber: WindowSubscriber) => void }) {
    this.#elapsed = options.elapsed;
    this.#remove = () => options.remove(this);
    this.#takenAt = options.elapsed();
  }

  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  next(): Promise<AggregateMessage> {
    if (this.#waiter !== null) throw new Error("Cannot call next while a call of it is waiting");
    this.#pendingSince = null;
    this.#takenAt = this.#elapsed();
    if (this.#end !== null) return Promise.resolve(this.#end);
    if (this.#waiting.size > 0) return Promise.resolve(this.#rows());
    return new Promise((resolve) => this.#waiter = resolve);
  }

  close(): void {
    this.finish("shutdown");
  }

  finish(reason: "slow_consumer" | "shutdown" | "unavailable"): void {
    if (this.#end !== null) return;
    this.#end = { kind: "end", reason };
    this.#waiting.clear();
    this.#remove();
    this.#ended.abort(reason);
    this.#answer(this.#end);
  }

  offer(rows: readonly WindowRow[]): void {
    for (const row of rows) this.#waiting.set(`${row.start} ${row.eventType ?? ""}`, row);
    if (this.#waiting.size > AGGREGATE_SUBSCRIBER_ROWS_MAX) this.finish("slow_consumer");
    else if (this.#waiter !== null) this.#answer(this.#rows());
    else this.#pendingSince ??= this.#elapsed();
  }

  tick(now: number): void {
    if (this.#waiter !== null && now - this.#takenAt >= STREAM_KEEP_ALIVE_MS) this.#answer({ kind: "alive" });
    else if (this.#pendingSince !== null && now - this.#pendingSince >= SUBSCRIBER_STALL_MS) {
      this.finish("slow_consumer");
    }
  }

  #rows(): AggregateMessage {
    const rows = [...this.#waiting.values()];
    this.#waiting.clear();
    return { kind: "rows", rows };
  }

  #answer(message: AggregateMessage): void {
    const waiter = this.#waiter;
    this.#waiter = null;
    waiter?.(message);
  }
}

/** Subscribers that follow the same windows share one reading of them. */
class Topic {
  readonly options: AggregateSubscribeOptions;
  readonly followers = new Set<Follower>();
  /** Followers that have not got the first rows yet. */
  readonly fresh = new Set<Follower>();
  /** Starts of windows to read again. */
  readonly changed = new Set<number>();
  /** Windows sent while open, to be sent once more when they close. */
  readonly open = new Map<number, Window>();
  /** Until when it was told what changed. */
  #toldAt: number;

  constructor(options: AggregateSubscribeOptions, now: number) {
    this.options = options;
    this.#toldAt = now;
  }

  note(cells: ChangedCells, now: number): void {
    const { tenant, eventTypes, window } = this.options;
    const toldAt = this.#toldAt;
    this.#toldAt = now;
    if (cells === "all") {
      for (const start of this.open.keys()) this.changed.add(start);
      this.#noteSince(toldAt, now);
      return;
    }
    for (const cell of cells) {
      if (cell.tenant !== tenant) continue;
      if (eventTypes !== null && !eventTypes.includes(cell.eventType)) continue;
      this.changed.add(windowOf(cell.start, window).start);
    }
  }

  /** The windows since it was told anything, at least the last two, and no more than one tick reads. */
  #noteSince(toldAt: number, now: number): void {
    const { window } = this.options;
    let { start } = windowOf(now, window);
    for (let count = 1; count <= AGGREGATE_WINDOWS_PER_TICK_MAX; count++) {
      this.changed.add(start);
      if (count > 1 && start <= toldAt) return;
      start = windowOf(start - 1, window).start;
    }
  }

  /** The next windows to read, neighbours joined into ranges; what is too much stays for the next call. */
  take(now: number): Window[] {
    for (const [start, window] of this.open) {
      if (!isClosed(window, now)) continue;
      this.open.delete(start);
      this.changed.add(start);
    }
    const starts = [...this.changed].sort((a, b) => a - b).slice(0, AGGREGATE_WINDOWS_PER_TICK_MAX);
    const ranges: { start: number; end: number }[] = [];
    for (const start of starts) {
      this.changed.delete(start);
      const window = windowOf(start, this.options.window);
      if (!isClosed(window, now)) this.open.set(start, window);
      const last = ranges.at(-1);
      if (last?.end === start) last.end = window.end;
      else ranges.push({ start, end: window.end });
    }
    return ranges;
  }
}

/** Reads changed windows once for all who follow them. Call {@link AggregateFeed.tick} about once a second. */
export class AggregateFeed {
  readonly #store: Pick<EventStore, "aggregate">;
  readonly #stream: Pick<EventStream, "watchCells">;
  readonly #now: () => number;
  readonly #elapsed: () => number;
  readonly #topics = new Map<string, Topic>();
  #size = 0;
  #unwatch: (() => void) | null = null;
  #ticking: Promise<void> | null = null;
  #closed = false;

  constructor(
    store: Pick<EventStore, "aggregate">,
    stream: Pick<EventStream, "watchCells">,
    options: { now: () => number; elapsed: () => number },
  ) {
    this.#store = store;
    this.#stream = stream;
    this.#now = options.now;
    this.#elapsed = options.elapsed;
  }

  /** Subscribers now. */
  get size(): number {
    return this.#size;
  }

  /** Follows windows; the rows of the last two come first. */
  async subscribe(options: AggregateSubscribeOptions): Promise<AggregateSubscription> {
    if (this.#closed) throw new HubError("unavailable", "Cannot subscribe: the hub is shutting down");
    if (this.#size >= SUBSCRIBERS_MAX) throw new HubError("overloaded", "Cannot subscribe: too many subscribers");
    const key = JSON.stringify([options.tenant, options.window, options.groupByType, options.eventTypes]);
    const topic = this.#topics.get(key) ?? new Topic(options, this.#now());
    this.#topics.set(key, topic);
    this.#unwatch ??= this.#stream.watchCells((cells) => {
      for (const each of this.#topics.values()) each.note(cells, this.#now());
    });
    const subscriber = new WindowSubscriber({
      elapsed: this.#elapsed,
      remove: (gone) => this.#remove(key, topic, gone),
    });
    topic.followers.add(subscriber);
    topic.fresh.add(subscriber);
    this.#size += 1;
    while (topic.fresh.has(subscriber)) await this.tick();
    return subscriber;
  }

  /** Sends what changed since the last call, keep-alives, and the end to who does not read. Never rejects. */
  async tick(): Promise<void> {
    this.#ticking ??= this.#round().finally(() => this.#ticking = null);
    await this.#ticking;
  }

  /** Ends every subscription. Harmless twice. */
  close(): void {
    this.#closed = true;
    for (const topic of [...this.#topics.values()]) for (const each of [...topic.followers]) each.finish("shutdown");
  }

  async #round(): Promise<void> {
    const now = this.#now();
    for (const topic of [...this.#topics.values()]) {
      try {
        if (topic.changed.size > AGGREGATE_CHANGED_WINDOWS_MAX) {
          throw new HubError("overloaded", `More than ${AGGREGATE_CHANGED_WINDOWS_MAX} windows changed at once`);
        }
        for (const range of topic.take(now)) {
          const rows = await this.#read(topic.options, range);
          if (rows.length > 0) { for (const follower of [...topic.followers]) follower.offer(rows); }
        }
        await this.#greet(topic, now);
      } catch (cause) {
        log.error("Live windows could not be read; their subscribers are ended", { cause });
        for (const follower of [...topic.followers]) follower.finish("unavailable");
      }
      for (const follower of [...topic.followers]) follower.tick(this.#elapsed());
    }
  }

  /** Gives the rows of the last two windows to who came since; in turn with the ticks, so that none is outdated. */
  async #greet(topic: Topic, now: number): Promise<void> {
    const fresh = [...topic.fresh];
    if (fresh.length === 0) return;
    const current = windowOf(now, topic.options.window);
    const before = windowOf(current.start - 1, topic.options.window);
    const rows = await this.#read(topic.options, { start: before.start, end: current.end });
    for (const window of [before, current]) {
      if (!isClosed(window, now)) topic.open.set(window.start, window);
    }
    for (const follower of fresh) {
      topic.fresh.delete(follower);
      follower.offer(rows);
    }
  }

  async #read(options: AggregateSubscribeOptions, range: Window): Promise<WindowRow[]> {
    const rows = await this.#store.aggregate({
      tenant: options.tenant,
      from: range.start,
      to: range.end,
      window: options.window,
      groupByType: options.groupByType,
      eventTypes: options.eventTypes,
      fill: false,
      zone: "UTC",
      percentiles: false,
    });
    const now = this.#now();
    return rows.map((row) => withClosed(row, now));
  }

  #remove(key: string, topic: Topic, follower: Follower): void {
    topic.fresh.delete(follower);
    if (!topic.followers.delete(follower)) return;
    this.#size -= 1;
    if (topic.followers.size === 0) this.#topics.delete(key);
    if (this.#topics.size > 0) return;
    this.#unwatch?.();
    this.#unwatch = null;
  }
}
