/** The types of the schema. Their field names and descriptions are what clients see. */
import { amountToNumber, formatAmount, formatAverage } from "../../amount.ts";
import type { FieldError } from "../../errors.ts";
import type { IngestResult, Published, WindowRow } from "../../hub.ts";
import type { Total } from "../../storage.ts";
import { builder } from "./builder.ts";
import { type BatchView, type EventView, propertiesOf, spellFieldError, sumToNumber } from "./convert.ts";

/** An event. */
export const EventType = builder.objectRef<EventView>("Event").implement({
  description: "A business event.",
  fields: (t) => ({
    id: t.string({ description: "Unique for as long as the event is kept.", resolve: ({ event }) => event.id }),
    userId: t.string({ description: "Whose event it is.", resolve: ({ event }) => event.userId }),
    eventType: t.string({
      description: "`purchase`, `return`, `refund`, `exchange`, or any other type that was sent.",
      resolve: ({ event }) => event.eventType,
    }),
    amount: t.float({
      description: "The amount as the nearest double; `amountExact` is the amount itself.",
      resolve: ({ event }) => amountToNumber(event.amount),
    }),
    amountExact: t.string({
      description: "The amount as canonical decimal text, for example `12.5`.",
      resolve: ({ event }) => formatAmount(event.amount),
    }),
    timestamp: t.field({
      type: "DateTime",
      description: "When it happened.",
      resolve: ({ event }) => event.timestamp,
    }),
    receivedAt: t.field({
      type: "DateTime",
      description: "When the hub took it.",
      resolve: ({ event }) => event.receivedAt,
    }),
    source: t.string({
      description: "The protocol it came in over: `rest`, `graphql`, `grpc`, `redis` or `import`.",
      resolve: ({ event }) => event.source,
    }),
    properties: t.field({
      type: "JSON",
      description: "What else the sender told about it: an object, `{}` when nothing.",
      resolve: ({ event }) => propertiesOf(event),
    }),
    cursor: t.string({
      nullable: true,
      description: "In `eventStream`: pass it as `after` to go on behind this event. Null elsewhere.",
      resolve: ({ cursor }) => cursor,
    }),
  }),
});

/** One event of a page. */
export interface Edge {
  readonly node: EventView;
  readonly cursor: string;
}

/** A page as Relay describes it. */
export interface Connection {
  readonly edges: readonly Edge[];
  readonly hasNextPage: boolean;
  readonly hasPreviousPage: boolean;
  readonly startCursor: string | null;
  readonly endCursor: string | null;
}

const EventEdge = builder.objectRef<Edge>("EventEdge").implement({
  description: "One event of a page.",
  fields: (t) => ({
    node: t.expose("node", { type: EventType, description: "The event." }),
    cursor: t.exposeString("cursor", { description: "Pass it as `after` to go on behind this event." }),
  }),
});

const PageInfo = builder.objectRef<Connection>("PageInfo").implement({
  description: "Where a page lies in the list.",
  fields: (t) => ({
    hasNextPage: t.exposeBoolean("hasNextPage", {
      description: "Whether there may be more. Only `false` is the end: a page may be shorter than asked for.",
    }),
    hasPreviousPage: t.exposeBoolean("hasPreviousPage", { description: "Whether the page began behind a cursor." }),
    startCursor: t.exposeString("startCursor", { nullable: true, description: "Cursor of the first event." }),
    endCursor: t.exposeString("endCursor", { nullable: true, description: "Pass it as `after` for the next page." }),
  }),
});

/** A page of events. */
export const EventConnection = builder.objectRef<Connection>("EventConnection").implement({
  description: "A page of events, after the Relay specification of connections.",
  fields: (t) => ({
    edges: t.expose("edges", { type: [EventEdge], description: "The events with their cursors." }),
    pageInfo: t.field({ type: PageInfo, description: "Where the page lies.", resolve: (connection) => connection }),
  }),
});

/** The prototype's metric of the last minutes. */
export const AggregatedMetric = builder.objectRef<Total & { minutes: number }>("AggregatedMetric").implement({
  description: "Exact totals of the last minutes.",
  fields: (t) => ({
    totalAmount: t.float({
      description: "Sum of the amounts, as the nearest double. `aggregates` has it as text.",
      resolve: ({ sum }) => sumToNumber(sum),
    }),
    eventCount: t.exposeInt("count", { description: "Number of events." }),
    timeWindow: t.string({
      description: "`last_<minutes>_minutes`.",
      resolve: ({ minutes }) => `last_${minutes}_minutes`,
    }),
  }),
});

const amountText = (units: bigint | number | null | undefined): string | null =>
  units === null || units === undefined ? null : formatAmount(units);

/** One window of metrics. */
export const Aggregate = builder.objectRef<WindowRow>("Aggregate").implement({
  description: "Totals of the events of one window of event time. Amounts are exact decimal text.",
  fields: (t) => ({
    start: t.expose("start", { type: "DateTime", description: "Start of the window, inclusive." }),
    end: t.expose("end", { type: "DateTime", description: "End of the window, exclusive." }),
    eventType: t.exposeString("eventType", {
      nullable: true,
      description: "The event type, when grouped by it; null for all types together.",
    }),
    count: t.exposeInt("count", { description: "Number of events." }),
    total: t.string({ description: "Sum of the amounts.", resolve: ({ total }) => formatAmount(total) }),
    net: t.string({
      description: "Purchases − returns − refunds, with signs as sent.",
      resolve: ({ net }) => formatAmount(net),
    }),
    min: t.string({ nullable: true, description: "Smallest amount.", resolve: ({ min }) => amountText(min) }),
    max: t.string({ nullable: true, description: "Largest amount.", resolve: ({ max }) => amountText(max) }),
    avg: t.string({
      nullable: true,
      description: "Mean, always with four fraction digits, rounded half-even.",
      resolve: ({ average }) => average === null ? null : formatAverage(average),
    }),
    p50: t.string({
      nullable: true,
      description: "Median by nearest rank, within 1 %; only with `percentiles: true`.",
      resolve: ({ percentiles }) => amountText(percentiles?.p50),
    }),
    p95: t.string({
      nullable: true,
      description: "95th percentile, as `p50`.",
      resolve: ({ percentiles }) => amountText(percentiles?.p95),
    }),
    p99: t.string({
      nullable: true,
      description: "99th percentile, as `p50`.",
      resolve: ({ percentiles }) => amountText(percentiles?.p99),
    }),
    revision: t.exposeInt("count", { description: "Grows with every event of the row, also with a late one." }),
    closed: t.exposeBoolean("closed", {
      description: "Whether the window and a grace of 5 s have passed. A late event still changes the row.",
    }),
  }),
});

/** A single event that was taken. */
export const PublishResult = builder.objectRef<Published>("PublishResult").implement({
  description: "The event is on disk.",
  fields: (t) => ({
    id: t.exposeString("id", { description: "The id that was sent, or the one the hub gave it." }),
    duplicate: t.exposeBoolean("duplicate", { description: "Whether the same event was stored already." }),
  }),
});

const PublishStatus = builder.enumType("PublishStatus", {
  description: "What became of one event of a batch.",
  values: {
    STORED: { value: "stored", description: "It is on disk." },
    DUPLICATE: { value: "duplicate", description: "The same event was on disk already." },
    CONFLICT: { value: "conflict", description: "Another event has this id. Nothing changed." },
    INVALID: { value: "invalid", description: "See `errors`. Not stored." },
    UNAVAILABLE: { value: "unavailable", description: "Not known to be stored: send it again with this `id`." },
  } as const,
});

const FieldErrorType = builder.objectRef<FieldError>("FieldError").implement({
  description: "What is wrong with one field. Errors carry the same in `extensions.errors`.",
  fields: (t) => ({
    pointer: t.exposeString("pointer", {
      nullable: true,
      description: "JSON pointer of the field in the event, for example `/userId` or `/properties/a`.",
    }),
    code: t.exposeString("code", { description: "What it is, for example `required` or `out_of_range`." }),
    detail: t.exposeString("detail", { description: "What was expected instead." }),
  }),
});

const PublishItemResult = builder.objectRef<IngestResult & { index: number }>("PublishItemResult").implement({
  description: "What became of one event of a batch.",
  fields: (t) => ({
    index: t.exposeInt("index", { description: "Its place in `inputs`, from 0." }),
    id: t.exposeString("id", { nullable: true, description: "Its id; null when it is invalid and brought none." }),
    status: t.expose("status", { type: PublishStatus, description: "What became of it." }),
    errors: t.field({
      type: [FieldErrorType],
      description: "Everything that is wrong with it; empty unless it is `INVALID` or in `CONFLICT`.",
      resolve: (result) => "errors" in result ? result.errors.map(spellFieldError) : [],
    }),
  }),
});

/** What became of a batch. */
export const PublishBatchResult = builder.objectRef<BatchView>("PublishBatchResult").implement({
  description: "What became of the events of a batch. The four counts sum to the number of events.",
  fields: (t) => ({
    accepted: t.exposeInt("accepted", { description: "Newly stored." }),
    duplicates: t.exposeInt("duplicates", { description: "Stored already." }),
    rejected: t.exposeInt("rejected", { description: "Invalid or in conflict: sending them again will not help." }),
    retryable: t.exposeInt("retryable", { description: "Not known to be stored: send them again with their ids." }),
    results: t.expose("results", { type: [PublishItemResult], description: "One result for each event, in order." }),
  }),
});

/** Which windows. */
export const WindowType = builder.enumType("Window", {
  description: "Length of a window.",
  values: {
    MINUTE: { value: "1m" },
    FIVE_MINUTES: { value: "5m" },
    QUARTER_HOUR: { value: "15m" },
    HOUR: { value: "1h" },
    DAY: { value: "1d", description: "A day of the time zone asked for; some have 23 or 25 hours." },
  } as const,
});

/** By what rows are split. */
export const Dimension = builder.enumType("Dimension", {
  description: "What windows can be split by.",
  values: { EVENT_TYPE: { value: "eventType", description: "A row per window and event type." } } as const,
});

/** What happens to windows without events. */
export const Fill = builder.enumType("Fill", {
  description: "What happens to windows without events.",
  values: {
    NONE: { value: "none", description: "They have no row." },
    ZERO: { value: "zero", description: "They have a row of zeros; grouped by type, one for each type in the range." },
  } as const,
});
