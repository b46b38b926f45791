/** The live feed: one tail of the log a thread, and a bounded queue per subscriber. */
import type { Event } from "./event.ts";
import type { ResetReason, Start } from "./stream.ts";

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
  readonly #encoded = new Map<string, unknown>();

  constructor(events: readonly LiveEvent[]) {
    this.events = events;
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
