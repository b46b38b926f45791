/** Events for the suites: valid ones, made from as little as a case cares about. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Event } from "../../../src/event.ts";
import type { AppendStatus, EventStore } from "../../../src/storage.ts";

/** A Thursday; 30 hours of minutes behind it are free for cases. */
export const NOON = Date.UTC(2026, 0, 15, 12);
export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
/** Amount units in 1. */
export const ONE = 10_000;
export const TENANT = "default";

let made = 0;

/** A new event; `receivedAt` rises with each one made. */
export function event(given: Partial<Event> = {}): Event {
  made += 1;
  return {
    id: `event-${made}`,
    tenant: TENANT,
    userId: "user-1",
    eventType: "purchase",
    amount: 10 * ONE,
    timestamp: NOON,
    timestampGiven: true,
    receivedAt: NOON + made,
    source: "rest",
    properties: null,
    ...given,
  };
}

/** Several events; `make` gives what differs. */
export function events(count: number, make: (index: number) => Partial<Event> = () => ({})): Event[] {
  return Array.from({ length: count }, (_, index) => event(make(index)));
}

/** Appends and asserts that every event was stored. */
export async function store(store: EventStore, all: readonly Event[]): Promise<void> {
  const statuses = await store.append(all);
  assertEquals(tally(statuses), all.length === 0 ? {} : { stored: all.length });
}

/** How often each status occurs. */
export function tally(statuses: readonly AppendStatus[]): Partial<Record<AppendStatus, number>> {
  const counts: Partial<Record<AppendStatus, number>> = {};
  for (const status of statuses) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

/** Asserts that both are the same event; the text of properties may be written differently. */
export function assertSameEvent(actual: Event | null, expected: Event): void {
  const plain = (event: Event) => ({ ...event, properties: event.properties && JSON.parse(event.properties) });
  assertEquals(actual && plain(actual), plain(expected));
}

/** The ids, in order. */
export function idsOf(all: readonly Event[]): string[] {
  return all.map((event) => event.id);
}

/** What differs between random events that lie within three hours from {@link NOON}, often at equal times. */
export function anyDetails(): fc.Arbitrary<Pick<Event, "userId" | "eventType" | "amount" | "timestamp">> {
  const timestamp = fc.oneof(
    fc.integer({ min: 0, max: 180 }).map((minutes) => NOON + minutes * MINUTE),
    fc.integer({ min: 0, max: 5 }).map((seconds) => NOON + seconds * SECOND),
    fc.integer({ min: 0, max: 3 * HOUR - 1 }).map((offset) => NOON + offset),
  );
  const amount = fc.oneof(
    fc.integer({ min: -5, max: 5 }),
    fc.integer({ min: -1_000 * ONE, max: 1_000 * ONE }),
    fc.integer({ min: -1_000_000_000 * ONE, max: 1_000_000_000 * ONE }),
  );
  return fc.record({
    userId: fc.constantFrom("ann", "bob", "Ünal", "日本"),
    eventType: fc.constantFrom("purchase", "return", "refund", "exchange", "app.opened"),
    amount,
    timestamp,
  });
}

/** Random events, each with an id of its own. */
export function anyEvents(options: { tenant?: string; max: number }): fc.Arbitrary<Event[]> {
  return fc.array(anyDetails(), { maxLength: options.max, size: "max" })
    .map((all) => all.map((details) => event({ tenant: options.tenant ?? TENANT, ...details })));
}
