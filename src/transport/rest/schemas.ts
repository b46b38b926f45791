/**
 * The shapes of bodies, for the documentation and for tests that hold answers against it. Requests are not checked by
 * them: `parseEvent` does that, for all protocols.
 */
import { z } from "zod";
import {
  AMOUNT_ABSOLUTE_MAX,
  BATCH_EVENTS_MAX,
  EVENT_ID_CHARACTERS_MAX,
  EVENT_TYPE_CHARACTERS_MAX,
  USER_ID_CODE_POINTS_MAX,
} from "../../limits.ts";

const id = z.string().regex(new RegExp(`^[A-Za-z0-9._:@~+=/-]{1,${EVENT_ID_CHARACTERS_MAX}}$`));
const userId = z.string().min(1).max(USER_ID_CODE_POINTS_MAX);
const eventType = z.string().regex(new RegExp(`^[A-Za-z][A-Za-z0-9_.:-]{0,${EVENT_TYPE_CHARACTERS_MAX - 1}}$`))
  .describe("`purchase`, `return`, `refund` and `exchange` are the known ones; others are welcome");
const time = z.iso.datetime({ precision: 3 });
const decimal = z.string().regex(/^-?[0-9]+(\.[0-9]{1,4})?$/);
const properties = z.record(z.string(), z.unknown());

/** An event as a sender may write it. */
export const EXAMPLE = { user_id: "u1", event_type: "purchase", amount: 12.5, properties: { sku: "A-17" } };

const FieldError = z.strictObject({
  pointer: z.string().optional().describe("JSON pointer (RFC 6901) into the event or the body"),
  parameter: z.string().optional().describe("Name of a query parameter or a header"),
  code: z.string(),
  detail: z.string(),
}).describe("One fault of the input");

const EventInput = z.strictObject({
  id: id.nullish().describe("Missing: the hub gives a UUIDv7"),
  user_id: userId,
  event_type: eventType,
  amount: z.union([
    z.number().min(-AMOUNT_ABSOLUTE_MAX).max(AMOUNT_ABSOLUTE_MAX),
    z.string().regex(/^[+-]?[0-9]+(\.[0-9]+)?$/),
  ]).describe("At most 4 fraction digits"),
  timestamp: z.string().nullish()
    .describe("RFC 3339; without a zone in EVENTHUB_NAIVE_ZONE (UTC); missing: the time of receipt"),
  properties: properties.nullish(),
}).meta({ description: "An event as it is sent", examples: [EXAMPLE] });

const Event = z.strictObject({
  id,
  user_id: userId,
  event_type: eventType,
  amount: z.number(),
  timestamp: time,
  properties,
}).describe("An event as it is stored");

const CloudEvent = z.object({
  specversion: z.literal("1.0"),
  id: id.describe("The id of the event"),
  source: z.string().min(1).describe("Goes to properties.ce"),
  type: eventType.describe("The event_type"),
  subject: z.string().optional().describe("The user_id, unless data has one"),
  time: z.string().optional().describe("The timestamp"),
  datacontenttype: z.string().optional(),
  dataschema: z.string().optional().describe("Goes to properties.ce"),
  data: z.strictObject({
    amount: EventInput.shape.amount,
    user_id: userId.optional(),
    properties: properties.optional(),
  }),
}).catchall(z.union([z.string(), z.int(), z.boolean(), z.null()]))
  .meta({
    description: "A CloudEvent 1.0 in its JSON format; extensions go to properties.ce",
    examples: [{
      specversion: "1.0",
      id: "7",
      source: "/shops/1",
      type: "purchase",
      subject: "u1",
      data: { amount: 12.5 },
    }],
  });

const DeadLetter = z.strictObject({
  id: z.string().describe("Names the message: `in:<marker>:<entry id>`"),
  failed_at: time,
  code: z.string().describe("Why: `invalid_argument`, `conflict`, `malformed`, `payload_too_large` or `internal`"),
  detail: z.string(),
  errors: z.array(FieldError),
  payload: z.unknown().describe("The event as it was sent, or the beginning of a message that is none, as a text"),
}).describe("An inbound message that could not be taken");

const BatchResult = z.strictObject({
  index: z.int().min(0),
  line: z.int().min(1).optional().describe("NDJSON: the number of the line, from 1"),
  id: z.string().nullable(),
  status: z.enum(["stored", "duplicate", "conflict", "invalid", "malformed", "unavailable"])
    .describe("`unavailable`: not known to be stored; send it again with this id"),
  errors: z.array(FieldError).optional(),
});

const counts = {
  accepted: z.int().describe("Newly stored"),
  duplicates: z.int().describe("Stored before, with the same content"),
  rejected: z.int().describe("Refused; the same again would be refused again"),
  retryable: z.int().describe("Not known to be stored; to be sent again with the same id"),
  results: z.array(BatchResult).describe("In order; without those of stored events when `verbose=false`"),
};

const problem = {
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.string().describe("The path of the request"),
  code: z.string().describe("What to decide by"),
  request_id: z.string().describe("The X-Request-Id of the request"),
};

const check = z.strictObject({ ok: z.boolean(), detail: z.string() });
const checks = z.record(z.string(), check).optional();
const total = z.strictObject({ count: z.int(), total: decimal });

const AggregateRow = z.strictObject({
  start: time,
  end: time,
  event_type: eventType.optional(),
  count: z.int(),
  total: decimal,
  net: decimal,
  min: decimal.nullable(),
  max: decimal.nullable(),
  avg: z.string().regex(/^-?[0-9]+\.[0-9]{4}$/).nullable().describe("Rounded half-even to 4 digits"),
  p50: decimal.nullish(),
  p95: decimal.nullish(),
  p99: decimal.nullish(),
  revision: z.int().describe("Number of events in the row: it grows with every change"),
  closed: z.boolean(),
});

/** Every schema the documentation names. */
export const SCHEMAS = {
  EventInput,
  Event,
  CloudEvent,
  CloudEventBatch: z.array(CloudEvent).max(BATCH_EVENTS_MAX),
  BatchInput: z.union([
    z.array(EventInput).max(BATCH_EVENTS_MAX),
    z.strictObject({ events: z.array(EventInput).max(BATCH_EVENTS_MAX) }),
  ]),
  FieldError,
  Published: z.strictObject({ status: z.literal("success"), id, duplicate: z.boolean() }),
  BatchResult,
  BatchResults: z.strictObject(counts),
  Problem: z.strictObject({
    ...problem,
    id: id.optional().describe("The id the hub gave an event that had none: retry with it"),
    errors: z.array(FieldError).optional(),
  }).describe("RFC 9457"),
  BatchProblem: z.strictObject({ ...problem, ...counts }),
  EventPage: z.strictObject({ events: z.array(Event), next_cursor: z.string().nullable() }),
  DeadLetter,
  DeadLetterPage: z.strictObject({ dead_letters: z.array(DeadLetter), next_cursor: z.string().nullable() }),
  Deleted: z.strictObject({ status: z.literal("success"), id: z.string().describe("The id of the dead letter") }),
  AggregateRow,
  Aggregates: z.strictObject({
    from: time,
    to: time,
    window: z.enum(["1m", "5m", "15m", "1h", "1d"]),
    rows: z.array(AggregateRow),
  }),
  RecountRange: z.strictObject({ from: z.string().nullish(), to: z.string().nullish() }),
  RecountReport: z.strictObject({
    events: z.int(),
    cells: z.int(),
    differing: z.int(),
    differences: z.array(z.strictObject({
      start: time,
      span: z.enum(["minute", "hour"]),
      event_type: eventType,
      stored: total.nullable(),
      counted: total.nullable(),
    })).describe("The first 100"),
    frozen_minutes: z.int().describe("Minutes left out because retention has purged events of them"),
  }),
  Alive: z.strictObject({ status: z.literal("ok") }),
  Ready: z.strictObject({ status: z.literal("ready"), checks }),
  NotReady: z.strictObject({ ...problem, checks }),
  Version: z.strictObject({ name: z.literal("eventhub"), version: z.string(), started_at: time }),
} as const;

/** The name of a schema. */
export type SchemaName = keyof typeof SCHEMAS;
