/** Which events retention may purge: a pure decision that every driver makes in the same way. */

/** What a purge goes by. */
export interface PurgeBorder {
  /** Events received before it are due, milliseconds. */
  readonly receivedBefore: number;
  /** The clock now, milliseconds: what was received later was stored while the clock was ahead. */
  readonly now: number;
}

/**
 * How an event stands to a purge of the log, oldest first.
 * - `due`: it goes.
 * - `ahead`: its time of receipt is wrong, as the clock was ahead; it goes with the next one that is due.
 * - `held`: it would go, but its timestamp is not older than the border. From its purge on everything before it would be
 *   refused, and with it what is still to come. The purge stops here until its time has come.
 * - `kept`: it is not due, and the purge stops here.
 */
export type Fate = "due" | "ahead" | "held" | "kept";

/** The fate of an event. */
export function fateOf(event: { readonly timestamp: number; readonly receivedAt: number }, border: PurgeBorder): Fate {
  const isDue = event.receivedAt < border.receivedBefore;
  if (!isDue && event.receivedAt <= border.now) return "kept";
  if (event.timestamp >= border.receivedBefore) return "held";
  return isDue ? "due" : "ahead";
}

/** What is logged of an event that holds retention up for long. */
export function describeHeld(event: { readonly id: string; readonly timestamp: number }): string {
  return `Retention waits for event ${event.id}: its timestamp lies far ahead of its receipt, and with it purged every ` +
    `event before ${new Date(event.timestamp).toISOString()} would be refused. What came after it is kept until then`;
}

/** What is logged of a store whose retention waits for an import. */
export const HELD_BY_IMPORT =
  "Nothing is purged: an import into this store did not end. Run it again until it exits with 0, " +
  "or give it up by deno task transfer import --abandon";
