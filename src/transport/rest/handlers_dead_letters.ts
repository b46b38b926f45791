/** Inbound messages that could not be taken: listed, taken after all, deleted. */
import { HubError, namingCursor } from "../../errors.ts";
import { EVENT_BODY_BYTES_MAX, PAGE_EVENTS_DEFAULT } from "../../limits.ts";
import { parseJson } from "../body.ts";
import { Deadlines } from "../deadlines.ts";
import { deadLetterJson } from "./convert.ts";
import { type Exchange, JSON_TYPE } from "./exchange.ts";
import { mediaTypeOf, negotiate } from "./media.ts";
import { idInPath, nextPageLink } from "./path.ts";
import { readQuery } from "./query.ts";
import { type Operation, type RestContext, type Route, TENANT } from "./route.ts";

const ID = { id: "The id of the dead letter, percent-encoded" };

const LIST: Omit<Operation, "query"> = {
  id: "listDeadLetters",
  tag: "dead letters",
  summary: "List dead letters, newest first",
  description:
    "Inbound messages that could not be taken, each with the reason and, as `payload`, the event (or the text of a " +
    "message that is none). A page may be shorter than `limit`; only `next_cursor: null` is the end. On the embedded " +
    "store nothing comes in by a stream, so the list is empty.",
  answers: {
    200: {
      description: "A page of dead letters",
      content: { [JSON_TYPE]: "DeadLetterPage" },
      headers: { Link: 'The next page: `rel="next"`; missing at the end' },
    },
  },
  errors: ["invalid_cursor", "not_acceptable", "invalid_argument", "overloaded", "unavailable"],
};

const GET: Operation = {
  id: "getDeadLetter",
  tag: "dead letters",
  summary: "Read one dead letter",
  path: ID,
  answers: { 200: { description: "The dead letter", content: { [JSON_TYPE]: "DeadLetter" } } },
  errors: ["malformed", "not_found", "not_acceptable", "invalid_argument", "overloaded", "unavailable"],
};

const REDRIVE: Operation = {
  id: "redriveDeadLetter",
  tag: "dead letters",
  summary: "Take the event of a dead letter after all",
  description:
    "Without a body the event is tried as it was kept, with one the corrected event is taken instead. It keeps its id, " +
    "which the corrected event may leave out: an event that had none has the id of the dead letter; one whose id could " +
    "be none may get another. When the event is stored, or was before, the dead letter is deleted; with any error it " +
    "stays. So repeating is harmless: what was taken is not found any more.",
  path: ID,
  headers: { "Content-Encoding": "`gzip`, or nothing" },
  body: { [JSON_TYPE]: "EventInput" },
  bodyOptional: true,
  answers: { 200: { description: "The event is stored", content: { [JSON_TYPE]: "Published" } } },
  errors: [
    "malformed",
    "not_found",
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

const DELETE: Operation = {
  id: "deleteDeadLetter",
  tag: "dead letters",
  summary: "Delete a dead letter",
  path: ID,
  answers: { 200: { description: "The dead letter is deleted", content: { [JSON_TYPE]: "Deleted" } } },
  errors: ["malformed", "not_found", "invalid_argument", "unavailable", "deadline_exceeded"],
};

/** The routes of dead letters. */
export function deadLetterRoutes(context: RestContext): Route[] {
  const deadlines = new Deadlines(context.config.requestTimeoutMs);
  const inTime = <T>(work: Promise<T>): Promise<T> =>
    deadlines.guard(work, () => {
      return new HubError("deadline_exceeded", "It took too long; the outcome is unknown: repeating is harmless");
    });
  return [
    {
      method: "GET",
      path: "/dead-letters",
      operation: { ...LIST, query: context.parameters.listDeadLetters },
      handle: (exchange) => list(context, exchange),
    },
    {
      method: "GET",
      path: "/dead-letters/{id}",
      operation: GET,
      handle: async (exchange) => {
        negotiate(exchange.request.headers, [JSON_TYPE]);
        return exchange.answer(JSON.stringify(deadLetterJson(await context.deadLetters.get(...named(exchange)))));
      },
    },
    {
      method: "POST",
      path: "/dead-letters/{id}/redrive",
      operation: REDRIVE,
      handle: async (exchange) => {
        const [tenant, letterId] = named(exchange);
        const corrected = await readCorrection(context, exchange);
        const { id, duplicate } = await inTime(context.deadLetters.redrive(tenant, letterId, corrected));
        return exchange.answer(JSON.stringify({ status: "success", id, duplicate }));
      },
    },
    {
      method: "DELETE",
      path: "/dead-letters/{id}",
      operation: DELETE,
      handle: async (exchange) => {
        const [tenant, id] = named(exchange);
        await inTime(context.deadLetters.delete(tenant, id));
        return exchange.answer(JSON.stringify({ status: "success", id }));
      },
    },
  ];

  function named(exchange: Exchange): [tenant: string, id: string] {
    readQuery(exchange.query, context.parameters.none);
    return [TENANT, idInPath(exchange)];
  }
}

async function list({ deadLetters, parameters }: RestContext, exchange: Exchange): Promise<Response> {
  negotiate(exchange.request.headers, [JSON_TYPE]);
  const { limit = PAGE_EVENTS_DEFAULT, cursor } = readQuery(exchange.query, parameters.listDeadLetters);
  const { letters, nextCursor } = await namingCursor("cursor", deadLetters.list(TENANT, { limit, cursor }));
  const page = { dead_letters: letters.map(deadLetterJson), next_cursor: nextCursor };
  return exchange.answer(JSON.stringify(page), { headers: nextPageLink(exchange, nextCursor) });
}

/** The corrected event; `undefined` when the request has no body. */
async function readCorrection({ bodies }: RestContext, { request }: Exchange): Promise<unknown> {
  const { headers } = request;
  if (headers.has("content-type")) mediaTypeOf(headers, [JSON_TYPE]);
  const bytes = await bodies.read(request, EVENT_BODY_BYTES_MAX);
  if (bytes.length === 0) return undefined;
  mediaTypeOf(headers, [JSON_TYPE]);
  return parseJson(bytes);
}
