/** The batches that a process writes which is killed: both sides can make them from their numbers. */
import type { Event } from "../../src/event.ts";
import { event, HOUR, NOON } from "./conformance/events.ts";

/** Sizes differ, so that some fill several transactions and some share one. */
export function batchOf(number: number): Event[] {
  const size = [1, 700, 50, 5_000, 3][number % 5]!;
  return Array.from({ length: size }, (_, i) =>
    event({
      id: `batch-${number}-${i}`,
      userId: `user-${i % 11}`,
      eventType: i % 2 === 0 ? "purchase" : "refund",
      amount: number * 10_000 + i,
      timestamp: NOON + (number * 7_919 + i * 104_729) % (2 * HOUR),
    }));
}
