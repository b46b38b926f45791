/** GetEvent, ListEvents and QueryAggregates over real sockets. */
import "./environment.ts";
import { assert, assertEquals } from "@std/assert";
import { status as Status } from "@grpc/grpc-js";
import * as v1 from "../../../src/gen/eventhub/v1/eventhub.ts";
import type { Timestamp } from "../../../src/gen/google/protobuf/timestamp.ts";
import type { Sender } from "../../../src/hub.ts";
import { START } from "../../harness.ts";
import { hubMethods, openServer, socketTest } from "./client.ts";

const SENDER: Sender = { tenant: "default", source: "rest" };
const MINUTE_MS = 60_000;
const BASE = Math.floor(START / MINUTE_MS) * MINUTE_MS - 60 * MINUTE_MS;

function at(milliseconds: number): Timestamp {
  return { seconds: BigInt(Math.floor(milliseconds / 1000)), nanos: (milliseconds % 1000) * 1_000_000 };
}

function input(number: number, more: Record<string, unknown> = {}) {
  const timestamp = new Date(BASE + number * 1_000).toISOString();
  return { id: `e${number}`, user_id: `u${number % 2}`, event_type: "purchase", amount: number, timestamp, ...more };
}

const AGGREGATES: v1.QueryAggregatesRequest = {
  from: at(BASE),
  to: at(BASE + 3 * MINUTE_MS),
  window: v1.Window.WINDOW_MINUTE,
  groupBy: [],
  eventTypes: [],
  fill: v1.Fill.FILL_UNSPECIFIED,
  percentiles: false,
};

socketTest("GetEvent gives one event, NOT_FOUND, or says that the id is missing", async () => {
  await using server = await openServer();
  await server.hub.publish(input(1, { properties: { __proto__: 1, a: [null] } }), SENDER);
  const { event } = await server.client.unary(hubMethods.getEvent, { id: "e1" });
  assertEquals([event?.id, event?.amount, event?.source], ["e1", "1", "rest"]);
  const missing = await server.client.refused(hubMethods.getEvent, { id: "e2" });
  assertEquals([missing.code, missing.reason], [Status.NOT_FOUND, "not_found"]);
  const empty = await server.client.refused(hubMethods.getEvent, { id: "" });
  assertEquals([empty.code, empty.fields], [Status.INVALID_ARGUMENT, { id: "required" }]);
});

socketTest("ListEvents pages through everything once, both ways, with filters", async () => {
  await using server = await openServer();
  const { client, hub } = server;
  await hub.publishBatch(Array.from({ length: 25 }, (_, i) => input(i)), SENDER);
  const pages = async (request: v1.ListEventsRequest) => {
    const ids: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await client.unary(hubMethods.listEvents, { ...request, cursor });
      ids.push(...page.events.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    return ids;
  };
  const ascending = Array.from({ length: 25 }, (_, i) => `e${i}`);
  const { ORDER_ASCENDING, ORDER_UNSPECIFIED } = v1.Order;
  assertEquals(await pages({ limit: 7, order: ORDER_ASCENDING }), ascending);
  assertEquals(await pages({ order: ORDER_UNSPECIFIED }), ascending.toReversed());
  const filter = { userId: "u1", eventTypes: ["purchase"], from: at(BASE + 5_000), to: at(BASE + 10_000) };
  assertEquals(await pages({ filter, order: ORDER_ASCENDING }), ["e5", "e7", "e9"]);
});

socketTest("a list and a subscription after its stream_cursor leave no gap", async () => {
  await using server = await openServer();
  await server.hub.publish(input(1), SENDER);
  const { events, streamCursor } = await server.client.unary(hubMethods.listEvents, { order: 0 });
  assertEquals(events.map(({ id }) => id), ["e1"]);
  await server.hub.publish(input(2), SENDER);
  const call = server.client.serverStream(hubMethods.subscribe, { after: streamCursor });
  for await (const { message } of call as AsyncIterable<v1.SubscribeResponse>) {
    if (message?.$case !== "event") continue;
    assertEquals(message.event.event?.id, "e2");
    break;
  }
});

socketTest("ListEvents says what is wrong with its request", async () => {
  await using server = await openServer();
  const cases: [Partial<v1.ListEventsRequest>, string, string][] = [
    [{ limit: 0 }, "limit", "out_of_range"],
    [{ limit: 1_001 }, "limit", "out_of_range"],
    [{ order: 9 as v1.Order }, "order", "invalid_value"],
    [{ filter: { eventTypes: [], from: at(5), to: at(4) } }, "filter.from", "out_of_range"],
    [{ filter: { eventTypes: [], to: { seconds: 0n, nanos: -1 } } }, "filter.to", "invalid_timestamp"],
  ];
  for (const [request, field, reason] of cases) {
    const refusal = await server.client.refused(hubMethods.listEvents, { order: 0, ...request });
    assertEquals([refusal.code, refusal.fields], [Status.INVALID_ARGUMENT, { [field]: reason }]);
  }
  const head = await server.hub.streamHead("default");
  for (const cursor of ["", "x", head]) {
    const refusal = await server.client.refused(hubMethods.listEvents, { order: 0, cursor });
    assertEquals([refusal.code, refusal.reason], [Status.INVALID_ARGUMENT, "invalid_cursor"]);
    assertEquals(refusal.fields, { cursor: "invalid_value" });
  }
});

socketTest("a page of large events is shorter than asked for, so that clients accept it", async () => {
  await using server = await openServer();
  const properties = { list: Array.from({ length: 8_000 }, () => 0) };
  await server.hub.publishBatch(Array.from({ length: 60 }, (_, i) => input(i, { properties })), SENDER);
  const ids: string[] = [];
  let cursor: string | undefined;
  let pages = 0;
  do {
    const page = await server.client.unary(hubMethods.listEvents, { limit: 1_000, order: 0, cursor });
    ids.push(...page.events.map(({ id }) => id));
    cursor = page.nextCursor;
    pages += 1;
  } while (cursor !== undefined);
  assertEquals(ids, Array.from({ length: 60 }, (_, i) => `e${59 - i}`));
  assert(pages > 1);
});

socketTest("QueryAggregates gives exact rows", async () => {
  await using server = await openServer();
  await server.hub.publishBatch([
    input(0, { amount: "0.1" }),
    input(1, { amount: "0.2" }),
    input(2, { amount: "5", event_type: "refund" }),
    input(60, { amount: "7.5" }),
  ], SENDER);
  const { from, to, window, rows } = await server.client.unary(hubMethods.queryAggregates, AGGREGATES);
  assertEquals([from, to, window], [at(BASE), at(BASE + 3 * MINUTE_MS), v1.Window.WINDOW_MINUTE]);
  assertEquals(rows, [{
    start: at(BASE),
    end: at(BASE + MINUTE_MS),
    eventType: undefined,
    count: 3n,
    total: "5.3",
    net: "-4.7",
    min: "0.1",
    max: "5",
    avg: "1.7667",
    p50: undefined,
    p95: undefined,
    p99: undefined,
    revision: 3n,
    closed: true,
  }, {
    start: at(BASE + MINUTE_MS),
    end: at(BASE + 2 * MINUTE_MS),
    eventType: undefined,
    count: 1n,
    total: "7.5",
    net: "7.5",
    min: "7.5",
    max: "7.5",
    avg: "7.5000",
    p50: undefined,
    p95: undefined,
    p99: undefined,
    revision: 1n,
    closed: true,
  }]);
  const grouped = await server.client.unary(hubMethods.queryAggregates, {
    ...AGGREGATES,
    window: v1.Window.WINDOW_HOUR,
    groupBy: [v1.Dimension.DIMENSION_EVENT_TYPE],
    eventTypes: ["refund"],
    percentiles: true,
  });
  assertEquals(grouped.rows.map(({ eventType, count, p50 }) => [eventType, count, p50]), [["refund", 1n, "5"]]);
  const filled = await server.client.unary(hubMethods.queryAggregates, { ...AGGREGATES, fill: v1.Fill.FILL_ZERO });
  assertEquals(filled.rows.map(({ count, min, avg }) => [count, min, avg]), [
    [3n, "0.1", "1.7667"],
    [1n, "7.5", "7.5000"],
    [0n, undefined, undefined],
  ]);
});

socketTest("QueryAggregates says what is wrong with its request", async () => {
  await using server = await openServer();
  const cases: [Partial<v1.QueryAggregatesRequest>, string, string][] = [
    [{ window: 77 as v1.Window }, "window", "invalid_value"],
    [{ fill: 77 as v1.Fill }, "fill", "invalid_value"],
    [{ groupBy: [v1.Dimension.DIMENSION_UNSPECIFIED] }, "group_by[0]", "invalid_value"],
    [{ tz: "Mars/Olympus" }, "tz", "invalid_value"],
    [{ tz: "" }, "tz", "invalid_value"],
    [{ from: at(BASE + 10 * MINUTE_MS) }, "from", "out_of_range"],
    [{ from: { seconds: 1n, nanos: 2_000_000_000 } }, "from", "invalid_timestamp"],
  ];
  for (const [request, field, reason] of cases) {
    const refusal = await server.client.refused(hubMethods.queryAggregates, { ...AGGREGATES, ...request });
    assertEquals([refusal.code, refusal.fields], [Status.INVALID_ARGUMENT, { [field]: reason }]);
  }
  const range = { ...AGGREGATES, from: at(0) };
  const { code, reason } = await server.client.refused(hubMethods.queryAggregates, range);
  assertEquals([code, reason], [Status.INVALID_ARGUMENT, "range_too_large"]);
});
