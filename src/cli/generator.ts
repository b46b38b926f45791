/** Events for trying things out: the prototype's four types, two decimals, and the same ones again for the same seed. */

/** What a generated event says; its id and timestamp are the sender's business. */
export interface GeneratedEvent {
  readonly user_id: string;
  readonly event_type: string;
  /** Decimal text with two fraction digits. */
  readonly amount: string;
}

const EVENT_TYPES = ["purchase", "return", "refund", "exchange"] as const;
const AMOUNT_CENTS_MIN = 100;
const AMOUNT_CENTS_MAX = 50_000;

/** An endless sequence of events of `users` users. */
export function* generateEvents(options: { users: number; seed: number }): Generator<GeneratedEvent, never> {
  const random = randomNumbers(options.seed);
  const below = (limit: number) => Math.floor(random() * limit);
  for (;;) {
    const cents = AMOUNT_CENTS_MIN + below(AMOUNT_CENTS_MAX - AMOUNT_CENTS_MIN + 1);
    yield {
      user_id: `user_${1 + below(options.users)}`,
      event_type: EVENT_TYPES[below(EVENT_TYPES.length)]!,
      amount: (cents / 100).toFixed(2),
    };
  }
}

/** Numbers in [0, 1) from a seed: mulberry32 (Tommy Ettinger, public domain). Good enough to choose users by. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
