/** Events in: one, or a batch. */
import { type FieldError, HubError } from "../../errors.ts";
import { parseEvent } from "../../event.ts";
import type { FaultBudget } from "../../faults.ts";
import { BATCH_BODY_BYTES_MAX, BATCH_EVENTS_MAX, EVENT_BODY_BYTES_MAX } from "../../limits.ts";
import { refused } from "../../outcome.ts";
import { parseContext } from "../../parse_context.ts";
import { BATCH_TYPES, decodeBatch, settle } from "./batch.ts";
import { answerBatch } from "./batch_answer.ts";
import { parseJson } from "../body.ts";
import { fromBinary, fromStructured, isBinary } from "./cloud_event.ts";
import { type Exchange, JSON_TYPE, PROBLEM_TYPE } from "./exchange.ts";
import { mediaTypeOf } from "./media.ts";
import { readQuery } from "./query.ts";
import { type Operation, type RestContext, type Route, SENDER } from "./route.ts";

const CLOUD_EVENT_TYPE = "application/cloudevents+json";
const EVENT_TYPES = [JSON_TYPE, CLOUD_EVENT_TYPE] as const;
const KEY = "Idempotency-Key";

const PUBLISH: Operation = {
  id: "publishEvent",
  tag: "events",
  summary: "Store one event",
  description:
    "Success means that the event is on disk. Sending it again with the same id is safe: the same content is " +
    "a duplicate (success), other content a conflict. Also takes CloudEvents 1.0, structured and binary.",
  headers: {
    [KEY]: "The id of the event, when its body has none; must be the id when it has one",
    "Content-Encoding": "`gzip`, or nothing",
    "ce-specversion": "Makes it a CloudEvent in binary mode, with the other `ce-*` headers, percent-encoded",
  },
  body: { [JSON_TYPE]: "EventInput", [CLOUD_EVENT_TYPE]: "CloudEvent" },
  answers: { 200: { description: "The event is stored", content: { [JSON_TYPE]: "Published" } } },
  errors: [
    "malformed",
    "conflict",
    "timeout",
    "payload_too_large",
    "unsupported_media_type",
    "invalid_argument",
    "overloaded",
    "unavailable",
    "deadline_exceeded",
  ],
};

/** The routes that take events. */
export function ingestRoutes(context: RestContext): Route[] {
  const { batch } = context.parameters;
  return [
    {
      method: "POST",
      path: "/events",
      operation: PUBLISH,
      handle: (exchange) => publishOne(context, exchange),
    },
    {
      method: "POST",
      path: "/events/batch",
      operation: {
        id: "publishBatch",
        tag: "events",
        summary: "Store many events",
        description:
          `At most ${BATCH_EVENTS_MAX} events and ${BATCH_BODY_BYTES_MAX} bytes, also after inflation; more ` +
          "and nothing is stored. One bad event harms no other: each gets a result. Ids come from the events alone: " +
          `${KEY} has no meaning here.`,
        query: batch,
        headers: { "Content-Encoding": "`gzip`, or nothing" },
        body: {
          [JSON_TYPE]: "BatchInput",
          "application/x-ndjson": "EventInput",
          "application/cloudevents-batch+json": "CloudEventBatch",
        },
        answers: {
          200: { description: "Every event is stored, or was before", content: { [JSON_TYPE]: "BatchResults" } },
          207: { description: "Some events were taken, some not", content: { [JSON_TYPE]: "BatchResults" } },
          422: {
            description: "None was taken, and none can be with another attempt; or the body is no batch",
            content: { [PROBLEM_TYPE]: ["BatchProblem", "Problem"] },
          },
          503: {
            description: "None is known to be stored, and some can be with another attempt",
            content: { [PROBLEM_TYPE]: ["BatchProblem", "Problem"] },
          },
        },
        errors: ["malformed", "timeout", "payload_too_large", "unsupported_media_type"],
      },
      handle: (exchange) => publishBatch(context, exchange),
    },
  ];
}

async function publishOne(context: RestContext, exchange: Exchange): Promise<Response> {
  const { hub, bodies, parameters } = context;
  const { request } = exchange;
  const { headers } = request;
  if (exchange.query !== "") readQuery(exchange.query, parameters.none);
  const type = mediaTypeOf(headers, EVENT_TYPES);
  const value = parseJson(await bodies.read(request, EVENT_BODY_BYTES_MAX));
  const key = headers.get(KEY);
  const { id, duplicate } = key === null && type === JSON_TYPE && !isBinary(headers)
    ? await hub.publish(value, SENDER)
    : await publishMapped(context, withKey(mapEvent(headers, { type, value }), key));
  return exchange.answer(`{"status":"success","id":"${id}","duplicate":${duplicate}}`);
}

async function publishBatch(context: RestContext, exchange: Exchange): Promise<Response> {
  const { hub, bodies, parameters } = context;
  const { request } = exchange;
  const { verbose = true } = readQuery(exchange.query, parameters.batch);
  const type = mediaTypeOf(request.headers, BATCH_TYPES);
  const bytes = await bodies.read(request, BATCH_BODY_BYTES_MAX);
  const batch = decodeBatch(bytes, { type, findFaults: (input, budget) => faultsOf(input, context, budget) });
  if (batch.inputs.length > 0) settle(batch, await hub.publishBatch(batch.inputs, SENDER));
  return answerBatch(exchange, batch, { verbose });
}

/** An event on its way to the hub: its faults so far, and how those the hub finds are named. */
interface Candidate {
  readonly input: unknown;
  readonly errors: readonly FieldError[];
  readonly locate: (error: FieldError) => FieldError;
}

function mapEvent(headers: Headers, body: { type: (typeof EVENT_TYPES)[number]; value: unknown }): Candidate {
  if (body.type === CLOUD_EVENT_TYPE) return fromStructured(body.value);
  if (isBinary(headers)) return fromBinary(headers, body.value);
  return { input: body.value, errors: [], locate: (error) => error };
}

/** The key is the event's id; surrounding quotes are not part of it (it is a structured string in newer clients). */
function withKey(candidate: Candidate, header: string | null): Candidate {
  const { input, errors, locate } = candidate;
  if (header === null || typeof input !== "object" || input === null || Array.isArray(input)) return candidate;
  const key = header.trim().replace(/^"(.*)"$/, "$1");
  const id: unknown = "id" in input ? input.id : undefined;
  if (id === key) return candidate;
  if (id !== undefined && id !== null) {
    const detail = "must be the id of the event, or one of the two be left out";
    return { input, errors: [...errors, { parameter: KEY, code: "mismatch", detail }], locate };
  }
  return {
    input: { ...input, id: key },
    errors,
    locate: (error) => error.pointer === "/id" ? { ...error, pointer: undefined, parameter: KEY } : locate(error),
  };
}

async function publishMapped(context: RestContext, { input, errors, locate }: Candidate) {
  if (errors.length > 0) {
    throw refused(input === null ? errors : [...errors, ...faultsOf(input, context).map(locate)]);
  }
  try {
    return await context.hub.publish(input, SENDER);
  } catch (error) {
    if (!(error instanceof HubError) || error.errors.length === 0) throw error;
    throw refused(error.errors.map(locate), error.code);
  }
}

/** What is wrong with an event that will not be stored anyway, so that its sender learns everything at once. */
function faultsOf(input: unknown, { config }: RestContext, faultBudget?: FaultBudget): readonly FieldError[] {
  const parsed = parseEvent(input, { ...parseContext(SENDER, { ...config, now: Date.now }), faultBudget });
  return parsed.ok ? [] : parsed.errors;
}
