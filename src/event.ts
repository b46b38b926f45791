/** The event, and the only way to obtain one: {@link parseEvent}. */
import type { Amount } from "./amount.ts";
import type { FieldError } from "./errors.ts";

/** The protocol an event came in over. */
export type Source = "rest" | "graphql" | "grpc" | "redis" | "import";

/** A business event. Immutable; only {@link parseEvent} and the drivers make one. */
export interface Event {
  /** 1–128 characters of `[A-Za-z0-9._:@~+=/-]`, unique within its tenant. */
  readonly id: string;
  /** `^[a-z0-9][a-z0-9_-]{0,62}$`. */
  readonly tenant: string;
  readonly userId: string;
  readonly eventType: string;
  /** Integer of 1/10,000. */
  readonly amount: Amount;
  /** When it happened: milliseconds since the epoch, UTC. */
  readonly timestamp: number;
  /** Whether the sender gave the timestamp; one the hub filled in is not compared with a resend. */
  readonly timestampGiven: boolean;
  /** When the hub took it: milliseconds since the epoch, UTC. */
  readonly receivedAt: number;
  readonly source: Source;
  /** JSON text of an object with at least one member, or `null` for none (a missing and an empty object are equal). */
  readonly properties: string | null;
}

/** What parsing needs to know beside the input. */
export interface ParseContext {
  readonly tenant: string;
  readonly source: Source;
  /** The hub's clock, milliseconds. */
  readonly now: number;
  /** IANA zone in which timestamps without a zone are read. */
  readonly naiveZone: string;
  /** How far in the future a timestamp may lie, milliseconds. */
  readonly maxFutureMs: number;
  /** With retention on, the oldest timestamp taken, milliseconds; otherwise `null`. */
  readonly oldest: number | null;
  /** Gives an id to an event that came without one. */
  readonly newId: () => string;
}

/** An event, or everything that is wrong with it. `id` is the id the sender gave, when that was a text. */
export type ParseResult =
  | { readonly ok: true; readonly event: Event; readonly idGiven: boolean }
  | { readonly ok: false; readonly errors: readonly FieldError[]; readonly id: string | null };

/**
 * Reads an event from a JSON-like value with the member names of the REST contract (`id, user_id, event_type, amount,
 * timestamp, properties`). All faults are told, not the first.
 */
export function parseEvent(_input: unknown, _context: ParseContext): ParseResult {
  throw new Error("unwritten");
}

/**
 * Whether a resent event has the content of the stored one: everything is compared by value but `receivedAt`, `source`
 * and a timestamp the sender left out on either side.
 */
export function sameContent(_stored: Event, _resent: Event): boolean {
  throw new Error("unwritten");
}
