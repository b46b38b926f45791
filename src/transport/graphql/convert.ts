/** Between GraphQL and the domain. */
import { amountToNumber, formatAmount } from "../../amount.ts";
import { type FieldError, HubError, sentenceOf } from "../../errors.ts";
import { type Event, isEventType, userIdFault } from "../../event.ts";
import type { LiveFilter } from "../../feed.ts";
import type { IngestResult } from "../../hub.ts";
import { EVENT_TYPES_PER_TENANT_MAX } from "../../limits.ts";
import type { EventFilter } from "../../storage.ts";
import type { Start } from "../../stream.ts";
import { parseTimestamp } from "../../timestamp.ts";

/** Everybody's tenant while there are no credentials. */
export const TENANT = "default";

/** An event, and its live cursor where it came out of a stream. */
export interface EventView {
  readonly event: Event;
  readonly cursor: string | null;
}

/** The fields of `EventInput`. All are optional to GraphQL: the hub judges each event by itself. */
export interface EventFields {
  readonly id?: string | null;
  readonly userId?: string | null;
  readonly eventType?: string | null;
  readonly amount?: unknown;
  readonly timestamp?: unknown;
  readonly properties?: unknown;
}

/** The fields of the input type `EventFilter`. */
export interface FilterFields {
  readonly userId?: string | null;
  readonly eventTypes?: readonly string[] | null;
  readonly from?: unknown;
  readonly to?: unknown;
}

/** Totals of a batch and what became of each event. */
export interface BatchView {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly retryable: number;
  readonly results: readonly (IngestResult & { readonly index: number })[];
}

/** An event with the member names of the REST contract, as the hub reads it. */
export function toInput(fields: EventFields): Record<string, unknown> {
  const { id, userId, eventType, amount, timestamp, properties } = fields;
  return { id, user_id: userId, event_type: eventType, amount, timestamp, properties };
}

/** `properties` as a value; `{}` for none. */
export function propertiesOf(event: Event): unknown {
  return event.properties === null ? {} : JSON.parse(event.properties);
}

/** The double nearest to a sum, which may be larger than an amount can be. */
export function sumToNumber(sum: bigint): number {
  return Number.isSafeInteger(Number(sum)) ? amountToNumber(Number(sum)) : Number(formatAmount(sum));
}

/** The results of a batch with their totals. */
export function toBatchView(results: readonly IngestResult[]): BatchView {
  const count = (...statuses: IngestResult["status"][]): number =>
    results.filter(({ status }) => statuses.includes(status)).length;
  return {
    accepted: count("stored"),
    duplicates: count("duplicate"),
    rejected: count("conflict", "invalid"),
    retryable: count("unavailable"),
    results: results.map((result, index) => ({ ...result, index })),
  };
}

/** An error of one argument. */
export function badArgument(parameter: string, code: FieldError["code"], detail: string): HubError {
  return new HubError("invalid_argument", `${parameter}: ${detail}`, { errors: [{ parameter, code, detail }] });
}

/** Reads a `DateTime` argument; `undefined` for none. */
export function toTime(parameter: string, value: unknown, naiveZone: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw badArgument(parameter, "invalid_type", "must be a string, an RFC 3339 time");
  const parsed = parseTimestamp(value, naiveZone);
  if (!parsed.ok) throw badArgument(parameter, "invalid_timestamp", parsed.detail);
  return parsed.timestamp;
}

/** Reads a list of event types; `null` when it restricts nothing. */
export function toEventTypes(parameter: string, types: readonly string[] | null | undefined): string[] | null {
  if (types === undefined || types === null || types.length === 0) return null;
  const distinct = [...new Set(types)].sort();
  if (distinct.length > EVENT_TYPES_PER_TENANT_MAX) {
    throw badArgument(parameter, "too_long", `must have at most ${EVENT_TYPES_PER_TENANT_MAX} types`);
  }
  if (!distinct.every(isEventType)) {
    const detail = "must be names of event types: a letter, then letters, digits and _ . : -";
    throw badArgument(parameter, "invalid_format", detail);
  }
  return distinct;
}

/** The part of a filter that the live feed knows. */
export function toLiveFilter(filter: FilterFields | null | undefined): LiveFilter {
  const userId = filter?.userId ?? undefined;
  const fault = userId === undefined ? null : userIdFault(userId);
  if (fault !== null) throw badArgument("filter.userId", fault.code, fault.detail);
  const eventTypes = toEventTypes("filter.eventTypes", filter?.eventTypes) ?? undefined;
  return { ...(userId === undefined ? {} : { userId }), ...(eventTypes === undefined ? {} : { eventTypes }) };
}

/** A range of event time, half-open; a missing end does not restrict. */
export interface TimeRange {
  readonly from?: number;
  readonly to?: number;
}

/** The times of a filter. */
export function toTimeRange(filter: FilterFields | null | undefined, naiveZone: string): TimeRange {
  const from = toTime("filter.from", filter?.from, naiveZone);
  const to = toTime("filter.to", filter?.to, naiveZone);
  if (from !== undefined && to !== undefined && from > to) {
    throw badArgument("filter.from", "out_of_range", "must not be later than `to`");
  }
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
}

/** A filter of a list. */
export function toEventFilter(filter: FilterFields | null | undefined, naiveZone: string): EventFilter {
  return { tenant: TENANT, ...toLiveFilter(filter), ...toTimeRange(filter, naiveZone) };
}

/** A live cursor never begins like a date. */
const TIME_LIKE = /^\d{4}-\d\d-\d\d/;

/** Where a subscription starts: `latest` (also when nothing is given), `earliest`, a time of receipt, or a cursor. */
export function toStart(after: string | null | undefined, naiveZone: string): Start {
  if (after === undefined || after === null || after === "latest") return { at: "latest" };
  if (after === "earliest") return { at: "earliest" };
  if (after === "") throw badArgument("after", "too_short", "must not be empty");
  return TIME_LIKE.test(after) ? { receivedAt: toTime("after", after, naiveZone)! } : { cursor: after };
}

/** Names of the REST contract, which the hub speaks, in GraphQL's spelling. */
const SPELLING: Readonly<Record<string, string>> = {
  user_id: "userId",
  event_type: "eventType",
  group_by: "groupBy",
  cursor: "after",
};

/**
 * A field error in GraphQL's spelling. `pointer` is relative to the event (`/userId`), the same in the error of
 * `publishEvent` and in a result of `publishEvents`; `parameter` is the name of an argument.
 */
export function spellFieldError(error: FieldError): FieldError {
  const { pointer, parameter, code, detail } = error;
  return {
    ...(pointer === undefined ? {} : { pointer: pointer.replace(/^\/(\w+)/, (_all, name) => "/" + spell(name)) }),
    ...(parameter === undefined ? {} : { parameter: spell(parameter) }),
    code,
    detail: detail.replace(/^\w+/, spell),
  };
}

/** The message of an error in GraphQL's spelling, as far as it repeats its first field error. */
export function spellMessage({ message, errors }: HubError): string {
  const [first] = errors;
  if (first === undefined) return message;
  const plain = sentenceOf(first);
  if (!message.startsWith(plain)) return message;
  return sentenceOf(spellFieldError(first)) + message.slice(plain.length);
}

function spell(name: string): string {
  return Object.hasOwn(SPELLING, name) ? SPELLING[name]! : name;
}
