/** Between the messages of eventhub.v1 and what the hub speaks. */
import { formatAmount, formatAverage } from "../../amount.ts";
import { type FieldError as HubFieldError, type FieldErrorCode, HubError } from "../../errors.ts";
import { type Event, isEventType, userIdFault } from "../../event.ts";
import type { LiveFilter } from "../../feed.ts";
import * as v1 from "../../gen/eventhub/v1/eventhub.ts";
import { Timestamp } from "../../gen/google/protobuf/timestamp.ts";
import type { AggregatesRequest, WindowRow } from "../../hub.ts";
import { EVENT_TYPES_PER_TENANT_MAX, TIMESTAMP_YEAR_MAX, TIMESTAMP_YEAR_MIN } from "../../limits.ts";
import { EVENT_FRAME_BYTES } from "../../page.ts";
import type { EventFilter } from "../../storage.ts";
import type { Start } from "../../stream.ts";
import { parseTimestamp, TIMESTAMP_MAX, TIMESTAMP_MIN } from "../../timestamp.ts";
import { isTimeZone, type WindowSize } from "../../window.ts";

const NANOS_PER_SECOND = 1_000_000_000;

/** What is expected of every google.protobuf.Timestamp. */
export const TIMESTAMP_RULE =
  `must lie in the years ${TIMESTAMP_YEAR_MIN} to ${TIMESTAMP_YEAR_MAX}, with nanos from 0 to 999,999,999`;

/** A live cursor never begins like a date. */
const TIME_LIKE = /^\d{4}-\d\d-\d\d/;

/** A fault of one request field, in proto spelling. */
export function badField(field: string, code: FieldErrorCode, detail: string): HubError {
  return new HubError("invalid_argument", `${field} ${detail}`, {
    errors: [{ parameter: field, code, detail: `${field} ${detail}` }],
  });
}

/** A JSON pointer as the path of a proto field: `/properties/a b/0` is `properties["a b"][0]`. */
export function fieldPath(pointer: string): string {
  let path = "";
  for (const token of pointer.split("/").slice(1)) {
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
    if (/^\d+$/.test(name)) path += `[${name}]`;
    else if (/^\w+$/.test(name)) path += path === "" ? name : `.${name}`;
    else path += `[${JSON.stringify(name)}]`;
  }
  return path;
}

/** A fault of a request in proto spelling. */
export function toRequestError({ pointer, parameter, code, detail }: HubFieldError): v1.FieldError {
  return { field: (parameter ?? fieldPath(pointer ?? "")).toWellFormed(), code, detail: detail.toWellFormed() };
}

/** A fault of an EventInput in proto spelling. */
export function toFieldError(error: HubFieldError): v1.FieldError {
  const plain = toRequestError(error);
  // The timestamp was given to the hub as text; what the hub says of the form of text is not for the sender.
  return error.code === "invalid_timestamp" ? { ...plain, detail: `timestamp ${TIMESTAMP_RULE}` } : plain;
}

/** Milliseconds as a google.protobuf.Timestamp. */
export function toTimestamp(milliseconds: number): Timestamp {
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds: BigInt(seconds), nanos: (milliseconds - seconds * 1000) * 1_000_000 };
}

/** A timestamp in milliseconds, cut; `null` when it breaks {@link TIMESTAMP_RULE}. */
export function toMilliseconds(seconds: number | bigint, nanos: number): number | null {
  if (nanos < 0 || nanos >= NANOS_PER_SECOND) return null;
  const milliseconds = Number(seconds) * 1000 + Math.floor(nanos / 1_000_000);
  return milliseconds >= TIMESTAMP_MIN && milliseconds <= TIMESTAMP_MAX ? milliseconds : null;
}

function timeOf(field: string, timestamp: Timestamp | undefined): number | undefined {
  if (timestamp === undefined) return undefined;
  const milliseconds = toMilliseconds(timestamp.seconds, timestamp.nanos);
  if (milliseconds === null) throw badField(field, "invalid_timestamp", TIMESTAMP_RULE);
  return milliseconds;
}

/** A stored event as a message. */
export function toEvent(event: Event): v1.Event {
  return {
    id: event.id,
    userId: event.userId,
    eventType: event.eventType,
    amount: formatAmount(event.amount),
    timestamp: toTimestamp(event.timestamp),
    properties: event.properties === null ? {} : JSON.parse(event.properties),
    receivedAt: toTimestamp(event.receivedAt),
    source: event.source,
  };
}

/** A code unit of UTF-16 takes at most three bytes. */
const TEXT_BYTES_PER_CHARACTER = 3;
/** A Struct takes at most five and a half times as much as its JSON: `0,` is two bytes there and eleven here. */
const STRUCT_BYTES_PER_CHARACTER = 5.5;

/** What the message of an event takes at most. */
export function eventBytes({ userId, properties }: Event): number {
  return EVENT_FRAME_BYTES + userId.length * TEXT_BYTES_PER_CHARACTER +
    (properties?.length ?? 0) * STRUCT_BYTES_PER_CHARACTER;
}

/** The filter of a list. */
export function toEventFilter(tenant: string, filter: v1.EventFilter | undefined): EventFilter {
  const from = timeOf("filter.from", filter?.from);
  const to = timeOf("filter.to", filter?.to);
  if (from !== undefined && to !== undefined && from > to) {
    throw badField("filter.from", "out_of_range", "must not be later than filter.to");
  }
  return { tenant, ...toLiveFilter(filter), from, to };
}

/** The filter of a subscription. */
export function toLiveFilter(filter: v1.SubscribeFilter | undefined): LiveFilter {
  const eventTypes = toEventTypes("filter.event_types", filter?.eventTypes ?? []);
  return { userId: toUserId("filter.user_id", filter?.userId), ...(eventTypes === null ? {} : { eventTypes }) };
}

/** A user to look for, held to the rule of an event's; one that no event can have is a mistake of the caller. */
function toUserId(field: string, userId: string | undefined): string | undefined {
  if (userId === undefined) return undefined;
  const fault = userIdFault(userId);
  if (fault !== null) throw badField(field, fault.code, fault.detail);
  return userId;
}

/** The types to restrict to; `null` for none given. */
function toEventTypes(field: string, eventTypes: readonly string[]): readonly string[] | null {
  if (eventTypes.length > EVENT_TYPES_PER_TENANT_MAX) {
    throw badField(field, "too_long", `must have at most ${EVENT_TYPES_PER_TENANT_MAX} types`);
  }
  const wrong = eventTypes.find((type) => !isEventType(type));
  if (wrong !== undefined) {
    throw badField(field, "invalid_format", `must be names of event types; ${JSON.stringify(wrong)} is none`);
  }
  return eventTypes.length === 0 ? null : eventTypes;
}

/** Where a subscription starts: `latest` (also when missing), `earliest`, a time of receipt, or a cursor. */
export function toStart(after: string | undefined, naiveZone: string): Start {
  if (after === undefined || after === "latest") return { at: "latest" };
  if (after === "earliest") return { at: "earliest" };
  if (after === "") throw badField("after", "too_short", "must not be empty");
  if (!TIME_LIKE.test(after)) return { cursor: after };
  const time = parseTimestamp(after, naiveZone);
  if (!time.ok) throw badField("after", "invalid_timestamp", time.detail);
  return { receivedAt: time.timestamp };
}

/** Enums of proto3 are open: a number the hub does not know arrives as it is. */
function chosen<T>(field: string, value: number, choices: Readonly<Record<number, T>>): T {
  const choice = choices[value];
  if (choice === undefined) {
    throw badField(field, "invalid_value", `must be one of ${Object.keys(choices).join(", ")}; it is ${value}`);
  }
  return choice;
}

/** The order of a list. */
export function toOrder(order: v1.Order): "asc" | "desc" {
  return chosen("order", order, {
    [v1.Order.ORDER_UNSPECIFIED]: "desc",
    [v1.Order.ORDER_DESCENDING]: "desc",
    [v1.Order.ORDER_ASCENDING]: "asc",
  });
}

const WINDOWS: Readonly<Record<number, WindowSize>> = {
  [v1.Window.WINDOW_UNSPECIFIED]: "1m",
  [v1.Window.WINDOW_MINUTE]: "1m",
  [v1.Window.WINDOW_FIVE_MINUTES]: "5m",
  [v1.Window.WINDOW_QUARTER_HOUR]: "15m",
  [v1.Window.WINDOW_HOUR]: "1h",
  [v1.Window.WINDOW_DAY]: "1d",
};

/** A question about windows. */
export function toAggregatesRequest(tenant: string, request: v1.QueryAggregatesRequest): AggregatesRequest {
  const zone = request.tz ?? "UTC";
  if (!isTimeZone(zone)) throw badField("tz", "invalid_value", "must be the IANA name of a time zone");
  request.groupBy.forEach((dimension, index) =>
    chosen(`group_by[${index}]`, dimension, { [v1.Dimension.DIMENSION_EVENT_TYPE]: true })
  );
  return {
    tenant,
    from: timeOf("from", request.from),
    to: timeOf("to", request.to),
    window: chosen("window", request.window, WINDOWS),
    groupByType: request.groupBy.length > 0,
    eventTypes: toEventTypes("event_types", request.eventTypes),
    fill: chosen("fill", request.fill, {
      [v1.Fill.FILL_UNSPECIFIED]: false,
      [v1.Fill.FILL_NONE]: false,
      [v1.Fill.FILL_ZERO]: true,
    }),
    zone,
    percentiles: request.percentiles,
  };
}

/** A row of windows as a message. */
export function toAggregateRow(row: WindowRow): v1.AggregateRow {
  const { percentiles } = row;
  return {
    start: toTimestamp(row.start),
    end: toTimestamp(row.end),
    eventType: row.eventType ?? undefined,
    count: BigInt(row.count),
    total: formatAmount(row.total),
    net: formatAmount(row.net),
    min: decimal(row.min),
    max: decimal(row.max),
    avg: row.average === null ? undefined : formatAverage(row.average),
    p50: decimal(percentiles?.p50 ?? null),
    p95: decimal(percentiles?.p95 ?? null),
    p99: decimal(percentiles?.p99 ?? null),
    revision: BigInt(row.count),
    closed: row.closed,
  };
}

function decimal(units: number | null): string | undefined {
  return units === null ? undefined : formatAmount(units);
}
