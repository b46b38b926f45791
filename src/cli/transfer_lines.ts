/**
 * The lines of an export. Each is a JSON object, and its first member tells what it is: the header; cells of events that
 * retention purged; events in the order of the log; totals of each tenant and type; the end. docs/operations.md has it for
 * people. What is read is judged as if a stranger had written it.
 */
import { Buffer } from "node:buffer";
import { AMOUNT_UNITS, formatAmount, parseAmount } from "../amount.ts";
import { sentenceOf } from "../errors.ts";
import { type Event, isEventType, isSource, isTenant, parseEvent } from "../event.ts";
import { Histogram } from "../histogram.ts";
import { formatTimestamp, parseTimestamp } from "../timestamp.ts";
import type { CountedCell } from "../transfer.ts";
import { MINUTE_MS } from "../window.ts";

/** The version of the form of these lines. */
export const FORM_VERSION = 1;
const FORM = "export";
const SHA256 = /^[0-9a-f]{64}$/;
const SUM = /^(-?)(\d{1,40})(?:\.(\d{1,4}))?$/;
/** No event can be too far ahead here: it was judged when it came in. */
const ANY_FUTURE = Infinity;

/** What the first line says. */
export interface Header {
  readonly kind: "header";
  /** Driver of the store it came from. */
  readonly store: string;
  readonly exportedAt: number;
  /** Events that the store counts, those purged too. */
  readonly counted: number;
  readonly refusedThrough: number | null;
}

/** A cell of purged events. */
export interface PurgedLine {
  readonly kind: "purged";
  readonly tenant: string;
  readonly start: number;
  readonly eventType: string;
  readonly cell: CountedCell;
}

/** An event; an erased one has an empty `userId`. */
export interface EventLine {
  readonly kind: "event";
  readonly event: Event;
}

/** Everything that is counted of a tenant and type. */
export interface TotalLine {
  readonly kind: "total";
  readonly tenant: string;
  readonly eventType: string;
  readonly count: number;
  readonly sum: bigint;
}

/** How many cells there are, and the SHA-256 of all of them; see `transfer_summary.ts`. */
export interface CellsDigest {
  readonly cells: number;
  readonly sha256: string;
}

/** What the last line says. `sha256` is of all lines before it, each with its line feed. */
export interface End {
  readonly kind: "end";
  readonly events: number;
  readonly purged: number;
  readonly minutes: CellsDigest;
  readonly hours: CellsDigest;
  readonly sha256: string;
}

/** One line. */
export type TransferLine = Header | PurgedLine | EventLine | TotalLine | End;

/** What is wrong with a line, as a sentence. */
export class LineFault extends Error {
  override readonly name = "LineFault";
}

/** The text of a line, without its line feed. */
export function formatLine(line: TransferLine): string {
  switch (line.kind) {
    case "header":
      return JSON.stringify({
        eventhub: FORM,
        version: FORM_VERSION,
        store: line.store,
        exported_at: formatTimestamp(line.exportedAt),
        counted: line.counted,
        refused_through: line.refusedThrough === null ? null : formatTimestamp(line.refusedThrough),
      });
    case "purged": {
      const { count, sum, min, max, histogram } = line.cell;
      return JSON.stringify({
        purged: formatTimestamp(line.start),
        tenant: line.tenant,
        event_type: line.eventType,
        count,
        total: formatAmount(sum),
        min: formatAmount(min),
        max: formatAmount(max),
        histogram: Buffer.from(histogram.encode()).toString("base64"),
      });
    }
    case "event":
      return formatEvent(line.event);
    case "total":
      return JSON.stringify({
        total: formatAmount(line.sum),
        count: line.count,
        tenant: line.tenant,
        event_type: line.eventType,
      });
    case "end":
      return JSON.stringify({ end: FORM, ...line, kind: undefined });
  }
}

function formatEvent(event: Event): string {
  const erased = event.userId === "";
  const text = JSON.stringify({
    id: event.id,
    tenant: event.tenant,
    user_id: erased ? undefined : event.userId,
    event_type: event.eventType,
    amount: formatAmount(event.amount),
    timestamp: formatTimestamp(event.timestamp),
    timestamp_given: event.timestampGiven ? undefined : false,
    received_at: formatTimestamp(event.receivedAt),
    source: event.source,
    erased: erased ? true : undefined,
  });
  return event.properties === null ? text : `${text.slice(0, -1)},"properties":${event.properties}}`;
}

/** Reads a line. Throws {@link LineFault}. */
export function parseLine(text: string): TransferLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new LineFault("it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new LineFault("it is not a JSON object");
  }
  const members = value as Record<string, unknown>;
  if (Object.hasOwn(members, "eventhub")) return parseHeader(members);
  // It tells the number of purged events, too.
  if (Object.hasOwn(members, "end")) return parseEnd(members);
  if (Object.hasOwn(members, "purged")) return parsePurged(members);
  if (Object.hasOwn(members, "id")) return { kind: "event", event: parseEventLine(members) };
  if (Object.hasOwn(members, "total")) return parseTotal(members);
  throw new LineFault("it is no line of an export: none of eventhub, purged, id, total and end is in it");
}

function parseHeader(members: Record<string, unknown>): Header {
  if (members.eventhub !== FORM) throw new LineFault(`eventhub must be "${FORM}"`);
  if (members.version !== FORM_VERSION) {
    throw new LineFault(
      `it is of version ${
        JSON.stringify(members.version)
      } of the form, and this Event Hub reads version ${FORM_VERSION}`,
    );
  }
  return {
    kind: "header",
    store: textOf(members, "store"),
    exportedAt: timeOf(members, "exported_at"),
    counted: countOf(members, "counted"),
    refusedThrough: members.refused_through === null ? null : timeOf(members, "refused_through"),
  };
}

function parsePurged(members: Record<string, unknown>): PurgedLine {
  const start = timeOf(members, "purged");
  if (start % MINUTE_MS !== 0) throw new LineFault("purged must be the start of a minute");
  const [count, sum] = [countOf(members, "count"), sumOf(members, "total")];
  const [min, max] = [amountOf(members, "min"), amountOf(members, "max")];
  const histogram = histogramOf(textOf(members, "histogram"));
  if (count === 0 || histogram.count !== count) {
    throw new LineFault("histogram does not hold as many amounts as count says");
  }
  if (min > max || sum < BigInt(min) * BigInt(count) || sum > BigInt(max) * BigInt(count)) {
    throw new LineFault("total cannot be that of so many amounts between min and max");
  }
  return { kind: "purged", ...kindOf(members), start, cell: { count, sum, min, max, histogram } };
}

function histogramOf(text: string): Histogram {
  const bytes = Buffer.from(text, "base64");
  try {
    if (bytes.toString("base64") !== text) throw new Error("not base64");
    const histogram = Histogram.decode(new Uint8Array(bytes));
    if (Buffer.from(histogram.encode()).toString("base64") !== text) throw new Error("not its canonical form");
    return histogram;
  } catch (cause) {
    throw new LineFault("histogram is none", { cause });
  }
}

function parseEventLine(members: Record<string, unknown>): Event {
  const { tenant, timestamp_given: given, received_at: received, source, erased, ...sent } = members;
  if (typeof tenant !== "string" || !isTenant(tenant)) throw new LineFault("tenant must be the name of a tenant");
  if (typeof source !== "string" || !isSource(source)) throw new LineFault("source must be that of an event");
  if (given !== undefined && given !== false) throw new LineFault("timestamp_given can only be false");
  if (erased !== undefined && erased !== true) throw new LineFault("erased can only be true");
  if (typeof sent.timestamp !== "string") throw new LineFault("timestamp is required");
  if (erased && ("user_id" in sent || "properties" in sent)) {
    throw new LineFault("an erased event has neither user_id nor properties");
  }
  const parsed = parseEvent(erased ? { ...sent, user_id: "erased" } : sent, {
    tenant,
    source,
    now: timeOf({ received_at: received }, "received_at"),
    naiveZone: "UTC",
    maxFutureMs: ANY_FUTURE,
    oldest: null,
    newId: () => {
      throw new LineFault("id is required");
    },
  });
  if (!parsed.ok) throw new LineFault(parsed.errors.map(sentenceOf).join("; "));
  return { ...parsed.event, timestampGiven: given === undefined, ...(erased && { userId: "" }) };
}

function parseTotal(members: Record<string, unknown>): TotalLine {
  return { kind: "total", ...kindOf(members), count: countOf(members, "count"), sum: sumOf(members, "total") };
}

function parseEnd(members: Record<string, unknown>): End {
  if (members.end !== FORM) throw new LineFault(`end must be "${FORM}"`);
  return {
    kind: "end",
    events: countOf(members, "events"),
    purged: countOf(members, "purged"),
    minutes: digestOf(members, "minutes"),
    hours: digestOf(members, "hours"),
    sha256: hashOf(members),
  };
}

function kindOf(members: Record<string, unknown>): { tenant: string; eventType: string } {
  const [tenant, eventType] = [textOf(members, "tenant"), textOf(members, "event_type")];
  if (!isTenant(tenant)) throw new LineFault("tenant must be the name of a tenant");
  if (!isEventType(eventType)) throw new LineFault("event_type must be the name of a type");
  return { tenant, eventType };
}

function digestOf(members: Record<string, unknown>, name: string): CellsDigest {
  const digest = members[name];
  if (typeof digest !== "object" || digest === null) throw new LineFault(`${name} must be an object`);
  const inner = digest as Record<string, unknown>;
  return { cells: countOf(inner, "cells"), sha256: hashOf(inner) };
}

function hashOf(members: Record<string, unknown>): string {
  const text = textOf(members, "sha256");
  if (!SHA256.test(text)) throw new LineFault("sha256 must be 64 hexadecimal digits");
  return text;
}

function textOf(members: Record<string, unknown>, name: string): string {
  const value = members[name];
  if (typeof value !== "string") throw new LineFault(`${name} must be a text`);
  return value;
}

function timeOf(members: Record<string, unknown>, name: string): number {
  const parsed = parseTimestamp(textOf(members, name), "UTC");
  if (!parsed.ok) throw new LineFault(`${name} ${parsed.detail}`);
  return parsed.timestamp;
}

function countOf(members: Record<string, unknown>, name: string): number {
  const value = members[name];
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new LineFault(`${name} must be a count`);
  return value as number;
}

function amountOf(members: Record<string, unknown>, name: string): number {
  const parsed = parseAmount(textOf(members, name));
  if (!parsed.ok) throw new LineFault(`${name} ${parsed.detail}`);
  return parsed.amount;
}

/** A sum may be larger than an amount. */
function sumOf(members: Record<string, unknown>, name: string): bigint {
  const match = SUM.exec(textOf(members, name));
  if (match === null) throw new LineFault(`${name} must be a decimal`);
  const digits = String(AMOUNT_UNITS).length - 1;
  const units = BigInt(match[2]! + (match[3] ?? "").padEnd(digits, "0"));
  return match[1] === "-" ? -units : units;
}
