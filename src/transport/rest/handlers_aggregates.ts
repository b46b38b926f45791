/** Metrics out: windows of the past, windows as they change, and recounts of both. */
import { Faults, pointerToken } from "../../faults.ts";
import { AGGREGATE_ROWS_MAX, EVENT_BODY_BYTES_MAX } from "../../limits.ts";
import { refused } from "../../outcome.ts";
import type { EventRange, RecountReport } from "../../storage.ts";
import { TIMESTAMP_MAX } from "../../timestamp.ts";
import { parseJson } from "../body.ts";
import { aggregatesJson, recountJson } from "./convert.ts";
import { aggregatesCsv, CSV_CONTENT_TYPE } from "./csv.ts";
import { CSV_TYPE, type Exchange, JSON_TYPE, SSE_TYPE } from "./exchange.ts";
import { mediaTypeOf, negotiate } from "./media.ts";
import { checkRange, readTime } from "./parameters.ts";
import { readQuery } from "./query.ts";
import { type Operation, type RestContext, type Route, TENANT } from "./route.ts";
import { STREAM_HEADERS, streamRows } from "./sse.ts";

/** The routes that give and check metrics. */
export function aggregateRoutes(context: RestContext): Route[] {
  const { aggregates, followAggregates } = context.parameters;
  return [
    {
      method: "GET",
      path: "/aggregates",
      operation: {
        id: "listAggregates",
        tag: "aggregates",
        summary: "Metrics by windows of event time",
        description:
          `Exact counts and sums. At most ${AGGREGATE_ROWS_MAX} rows. A window is closed 5 s after its end; a ` +
          "late event still changes it, and `revision` grows with every change. `net` is purchases minus returns minus " +
          "refunds, with signs as they were sent.",
        query: aggregates,
        answers: { 200: { description: "The windows", content: { [JSON_TYPE]: "Aggregates", [CSV_TYPE]: null } } },
        errors: ["not_acceptable", "invalid_argument", "range_too_large", "unavailable"],
      },
      handle: (exchange) => listAggregates(context, exchange),
    },
    {
      method: "GET",
      path: "/aggregates/stream",
      operation: {
        id: "streamAggregates",
        tag: "aggregates",
        summary: "Follow metrics live (server-sent events)",
        description: "`event: aggregate` with a row as `data:`: first the rows of the last two windows, then a row " +
          "whenever its window changes (at most once a second) or closes. `event: end` (`{reason}`) is the last one " +
          "when the hub ends the stream.",
        query: followAggregates,
        answers: { 200: { description: "The stream", content: { [SSE_TYPE]: null } } },
        errors: ["not_acceptable", "invalid_argument", "overloaded", "unavailable"],
      },
      handle: (exchange) => streamAggregates(context, exchange),
    },
    recountRoute(context, "verify", "Recount a range of events and compare the metrics with it"),
    recountRoute(context, "rebuild", "Recount a range of events and replace the metrics that differ"),
  ];
}

function recountRoute(context: RestContext, name: "verify" | "rebuild", summary: string): Route {
  const operation: Operation = {
    id: `${name}Rollups`,
    tag: "administration",
    summary,
    description: "The range is widened to whole hours; `{}` is everything. The answer tells what differed.",
    body: { [JSON_TYPE]: "RecountRange" },
    answers: { 200: { description: "What was found", content: { [JSON_TYPE]: "RecountReport" } } },
    errors: ["malformed", "timeout", "payload_too_large", "unsupported_media_type", "invalid_argument", "unavailable"],
  };
  const recount = (range: EventRange): Promise<RecountReport> => context.hub[name](range);
  return {
    method: "POST",
    path: `/admin/rollups/${name}`,
    operation,
    handle: async (exchange) => {
      readQuery(exchange.query, context.parameters.none);
      // A page of another site can send a form, but not JSON: so the body must say that it is JSON.
      mediaTypeOf(exchange.request.headers, [JSON_TYPE]);
      const body = parseJson(await context.bodies.read(exchange.request, EVENT_BODY_BYTES_MAX));
      return exchange.answer(JSON.stringify(recountJson(await recount(readRange(body, context.config.naiveZone)))));
    },
  };
}

async function listAggregates({ hub, parameters }: RestContext, exchange: Exchange): Promise<Response> {
  const type = negotiate(exchange.request.headers, [JSON_TYPE, CSV_TYPE]);
  const values = readQuery(exchange.query, parameters.aggregates, checkRange);
  const { from, to, window = "1m", group_by: groupByType = false, percentiles = false } = values;
  const aggregates = await hub.aggregates({
    tenant: TENANT,
    from,
    to,
    window,
    groupByType,
    eventTypes: values.event_type ?? null,
    fill: values.fill === "zero",
    zone: values.tz ?? "UTC",
    percentiles,
  });
  const body = aggregatesJson(aggregates, { window, percentiles });
  const headers = { vary: "Accept" };
  return type === CSV_TYPE
    ? exchange.answer(aggregatesCsv(body.rows, { groupByType, percentiles }), { type: CSV_CONTENT_TYPE, headers })
    : exchange.answer(JSON.stringify(body), { headers });
}

async function streamAggregates({ hub, parameters }: RestContext, exchange: Exchange): Promise<Response> {
  const { headers, method } = exchange.request;
  negotiate(headers, [SSE_TYPE]);
  const values = readQuery(exchange.query, parameters.followAggregates);
  const options = { type: SSE_TYPE, headers: STREAM_HEADERS };
  if (method === "HEAD") return exchange.answer(null, options);
  const subscription = await hub.subscribeAggregates({
    tenant: TENANT,
    window: values.window ?? "1m",
    groupByType: values.group_by ?? false,
    eventTypes: values.event_type ?? null,
  });
  return exchange.answer(streamRows(subscription), options);
}

function readRange(body: unknown, naiveZone: string): EventRange {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw refused([{ pointer: "", code: "invalid_type", detail: "A range must be a JSON object" }]);
  }
  const faults = new Faults();
  const range = { tenant: TENANT, from: 0, to: TIMESTAMP_MAX + 1 };
  for (const [name, value] of Object.entries(body)) {
    const pointer = "/" + pointerToken(name);
    if (name !== "from" && name !== "to") {
      faults.add(pointer, "unknown_field", "A range has the members from and to");
    } else if (typeof value === "string") {
      const reading = readTime(value, naiveZone);
      if (reading.ok) range[name] = reading.value;
      else faults.add(pointer, reading.code, reading.detail);
    } else if (value !== null) {
      faults.add(pointer, "invalid_type", `${name} must be a string, an RFC 3339 time`);
    }
  }
  if (faults.errors === null && range.from >= range.to) {
    faults.add("/from", "out_of_range", "must be earlier than `to`");
  }
  if (faults.errors === null) return range;
  throw refused(faults.errors);
}
