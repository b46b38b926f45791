/** One subscriber of the live feed: a bounded queue, filled by the tail, or its own slower walk through the log. */
import type { EndReason, LiveBatch, LiveFilter, LiveMessage, LiveSubscription } from "./feed.ts";
import {
  STREAM_KEEP_ALIVE_MS,
  SUBSCRIBER_QUEUE_BYTES_MAX,
  SUBSCRIBER_QUEUE_EVENTS_MAX,
  SUBSCRIBER_STALL_MS,
} from "./limits.ts";
import type { Event } from "./event.ts";
import type { LogEntry, LogPage, Position, Reset } from "./stream.ts";

/** What a subscriber needs of the feed it belongs to. */
export interface SubscriberHost {
  /** A clock that is never set, milliseconds. */
  readonly elapsed: () => number;
  read(after: Position, tenant: string): Promise<LogPage>;
  /** The entries that are for a subscriber; `null` when none is. */
  batch(entries: readonly LogEntry[], subscriber: Subscriber): LiveBatch | null;
  cursor(tenant: string, position: Position): string;
  /** Asks to be fed by the tail from a place on; `false` = read on, the tail is already beyond it. */
  join(subscriber: Subscriber): boolean;
  /** The subscriber is fed by the tail no more, but goes on by itself. */
  leave(subscriber: Subscriber): void;
  /** The subscriber is gone. */
  remove(subscriber: Subscriber): void;
  failed(error: unknown): void;
}

/** Whether an event is one the filter asks for; the tenant is not part of it. */
export function matches(filter: LiveFilter, event: Event): boolean {
  if (filter.userId !== undefined && filter.userId !== event.userId) return false;
  return filter.eventTypes === undefined || filter.eventTypes.includes(event.eventType);
}

/** A place in the queue: what to hand out, and where the subscriber is afterwards. */
interface Queued {
  readonly batch: LiveBatch;
  readonly position: Position;
}

/** See {@link LiveSubscription}; the feed calls the other methods. */
export class Subscriber implements LiveSubscription {
  readonly tenant: string;
  readonly filter: LiveFilter;
  /** Subscribers with equal keys get the same batches. */
  readonly key: string;
  readonly #host: SubscriberHost;
  readonly #ended = new AbortController();
  readonly #queue: Queued[] = [];
  #queuedEvents = 0;
  #queuedBytes = 0;
  /** How far the subscriber has been fed, and how far it has taken. */
  #fed: Position;
  #taken: Position;
  #live = false;
  #opening: Reset | "position" | null;
  /** Answers a waiting `next`; with `null` it looks again. */
  #waiter: ((message: LiveMessage | null) => void) | null = null;
  #taking = false;
  #pendingSince: number | null;
  #takenAt: number;
  #end: LiveMessage | null = null;

  constructor(
    host: SubscriberHost,
    options: { tenant: string; filter: LiveFilter; position: Position; reset: Reset | null },
  ) {
    this.#host = host;
    this.tenant = options.tenant;
    this.filter = options.filter;
    this.key = JSON.stringify([options.tenant, options.filter.userId ?? null, options.filter.eventTypes ?? null]);
    this.#fed = options.position;
    this.#taken = options.position;
    this.#opening = options.reset ?? "position";
    this.#takenAt = host.elapsed();
    this.#pendingSince = this.#takenAt;
  }

  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  get cursor(): string {
    return this.#host.cursor(this.tenant, this.#taken);
  }

  /** How far the subscriber has been fed. */
  get fed(): Position {
    return this.#fed;
  }

  async next(): Promise<LiveMessage> {
    if (this.#taking) throw new Error("Cannot call next while a call of it is waiting");
    this.#taking = true;
    try {
      const message = await this.#take();
      this.#takenAt = this.#host.elapsed();
      this.#pendingSince = this.#queue.length > 0 || !this.#live ? this.#takenAt : null;
      return message;
    } finally {
      this.#taking = false;
    }
  }

  close(): void {
    this.finish("shutdown");
  }

  /** Ends the subscription from the hub's side; releases the queue at once. Harmless twice. */
  finish(reason: EndReason): void {
    if (this.#end !== null) return;
    this.#end = { kind: "end", reason, cursor: this.cursor };
    this.#clear();
    this.#host.remove(this);
    this.#ended.abort(reason);
    this.#answer(this.#end);
  }

  /** Takes what the tail read up to `position`; `batch` is what of it matches. */
  feed(batch: LiveBatch | null, position: Position): void {
    this.#fed = position;
    if (batch === null) {
      if (this.#queue.length === 0) this.#taken = position;
      return;
    }
    if (this.#waiter !== null) {
      this.#taken = position;
      this.#answer({ kind: "events", batch });
      return;
    }
    this.#pendingSince ??= this.#host.elapsed();
    this.#enqueue(batch, position);
    if (this.#queuedEvents > SUBSCRIBER_QUEUE_EVENTS_MAX || this.#queuedBytes > SUBSCRIBER_QUEUE_BYTES_MAX) {
      this.fallBehind();
    }
  }

  /** Drops the queue: what is in it is in the log too, and the subscriber reads on from there at its own pace. */
  fallBehind(): void {
    this.#clear();
    this.#fed = this.#taken;
    this.#live = false;
    this.#pendingSince ??= this.#host.elapsed();
    this.#host.leave(this);
    this.#answer(null);
  }

  /** What time brings: a keep-alive for who waits, the end for who does not read. */
  tick(now: number): void {
    if (this.#waiter !== null && now - this.#takenAt >= STREAM_KEEP_ALIVE_MS) {
      this.#answer({ kind: "position", cursor: this.cursor });
    } else if (!this.#taking && this.#pendingSince !== null && now - this.#pendingSince >= SUBSCRIBER_STALL_MS) {
      this.finish("slow_consumer");
    }
  }

  async #take(): Promise<LiveMessage> {
    if (this.#end !== null) return this.#end;
    if (this.#opening !== null) return this.#open();
    while (this.#end === null) {
      const message = this.#dequeue() ?? (this.#live ? await this.#wait() : await this.#walk());
      if (message !== null) return message;
    }
    return this.#end;
  }

  #dequeue(): LiveMessage | null {
    const queued = this.#queue.shift();
    if (queued === undefined) return null;
    this.#queuedEvents -= queued.batch.events.length;
    this.#queuedBytes -= queued.batch.bytes;
    this.#taken = this.#queue.length === 0 ? this.#fed : queued.position;
    return { kind: "events", batch: queued.batch };
  }

  #wait(): Promise<LiveMessage | null> {
    return new Promise((resolve) => this.#waiter = resolve);
  }

  #open(): LiveMessage {
    const opening = this.#opening!;
    this.#opening = null;
    const cursor = this.cursor;
    return opening === "position" ? { kind: "position", cursor } : { kind: "reset", ...opening, cursor };
  }

  /** Reads the log at the subscriber's own pace; `null` when it has reached the tail and is fed by it. */
  async #walk(): Promise<LiveMessage | null> {
    const startedAt = this.#host.elapsed();
    while (this.#end === null) {
      let page: LogPage;
      try {
        page = await this.#host.read(this.#fed, this.tenant);
      } catch (error) {
        this.#host.failed(error);
        this.finish("unavailable");
        break;
      }
      if (this.#end !== null) break;
      this.#fed = page.position;
      // Only who has just seen the end of the log may join the tail: it must not replay history for the others.
      if (page.caughtUp) this.#live = this.#host.join(this);
      const batch = this.#host.batch(page.entries, this);
      if (page.reset !== undefined) {
        // The announcement comes first; what follows it waits its turn in the queue.
        if (batch === null) this.#taken = page.position;
        else this.#enqueue(batch, page.position);
        return { kind: "reset", ...page.reset, cursor: this.cursor };
      }
      this.#taken = page.position;
      if (batch !== null) return { kind: "events", batch };
      if (this.#live) return null;
      if (this.#host.elapsed() - startedAt >= STREAM_KEEP_ALIVE_MS) return { kind: "position", cursor: this.cursor };
    }
    return this.#end;
  }

  #enqueue(batch: LiveBatch, position: Position): void {
    this.#queue.push({ batch, position });
    this.#queuedEvents += batch.events.length;
    this.#queuedBytes += batch.bytes;
  }

  #clear(): void {
    this.#queue.length = 0;
    this.#queuedEvents = 0;
    this.#queuedBytes = 0;
  }

  #answer(message: LiveMessage | null): void {
    const waiter = this.#waiter;
    this.#waiter = null;
    waiter?.(message);
  }
}
