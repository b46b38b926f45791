/** Events out: a page, one, or all as they come. */
import { namingCursor } from "../../errors.ts";
import { PAGE_EVENTS_DEFAULT } from "../../limits.ts";
import type { Start } from "../../stream.ts";
import { eventJson, eventsJson } from "./convert.ts";
import { CSV_CONTENT_TYPE, eventsCsv } from "./csv.ts";
import { CSV_TYPE, type Exchange, JSON_TYPE, SSE_TYPE } from "./exchange.ts";
import { negotiate } from "./media.ts";
import { checkRange } from "./parameters.ts";
import { idInPath, nextPageLink } from "./path.ts";
import { readQuery } from "./query.ts";
import { type RestContext, type Route, TENANT } from "./route.ts";
import { STREAM_HEADERS, streamEvents } from "./sse.ts";

/** The routes that give events. */
export function eventRoutes(context: RestContext): Route[] {
  const { list, follow } = context.parameters;
  return [
    {
      method: "GET",
      path: "/events",
      operation: {
        id: "listEvents",
        tag: "events",
        summary: "List events by timestamp",
        description:
          "A page may be shorter than `limit`; only `next_cursor: null` is the end. To list first and follow " +
          "then without a gap, hand `X-Stream-Cursor` to `/events/stream?after=`. In CSV a text that a spreadsheet " +
          "would take for a formula has an apostrophe in front.",
        query: list,
        answers: {
          200: {
            description: "A page of events",
            content: { [JSON_TYPE]: "EventPage", [CSV_TYPE]: null },
            headers: {
              Link: 'The next page: `rel="next"`; missing at the end',
              "X-Stream-Cursor": "The live position, taken before the page was read",
            },
          },
        },
        errors: ["invalid_cursor", "not_acceptable", "invalid_argument", "unavailable"],
      },
      handle: (exchange) => listEvents(context, exchange),
    },
    {
      method: "GET",
      path: "/events/stream",
      operation: {
        id: "streamEvents",
        tag: "events",
        summary: "Follow events live (server-sent events)",
        description: "`event: event` with the event as `data:` and a cursor as `id:`. The first block, and one every " +
          "15 s of silence, is an `id:` alone. `event: reset` (`{reason, mode, cursor}`) says that continuity is lost; " +
          "the stream goes on. `event: end` (`{reason, cursor}`) is the last one when the hub ends the stream.",
        query: follow,
        headers: { "Last-Event-ID": "The cursor to go on behind; beats `after`" },
        answers: { 200: { description: "The stream", content: { [SSE_TYPE]: null } } },
        errors: ["invalid_cursor", "not_acceptable", "invalid_argument", "overloaded", "unavailable"],
      },
      handle: (exchange) => followEvents(context, exchange),
    },
    {
      method: "GET",
      path: "/events/{id}",
      operation: {
        id: "getEvent",
        tag: "events",
        summary: "Read one event",
        path: { id: "The id of the event, percent-encoded (a `/` in it is `%2F`)" },
        answers: { 200: { description: "The event", content: { [JSON_TYPE]: "Event" } } },
        errors: ["malformed", "not_found", "not_acceptable", "invalid_argument", "unavailable"],
      },
      handle: (exchange) => getEvent(context, exchange),
    },
  ];
}

async function listEvents({ hub, parameters }: RestContext, exchange: Exchange): Promise<Response> {
  const type = negotiate(exchange.request.headers, [JSON_TYPE, CSV_TYPE]);
  const values = readQuery(exchange.query, parameters.list, checkRange);
  const { user_id: userId, event_type: eventTypes, from, to } = values;
  const { limit = PAGE_EVENTS_DEFAULT, order = "desc", cursor } = values;
  const live = await hub.streamHead(TENANT);
  const filter = { tenant: TENANT, userId, eventTypes, from, to };
  const { events, nextCursor } = await namingCursor("cursor", hub.list(filter, { limit, order, cursor }));
  const headers = { "x-stream-cursor": live, vary: "Accept", ...nextPageLink(exchange, nextCursor) };
  return type === CSV_TYPE
    ? exchange.answer(eventsCsv(events), { type: CSV_CONTENT_TYPE, headers })
    : exchange.answer(eventsJson(events, nextCursor), { headers });
}

async function getEvent({ hub, parameters }: RestContext, exchange: Exchange): Promise<Response> {
  negotiate(exchange.request.headers, [JSON_TYPE]);
  readQuery(exchange.query, parameters.none);
  return exchange.answer(eventJson(await hub.get(TENANT, idInPath(exchange))));
}

async function followEvents({ hub, parameters }: RestContext, exchange: Exchange): Promise<Response> {
  const { headers, method } = exchange.request;
  negotiate(headers, [SSE_TYPE]);
  const lastEventId = headers.get("last-event-id") ?? "";
  const values = readQuery(exchange.query, parameters.follow);
  const { after = { at: "latest" } as const, user_id: userId, event_type: eventTypes } = values;
  const options = { type: SSE_TYPE, headers: STREAM_HEADERS };
  if (method === "HEAD") return exchange.answer(null, options);
  const start: Start = lastEventId === "" ? after : { cursor: lastEventId };
  const opening = hub.subscribe({ tenant: TENANT, start, filter: { userId, eventTypes } });
  const subscription = await namingCursor(lastEventId === "" ? "after" : "Last-Event-ID", opening);
  return exchange.answer(streamEvents(subscription), options);
}
