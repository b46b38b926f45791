/** Subscriptions of the hub as GraphQL takes them: steps of root values, each of which becomes one message. */
import { GraphQLError } from "graphql";
import { type ErrorCode, HubError } from "../../errors.ts";
import type { EndReason, LiveBatch, LiveMessage, LiveSubscription } from "../../feed.ts";
import type { AggregateSubscription, WindowRow } from "../../hub.ts";
import type { EventView, TimeRange } from "./convert.ts";
import { CODES } from "./errors.ts";

/** Root values that came together. */
export interface Items<T> {
  readonly roots: readonly T[];
  /** What is made of them under a key; made once for all subscribers that are given the same items. */
  share<R>(key: string, make: () => R): R;
}

/** What a source gives: root values, a sign of life, or why it ended, which is the last step. */
export type Step<T> =
  | { readonly kind: "items"; readonly items: Items<T> }
  | { readonly kind: "alive" }
  | { readonly kind: "end"; readonly error: unknown };

/**
 * What a subscription field gives the executor. {@link LiveSource.take} is its own way, which keeps together what came
 * together; iterating it gives single root values, as the GraphQL specification has it.
 */
export abstract class LiveSource<T> implements AsyncIterable<T> {
  /** Aborted with an `EndReason` when the hub ended it, also while nobody takes anything. */
  abstract readonly ended: AbortSignal;

  /** The next step; one call at a time. Never rejects. */
  abstract take(): Promise<Step<T>>;

  /** Ends it from the client's side at once, also while a `take` waits. Harmless twice. */
  abstract close(): void;

  [Symbol.asyncIterator](): AsyncIterator<T> {
    const waiting: T[] = [];
    return {
      next: async () => {
        while (waiting.length === 0) {
          const step = await this.take();
          if (step.kind === "end") throw step.error;
          if (step.kind === "items") waiting.push(...step.items.roots);
        }
        return { done: false, value: waiting.shift()! };
      },
      return: () => {
        this.close();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }
}

/** Live events. `range` restricts by event time, which the feed does not know. */
export class EventSource extends LiveSource<EventView> {
  readonly #subscription: LiveSubscription;
  readonly #range: TimeRange;

  constructor(subscription: LiveSubscription, range: TimeRange) {
    super();
    this.#subscription = subscription;
    this.#range = range;
  }

  override get ended(): AbortSignal {
    return this.#subscription.ended;
  }

  override close(): void {
    this.#subscription.close();
  }

  override async take(): Promise<Step<EventView>> {
    while (true) {
      const message = await this.#subscription.next();
      const step = this.#stepOf(message);
      if (step !== null) return step;
    }
  }

  /** `null` when nothing of the message lies in the range. */
  #stepOf(message: LiveMessage): Step<EventView> | null {
    switch (message.kind) {
      case "position":
        return { kind: "alive" };
      case "events":
        return this.#itemsOf(message.batch);
      case "reset": {
        const { reason, mode, cursor } = message;
        this.close();
        return { kind: "end", error: resetError(reason, mode, cursor) };
      }
      case "end":
        return { kind: "end", error: endError(message.reason, message.cursor) };
    }
  }

  #itemsOf(batch: LiveBatch): Step<EventView> | null {
    const { from = -Infinity, to = Infinity } = this.#range;
    const rangeKey = `graphql ${from} ${to} `;
    const roots = batch.encode(rangeKey, (events) => {
      if (from === -Infinity && to === Infinity) return events;
      return events.filter(({ event }) => from <= event.timestamp && event.timestamp < to);
    });
    if (roots.length === 0) return null;
    return { kind: "items", items: { roots, share: (key, make) => batch.encode(rangeKey + key, make) } };
  }
}

/** Live windows. */
export class AggregateSource extends LiveSource<WindowRow> {
  readonly #subscription: AggregateSubscription;

  constructor(subscription: AggregateSubscription) {
    super();
    this.#subscription = subscription;
  }

  override get ended(): AbortSignal {
    return this.#subscription.ended;
  }

  override close(): void {
    this.#subscription.close();
  }

  override async take(): Promise<Step<WindowRow>> {
    const message = await this.#subscription.next();
    switch (message.kind) {
      case "alive":
        return { kind: "alive" };
      case "rows":
        return { kind: "items", items: { roots: message.rows, share: (_key, make) => make() } };
      case "end":
        return { kind: "end", error: endError(message.reason) };
    }
  }
}

/** The code and the sentence for each way in which the hub ends a subscription. */
const ENDS = {
  slow_consumer: ["slow_consumer", "The subscription was not read and has been ended; subscribe again"],
  shutdown: ["unavailable", "The hub is shutting down; subscribe again"],
  unavailable: ["unavailable", "The stream cannot be read now; subscribe again"],
  revoked: ["unauthenticated", "The credential has been revoked"],
  expired_credential: ["unauthenticated", "The credential has expired"],
} as const satisfies Record<EndReason, readonly [ErrorCode, string]>;

function endError(reason: EndReason, cursor?: string): HubError {
  const [code, sentence] = ENDS[reason];
  return new HubError(code, sentence + (cursor === undefined ? "" : " with the cursor"), { cursor });
}

function resetError(reason: string, mode: "replay" | "skip", cursor: string): GraphQLError {
  const loss = mode === "replay"
    ? "what may have been missed follows from the cursor on, some of it perhaps again"
    : "what lay between is purged or unknown, and the cursor is the oldest place that is kept";
  return new GraphQLError(`The position in the stream is lost (${reason}): ${loss}; subscribe again with it`, {
    extensions: { code: CODES.cursor_reset, reason, mode, cursor },
  });
}
