/** The event a shop's generator sends, made from a number, so that sender and checker agree without talking. */

/** An event as the REST contract writes it. */
export interface TypicalEvent {
  readonly id: string;
  readonly user_id: string;
  readonly event_type: string;
  readonly amount: number;
  readonly timestamp: string;
}

const EVENT_TYPES = ["purchase", "return", "refund", "exchange"] as const;
const USERS = 1_000;

/** What tells one made event from another. */
export interface TypicalEventOptions {
  /** Begins the id; the number follows after a dash. */
  readonly prefix: string;
  readonly userId?: string;
  /** When it happened, milliseconds; missing = now. */
  readonly timestamp?: number;
}

/** Event number `index`: equal numbers and options give equal events, but for a timestamp left out. */
export function typicalEvent(index: number, options: TypicalEventOptions): TypicalEvent {
  return {
    id: `${options.prefix}-${index}`,
    user_id: options.userId ?? `user_${index % USERS}`,
    event_type: EVENT_TYPES[index % EVENT_TYPES.length]!,
    amount: ((index * 7_919) % 100_000) / 100,
    timestamp: new Date(options.timestamp ?? Date.now()).toISOString(),
  };
}

/** The number behind the last dash of an id made by {@link typicalEvent}. */
export function indexOf(id: string): number {
  return Number(id.slice(id.lastIndexOf("-") + 1));
}
