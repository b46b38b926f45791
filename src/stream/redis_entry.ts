/** Events as entries of the stream, and back. The first five fields are those of the prototype. */
import { formatAmount, parseAmount } from "../amount.ts";
import { type Event, isEventType, isSource, isTenant, type Source } from "../event.ts";
import type { Insertion, StoredEvent } from "../publication.ts";
import { formatTimestamp, parseTimestamp } from "../timestamp.ts";
import type { Reply } from "./redis_connection.ts";

/** An entry as Redis gives it: its id, names and values; `null` for one that is gone. */
export interface RawEntry {
  readonly id: string;
  readonly fields: readonly string[] | null;
}

/** An entry of the stream that holds an event. */
export interface StreamEntry extends Insertion {
  readonly id: string;
  readonly event: Event;
  /** When it was published, by the store's clock, milliseconds. */
  readonly pub: number;
}

const PEND = /^[0-9a-f]{24}$/;
const EVENT_ID = /^[A-Za-z0-9._:@~+=/-]{1,128}$/;

/** Names and values of an entry. */
export function toFields({ event, pub, pend }: StoredEvent): string[] {
  const fields = [
    ...["event_id", event.id, "user_id", event.userId, "event_type", event.eventType],
    ...["amount", formatAmount(event.amount), "timestamp", formatTimestamp(event.timestamp)],
    ...["tenant", event.tenant, "received_at", formatTimestamp(event.receivedAt), "source", event.source],
    ...["pend", pend, "pub", String(pub)],
  ];
  if (event.properties !== null) fields.push("properties", event.properties);
  return fields;
}

/**
 * Reads an entry; `null` for what the hub did not write (the prototype's entries have no tenant). Whether the sender
 * gave the timestamp is not told: it matters for comparing a resend, which the store does.
 */
export function fromFields({ id, fields }: RawEntry): StreamEntry | null {
  if (fields === null) return null;
  const of = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) of.set(fields[i]!, fields[i + 1]!);
  const text = (name: string) => of.get(name) ?? "";
  const [tenant, eventId, eventType, source] = ["tenant", "event_id", "event_type", "source"].map(text);
  const amount = parseAmount(text("amount"));
  const timestamp = parseTimestamp(text("timestamp"), "UTC");
  const receivedAt = parseTimestamp(text("received_at"), "UTC");
  const pub = Number(text("pub"));
  if (!isTenant(tenant!) || !EVENT_ID.test(eventId!) || !isEventType(eventType!) || !isSource(source!)) {
    return null;
  }
  if (!amount.ok || !timestamp.ok || !receivedAt.ok || !PEND.test(text("pend"))) return null;
  if (!of.has("user_id") || !of.has("pub") || !Number.isSafeInteger(pub)) return null;
  const event: Event = {
    id: eventId!,
    tenant: tenant!,
    userId: text("user_id"),
    eventType: eventType!,
    amount: amount.amount,
    timestamp: timestamp.timestamp,
    timestampGiven: true,
    receivedAt: receivedAt.timestamp,
    source: source as Source,
    properties: of.get("properties") ?? null,
  };
  return { id, event, pub, pend: text("pend"), key: `${tenant}:${eventId}` };
}

/** The insertion an entry names; empty where it names none. */
export function pendOf({ fields }: RawEntry): string {
  const at = fields?.indexOf("pend") ?? -1;
  return at % 2 === 0 ? fields![at + 1]! : "";
}

/** Entries from an answer of XRANGE, XREADGROUP and their relatives. Before Redis 7 XAUTOCLAIM gives `null` for gone ones. */
export function toEntries(reply: Reply | undefined): RawEntry[] {
  if (!Array.isArray(reply)) return [];
  return (reply as readonly ([string, readonly string[] | null] | null)[])
    .flatMap((entry) => entry === null ? [] : [{ id: entry[0], fields: entry[1] }]);
}
