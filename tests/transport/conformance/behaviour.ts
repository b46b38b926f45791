/** What the cases of the table of behaviours are given, and what they share. */
import { assertEquals } from "@std/assert";
import type { Case } from "../../conformance.ts";
import type { Client, Protocol, SeenEvent, SentEvent } from "../clients.ts";
import type { Clients, Lab } from "../served.ts";

/** A hub and the client under test. */
export interface Harness extends AsyncDisposable {
  readonly client: Client;
  /** All clients, for what happens between protocols. */
  readonly clients: Clients;
  /** Begins the ids and users of the case, so that cases on one hub do not meet. */
  readonly label: string;
  /** Start of a day (milliseconds, UTC) that belongs to the case alone. */
  readonly day: number;
  /** The hub, where it is inside this process. */
  readonly lab: Lab | null;
  /** Resolves when what was stored is in the metrics; where an event is counted as it is stored, at once. */
  settled(): Promise<void>;
  /** Ends the hub in order. */
  shutDown(): Promise<void>;
}

/** One behaviour. */
export interface Behaviour extends Case<Harness> {
  /** Why it needs a hub inside this process; set when it does. */
  readonly lab?: string;
}

/** Milliseconds. */
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** The form of an id the hub gives. */
export const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** A time as the contract writes it. */
export function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

/** The lab of a case that has one. */
export function labOf({ lab }: Harness): Lab {
  if (lab === null) throw new Error("This case needs a hub inside this process");
  return lab;
}

/** Event number `index` of a case: a minute behind the one before. */
export function sale({ label, day }: Harness, index: number, more: SentEvent = {}): Required<SentEvent> {
  return {
    id: `${label}-${index}`,
    userId: `${label}-user`,
    eventType: "purchase",
    amount: "12.5",
    timestamp: iso(day + index * MINUTE),
    properties: {},
    ...more,
  };
}

/** An event as its sender expects it back. */
export function asSeen(event: Required<SentEvent>): SeenEvent {
  return { ...event };
}

/** Every event of a list, page by page; fails when one comes twice or there is no end. */
export async function listAll(client: Client, query: Parameters<Client["list"]>[0]): Promise<SeenEvent[]> {
  const events: SeenEvent[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.list({ ...query, cursor });
    events.push(...page.events);
    cursor = page.next ?? undefined;
    if (events.length > 100_000) throw new Error("The list has no end");
  } while (cursor !== undefined);
  const ids = events.map(({ id }) => id);
  assertEquals(new Set(ids).size, ids.length, "An event is listed twice");
  return events;
}

/** What each protocol calls the end of a stream when the hub shuts down (contract, sections 2 to 4). */
export const SHUTDOWN_REASONS: Readonly<Record<Protocol, string>> = {
  "rest": "shutdown",
  "graphql": "UNAVAILABLE",
  "graphql-ws": "UNAVAILABLE",
  "grpc": "unavailable",
  "grpc-stream": "unavailable",
};
