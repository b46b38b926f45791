/** Events as documents, written to be read by people in mongosh, and parsed again when they come back. */
import { Binary, Decimal128, ObjectId } from "mongodb";
import type { Amount } from "../amount.ts";
import { type Event, isEventType, isSource } from "../event.ts";
import { AMOUNT_ABSOLUTE_MAX, AMOUNT_FRACTION_DIGITS_MAX } from "../limits.ts";
import type { StoredEvent } from "../publication.ts";
import { minuteOf } from "../window.ts";

/** A stored event. What is optional is absent rather than `null` or `false`, so that partial indexes stay small. */
export interface EventDocument {
  /** `<tenant>:<id>`. */
  readonly _id: string;
  readonly tenant: string;
  readonly user_id: string;
  readonly event_type: string;
  readonly amount: Decimal128;
  readonly timestamp: Date;
  /** Whether the sender gave the timestamp. */
  readonly timestamp_given: boolean;
  readonly received_at: Date;
  readonly source: string;
  /** An object; its JSON text where an object of BSON would not mean the same. */
  readonly properties?: object | string;
  /** Which slice counts it; see `mongodb_slices.ts`. */
  readonly slice: string;
  /** When it was handed out, by the server's clock. */
  readonly pub: Date;
  /** Names this insertion, and orders insertions by arrival. */
  readonly arrival: ObjectId;
  /** The same as `arrival` while it is not counted yet. */
  readonly pend?: ObjectId;
  /** It is counted, but not known to be handed out. */
  readonly unpub?: true;
  /** Its user asked to be forgotten. */
  readonly erased?: true;
}

const NO_INSERTION = new ObjectId("0".repeat(24));
/** The largest absolute value of an amount, in units. */
export const AMOUNT_MAX = AMOUNT_ABSOLUTE_MAX * 10 ** AMOUNT_FRACTION_DIGITS_MAX;
/** Members that BSON would take for a type of its own, and escapes, behind which such a member could hide. */
const NOT_PLAIN = /_bsontype|\\u/;

/** `_id` of an event. Tenants have no colon, so no two events share one. */
export function eventKey(tenant: string, id: string): string {
  return `${tenant}:${id}`;
}

/** A document of an event. `pub` in milliseconds; `arrival` names this insertion; `slice` is what counts it. */
export function toDocument(
  event: Event,
  { pub, arrival, slice }: { pub: number; arrival: ObjectId; slice: string },
): EventDocument {
  const document = {
    _id: eventKey(event.tenant, event.id),
    tenant: event.tenant,
    user_id: event.userId,
    event_type: event.eventType,
    amount: toDecimal(BigInt(event.amount)),
    timestamp: new Date(event.timestamp),
    timestamp_given: event.timestampGiven,
    received_at: new Date(event.receivedAt),
    source: event.source,
    slice,
    pub: new Date(pub),
    arrival,
    pend: arrival,
    // Nobody is the user of an event that was erased where it comes from.
    ...(event.userId === "" && { erased: true as const }),
  };
  return event.properties === null ? document : { ...document, properties: toProperties(event.properties) };
}

/** What was stored; `null` for a document that this program did not write, such as the prototype's. */
export function fromDocument(document: unknown): (StoredEvent & { readonly erased: boolean }) | null {
  if (typeof document !== "object" || document === null) return null;
  const found = document as Partial<Record<keyof EventDocument, unknown>>;
  const { _id: key, tenant, user_id: userId, event_type: eventType, source, arrival } = found;
  if (typeof key !== "string" || typeof tenant !== "string" || !key.startsWith(`${tenant}:`)) return null;
  if (typeof userId !== "string" || typeof eventType !== "string" || !isEventType(eventType)) return null;
  if (typeof source !== "string" || !isSource(source) || !(arrival instanceof ObjectId)) return null;
  const amount = toAmount(found.amount);
  const properties = fromProperties(found.properties);
  const [timestamp, receivedAt, pub] = [timeOf(found.timestamp), timeOf(found.received_at), timeOf(found.pub)];
  if (amount === null || properties === undefined) return null;
  if (timestamp === null || receivedAt === null || pub === null) return null;
  const event: Event = {
    id: key.slice(tenant.length + 1),
    tenant,
    userId,
    eventType,
    amount,
    timestamp,
    timestampGiven: found.timestamp_given === true,
    receivedAt,
    source,
    properties,
  };
  return { key, event, pub, pend: arrival.toHexString(), erased: found.erased === true };
}

/** The name of an insertion as it is stored. Names come from entries of a stream: what is none matches nothing. */
export function insertionOf(pend: string): ObjectId {
  return ObjectId.isValid(pend) ? new ObjectId(pend) : NO_INSERTION;
}

/** An event without its user and what the user said. */
export function anonymous(event: Event): Event {
  return { ...event, userId: "", properties: null };
}

/** `<tenant>:minute:2026-01-15T12:34`, the `_id` of the cells of a minute. */
export function minuteKey(tenant: string, time: number): string {
  return `${tenant}:minute:${minuteText(time)}`;
}

/** `<tenant>:hour:2026-01-15T12`, the `_id` of the cells of an hour. */
export function hourKey(tenant: string, time: number): string {
  return `${tenant}:hour:${minuteText(time).slice(0, 13)}`;
}

let [lastMinute, lastText] = [NaN, ""];

/** Years have four digits, so these texts sort as the times do. */
function minuteText(time: number): string {
  const minute = minuteOf(time);
  if (minute !== lastMinute) [lastMinute, lastText] = [minute, new Date(minute).toISOString().slice(0, 16)];
  return lastText;
}

const COEFFICIENT_LOW = 0xffff_ffff_ffff_ffffn;
const COEFFICIENT_HIGH_BITS = 49n;
const EXPONENT_BIAS = 6_176n;
const SIGN = 1n << 63n;
/** Combinations of leading bits that mean infinities, and a larger coefficient than 34 digits have. */
const SPECIAL = 3n << 61n;

/**
 * Units of 1/10,000 as Decimal128, without trailing zeros behind the point. IEEE 754-2008, binary encoding: sign,
 * biased exponent, coefficient; made by hand, because the driver's way through text is ten times slower.
 */
export function toDecimal(units: bigint): Decimal128 {
  let coefficient = units < 0n ? -units : units;
  let exponent = -AMOUNT_FRACTION_DIGITS_MAX;
  if (coefficient === 0n) exponent = 0;
  while (exponent < 0 && coefficient % 10n === 0n) {
    coefficient /= 10n;
    exponent++;
  }
  const high = (units < 0n ? SIGN : 0n) | ((BigInt(exponent) + EXPONENT_BIAS) << COEFFICIENT_HIGH_BITS) |
    (coefficient >> 64n);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, coefficient & COEFFICIENT_LOW, true);
  view.setBigUint64(8, high, true);
  return new Decimal128(bytes);
}

/** Decimal128 as units of 1/10,000; `null` for what is no such number. */
export function fromDecimal(value: unknown): bigint | null {
  if (!(value instanceof Decimal128)) return null;
  const { bytes } = value;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const high = view.getBigUint64(8, true);
  if ((high & SPECIAL) === SPECIAL) return null;
  let units = ((high & ((1n << COEFFICIENT_HIGH_BITS) - 1n)) << 64n) | view.getBigUint64(0, true);
  const shift = Number(((high & ~SIGN) >> COEFFICIENT_HIGH_BITS) - EXPONENT_BIAS) + AMOUNT_FRACTION_DIGITS_MAX;
  if (shift > 64) return null;
  if (shift >= 0) {
    units *= 10n ** BigInt(shift);
  } else {
    const scale = 10n ** BigInt(-shift);
    if (units % scale !== 0n) return null;
    units /= scale;
  }
  return (high & SIGN) === 0n ? units : -units;
}

/** Decimal128 as an amount; `null` for what is none. */
export function toAmount(value: unknown): Amount | null {
  const units = fromDecimal(value);
  if (units === null) return null;
  const amount = Number(units);
  return Math.abs(amount) <= AMOUNT_MAX ? amount : null;
}

/** What a recount takes of an event; `null` for one that was changed by hand until it is none. */
export function countableOf(
  { event_type: eventType, amount }: Pick<EventDocument, "event_type" | "amount">,
): { readonly eventType: string; readonly amount: Amount } | null {
  const units = toAmount(amount);
  return units === null || typeof eventType !== "string" ? null : { eventType, amount: units };
}

/** Bytes as they are read, whichever way the driver holds them; `null` for anything else. */
export function bytesOf(value: unknown): Uint8Array | null {
  if (value instanceof Binary) return value.value();
  return value instanceof Uint8Array ? value : null;
}

function toProperties(text: string): object | string {
  return NOT_PLAIN.test(text) ? text : JSON.parse(text);
}

/** `undefined` for what is neither properties nor none. */
function fromProperties(value: unknown): string | null | undefined {
  if (value === undefined) return null;
  try {
    if (typeof value !== "string") return isPlainObject(value) ? JSON.stringify(value, withoutBigInts) : undefined;
    return isPlainObject(JSON.parse(value)) ? value : undefined;
  } catch (error) {
    // No JSON, or what none can be made of.
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
}

function isPlainObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Other programs write long integers, of which JSON knows nothing. */
function withoutBigInts(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}

function timeOf(value: unknown): number | null {
  return value instanceof Date && !Number.isNaN(value.getTime()) ? value.getTime() : null;
}
