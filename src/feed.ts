/** The live feed: one tail of the log a thread, and a bounded queue per subscriber. */
import { getLogger } from "@logtape/logtape";
import { HubError } from "./errors.ts";
import { type Event, heldBytes } from "./event.ts";
import { LOG_PAGE_EVENTS, SUBSCRIBERS_MAX } from "./limits.ts";
import type { EventStream, LogPage, Position, ResetReason, Start } from "./stream.ts";
import { SharedPages } from "./shared_pages.ts";
import { Subscriber, type SubscriberHost } from "./subscriber.ts";

const log = getLogger(["eventhub", "feed"]);

/** What a subscriber wants; what is missing does not restrict. */
export interface LiveFilter {
  readonly userId?: string;
  readonly eventTypes?: readonly string[];
}

/** An event and the cursor that goes on behind it. */
export interface LiveEvent {
  readonly event: Event;
  readonly cursor: string;
}

/** Why the hub ended a subscription. All but `revoked` and `expired_credential` can be resumed with the cursor. */
export type EndReason = "slow_consumer" | "shutdown" | "revoked" | "expired_credential" | "unavailable";

/**
 * Events in the order of the log. All subscribers with the same tenant and filter get the same object, so that
 * what a format makes of it can be made once: see {@link LiveBatch.encode}.
 */
export class LiveBatch {
  readonly events: readonly LiveEvent[];
  /** About how much memory it holds, for the bounds of queues. */
  readonly bytes: number;
  readonly #encoded = new Map<string, unknown>();

  constructor(events: readonly LiveEvent[]) {
    this.events = events;
    let bytes = 0;
    for (const { event } of events) bytes += heldBytes(event);
    this.bytes = bytes;
  }

  /** The batch in a format; `encoder` runs at the first call for that format name, and its result is shared. */
  encode<T>(format: string, encoder: (events: readonly LiveEvent[]) => T): T {
    if (!this.#encoded.has(format)) this.#encoded.set(format, encoder(this.events));
    return this.#encoded.get(format) as T;
  }
}

/**
 * What a subscriber reads.
 * - `position`: nothing new, but the cursor moved; also the first message, and the keep-alive every 15 s.
 * - `events`: at least one event.
 * - `reset`: continuity is lost (see `Reset` of the stream port); the subscription goes on.
 * - `end`: the last message; every later call gives it again.
 */
export type LiveMessage =
  | { readonly kind: "position"; readonly cursor: string }
  | { readonly kind: "events"; readonly batch: LiveBatch }
  | { readonly kind: "reset"; readonly reason: ResetReason; readonly mode: "replay" | "skip"; readonly cursor: string }
  | { readonly kind: "end"; readonly reason: EndReason; readonly cursor: string };

/**
 * One subscriber's view of the log. Whoever holds it calls {@link next} when it can send more: that is the flow
 * control. A subscriber that does not call for `SUBSCRIBER_STALL_MS` while something waits is ended.
 */
export interface LiveSubscription {
  /** The next message; waits until there is one. One call at a time. Never rejects. */
  next(): Promise<LiveMessage>;
  /** The cursor behind what `next` has given so far. */
  readonly cursor: string;
  /** Aborted when the hub ended it, so that a transport that is stuck in a write can let go; the reason is an {@link EndReason}. */
  readonly ended: AbortSignal;
  /** Ends it from the subscriber's side, at once, also while a `next` waits (which then gives `end`). Harmless twice. */
  close(): void;
}

/** What opens a subscription. */
export interface SubscribeOptions {
  readonly tenant: string;
  readonly start: Start;
  readonly filter: LiveFilter;
}

/** One tail of the log, read once for all subscribers of a thread; it stops while nobody listens. */
export class Feed {
  readonly #stream: EventStream;
  readonly #elapsed: () => number;
  readonly #all = new Set<Subscriber>();
  /** Subscribers fed by the tail, by their key. */
  readonly #live = new Map<string, Set<Subscriber>>();
  /** How far the tail has read; `null` while nobody is fed. */
  #position: Position | null = null;
  #dirty = false;
  #pumping = false;
  #unwatch: (() => void) | null = null;
  #closed = false;
  readonly #pages: SharedPages;
  readonly #host: SubscriberHost;

  /** `elapsed`: see `HubOptions`. */
  constructor(stream: EventStream, options: { elapsed: () => number }) {
    this.#stream = stream;
    this.#elapsed = options.elapsed;
    this.#pages = new SharedPages(stream, options);
    this.#host = {
      elapsed: options.elapsed,
      read: (after, tenant) => this.#pages.read(after, tenant),
      batch: (entries, subscriber) => this.#pages.batch(entries, subscriber),
      cursor: (tenant, position) => stream.cursor(tenant, position),
      join: (subscriber) => this.#join(subscriber),
      leave: (subscriber) => this.#leave(subscriber),
      remove: (subscriber) => this.#remove(subscriber),
      failed: (cause) => log.error("The live log could not be read", { cause }),
    };
  }

  /** Subscribers now. */
  get size(): number {
    return this.#all.size;
  }

  /** Follows the log. Rejects with `invalid_cursor`, `overloaded` beyond `SUBSCRIBERS_MAX`, or `unavailable`. */
  async subscribe(options: SubscribeOptions): Promise<LiveSubscription> {
    if (this.#closed) throw new HubError("unavailable", "Cannot subscribe: the hub is shutting down");
    if (this.#all.size >= SUBSCRIBERS_MAX) {
      throw new HubError("overloaded", `Cannot subscribe: there are ${this.#all.size} subscribers already`);
    }
    const { tenant, filter } = options;
    const { position, reset } = await this.#stream.open(tenant, options.start);
    const subscriber = new Subscriber(this.#host, { tenant, filter, position, reset });
    if (this.#closed) subscriber.finish("shutdown");
    else this.#all.add(subscriber);
    return subscriber;
  }

  /** Sends keep-alives and ends who does not read; call it about once a second. */
  tick(): void {
    this.#pages.tick();
    const now = this.#elapsed();
    for (const subscriber of this.#all) subscriber.tick(now);
  }

  /** Resolves when the tail has handed out everything committed before the call. */
  async whenIdle(): Promise<void> {
    const head = await this.#stream.head();
    await this.#pages.whenIdle();
    while (this.#position !== null && this.#position < head) {
      this.#wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Ends every subscription with `shutdown` and its cursor, and takes no new ones. Harmless twice. */
  close(): void {
    this.#closed = true;
    for (const subscriber of [...this.#all]) subscriber.finish("shutdown");
    this.#rest();
  }

  #join(subscriber: Subscriber): boolean {
    if (this.#position === null) {
      this.#position = subscriber.fed;
      this.#unwatch = this.#stream.watch(() => this.#wake());
    } else if (subscriber.fed < this.#position) {
      return false;
    }
    const group = this.#live.get(subscriber.key);
    if (group === undefined) this.#live.set(subscriber.key, new Set([subscriber]));
    else group.add(subscriber);
    this.#wake();
    return true;
  }

  #leave(subscriber: Subscriber): void {
    const group = this.#live.get(subscriber.key);
    group?.delete(subscriber);
    if (group?.size === 0) this.#live.delete(subscriber.key);
    if (this.#live.size === 0) this.#rest();
  }

  #remove(subscriber: Subscriber): void {
    this.#all.delete(subscriber);
    this.#leave(subscriber);
  }

  #rest(): void {
    this.#unwatch?.();
    this.#unwatch = null;
    this.#position = null;
  }

  #wake(): void {
    this.#dirty = true;
    if (!this.#pumping) void this.#pump();
  }

  /** Reads on until the end of the log; commits that come meanwhile are seen by one more round. */
  async #pump(): Promise<void> {
    this.#pumping = true;
    try {
      while (this.#dirty && this.#position !== null) {
        this.#dirty = false;
        const from: Position = this.#position;
        const page = await this.#stream.read({ after: from, limit: LOG_PAGE_EVENTS });
        // The last subscriber may have gone, or another first one come, while the page was read.
        if (this.#position !== from) {
          this.#dirty = true;
          continue;
        }
        this.#hand(page, from);
        if (!page.caughtUp) this.#dirty = true;
        // Reading and sending take turns, so that a burst becomes a few large pages.
        await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (cause) {
      log.error("The live log could not be read; its subscribers are ended", { cause });
      for (const group of [...this.#live.values()]) {
        for (const subscriber of [...group]) subscriber.finish("unavailable");
      }
    } finally {
      this.#pumping = false;
    }
  }

  #hand(page: LogPage, from: Position): void {
    this.#position = page.position;
    if (page.reset !== undefined) {
      // Who is fed by the tail missed something: each announces it on its own walk through the log.
      for (const group of [...this.#live.values()]) for (const subscriber of [...group]) subscriber.fallBehind();
      return;
    }
    for (const group of [...this.#live.values()]) {
      for (const subscriber of [...group]) {
        const { fed } = subscriber;
        if (fed >= page.position) continue;
        const entries = fed > from ? page.entries.filter(({ position }) => position > fed) : page.entries;
        subscriber.feed(this.#pages.batch(entries, subscriber), page.position);
      }
    }
  }
}
