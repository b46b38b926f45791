/** Queries: what is stored, in every shape the schema gives it. */
import { assert, assertEquals } from "@std/assert";
import { START } from "../../harness.ts";
import { eventOf, graphqlTest, open } from "./harness.ts";

const SENDER = { tenant: "default", source: "rest" } as const;
const MINUTE_MS = 60_000;

graphqlTest("the prototype's queries are answered as it answered them", async () => {
  await using hub = await open();
  const first = eventOf("a", { user_id: "u1", amount: 99.99, timestamp: "2025-07-15T12:34:55.123456" });
  await hub.hub.publish(first, SENDER);
  await hub.hub.publish(eventOf("b", { user_id: "u2", event_type: "refund", amount: 0.1 }), SENDER);
  const { status, data, errors } = await hub.ask(`
    query { lastEvents(limit: 10) { id userId eventType amount timestamp }
            aggregatedMetrics(minutes: 60) { totalAmount eventCount timeWindow } }`);
  assertEquals([status, errors], [200, []]);
  assertEquals(data.lastEvents, [
    { id: "b", userId: "u2", eventType: "refund", amount: 0.1, timestamp: "2025-07-15T12:34:56.789Z" },
    { id: "a", userId: "u1", eventType: "purchase", amount: 99.99, timestamp: "2025-07-15T12:34:55.123Z" },
  ]);
  assertEquals(data.aggregatedMetrics, { totalAmount: 100.09, eventCount: 2, timeWindow: "last_60_minutes" });
});

graphqlTest("the prototype's fields have its defaults: five events, one minute", async () => {
  await using hub = await open();
  for (let i = 0; i < 7; i++) {
    const timestamp = new Date(START - i * 30_000).toISOString();
    await hub.hub.publish(eventOf(`e${i}`, { timestamp }), SENDER);
  }
  const { data } = await hub.ask("{ lastEvents { id } aggregatedMetrics { eventCount timeWindow } }");
  assertEquals(data.lastEvents.map((event: { id: string }) => event.id), ["e0", "e1", "e2", "e3", "e4"]);
  // Both ends of the minute belong to it.
  assertEquals(data.aggregatedMetrics, { eventCount: 3, timeWindow: "last_1_minutes" });
});

graphqlTest("an event has all its fields, with amounts exact and properties as an object", async () => {
  await using hub = await open();
  const properties = { shop: "Köln", lines: [{ sku: "x", n: 2 }], gift: null };
  await hub.hub.publish(eventOf("a", { amount: "1000000.0001", properties }), SENDER);
  hub.clock.advance(1);
  await hub.hub.publish(eventOf("b"), SENDER);
  const fields = "amount amountExact timestamp receivedAt source properties cursor";
  const { data } = await hub.ask(
    `{ a: event(id: "a") { ${fields} } b: event(id: "b") { properties } c: event(id: "c") { id } }`,
  );
  assertEquals(data, {
    a: {
      amount: 1000000.0001,
      amountExact: "1000000.0001",
      timestamp: "2025-07-15T12:34:56.789Z",
      receivedAt: "2025-07-15T12:34:56.789Z",
      source: "rest",
      properties,
      cursor: null,
    },
    b: { properties: {} },
    c: null,
  });
});

const PAGE = `query ($first: Int, $after: String, $filter: EventFilter) {
  events(first: $first, after: $after, filter: $filter) {
    edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`;

graphqlTest("pages cover the list once, and every edge's cursor goes on behind its event", async () => {
  await using hub = await open();
  const ids = Array.from({ length: 25 }, (_, i) => `e${i}`);
  for (const [i, id] of ids.entries()) {
    const timestamp = new Date(START - (i >> 1) * 1000).toISOString();
    await hub.hub.publish(eventOf(id, { timestamp }), SENDER);
  }
  const whole = (await hub.ask(PAGE)).data.events;
  const order = whole.edges.map((edge: { node: { id: string } }) => edge.node.id);
  assertEquals([...order].sort(), [...ids].sort());
  assertEquals(whole.pageInfo.hasNextPage, false);
  assertEquals(whole.pageInfo.endCursor, whole.edges.at(-1).cursor);

  const seen: string[] = [];
  let after: string | null = null;
  do {
    const { data, errors } = await hub.ask(PAGE, { variables: { first: 4, after } });
    assertEquals(errors, []);
    const { edges, pageInfo } = data.events;
    assertEquals(pageInfo.hasPreviousPage, after !== null);
    assertEquals(pageInfo.startCursor, edges[0].cursor);
    seen.push(...edges.map((edge: { node: { id: string } }) => edge.node.id));
    after = pageInfo.hasNextPage ? pageInfo.endCursor : null;
  } while (after !== null);
  assertEquals(seen, order);

  for (const [i, { cursor }] of whole.edges.entries()) {
    const { data } = await hub.ask(PAGE, { variables: { first: 1, after: cursor } });
    assertEquals(data.events.edges[0]?.node.id, order[i + 1]);
  }
});

graphqlTest("a filter restricts by user, types and a half-open range of time", async () => {
  await using hub = await open();
  const at = (seconds: number): string => new Date(START - seconds * 1000).toISOString();
  await hub.hub.publish(eventOf("a", { timestamp: at(3) }), SENDER);
  await hub.hub.publish(eventOf("b", { timestamp: at(2), user_id: "bob" }), SENDER);
  await hub.hub.publish(eventOf("c", { timestamp: at(1), event_type: "refund" }), SENDER);
  const ids = async (filter: Record<string, unknown>): Promise<string> => {
    const { data, errors } = await hub.ask(PAGE, { variables: { filter } });
    assertEquals(errors, []);
    return data.events.edges.map((edge: { node: { id: string } }) => edge.node.id).join("");
  };
  assertEquals(await ids({}), "cba");
  assertEquals(await ids({ userId: "ann" }), "ca");
  assertEquals(await ids({ eventTypes: ["refund", "exchange"] }), "c");
  assertEquals(await ids({ eventTypes: [] }), "cba");
  assertEquals(await ids({ from: at(2), to: at(1) }), "b");
  assertEquals(await ids({ from: at(2).replace("Z", "") }), "cb");
});

graphqlTest("aggregates are rows of windows with exact text", async () => {
  await using hub = await open();
  const events = [["purchase", "10.10"], ["purchase", "0.0001"], ["refund", "2"]] as const;
  for (const [i, [event_type, amount]] of events.entries()) {
    await hub.hub.publish(eventOf(`e${i}`, { event_type, amount }), SENDER);
  }
  const fields = "start end eventType count total net min max avg p50 p95 p99 revision closed";
  const { data, errors } = await hub.ask(`{
    all: aggregates { ${fields} }
    byType: aggregates(window: HOUR, groupBy: [EVENT_TYPE], percentiles: true) { ${fields} }
    refunds: aggregates(window: FIVE_MINUTES, eventType: ["refund"]) { start end total } }`);
  const ranges = await hub.ask(`{
    zeros: aggregates(from: "2025-07-15T12:30:00Z", to: "2025-07-15T12:34:00Z", fill: ZERO) { start count total min }
    day: aggregates(window: DAY, tz: "Europe/Berlin", from: "2025-07-15T12:00:00Z") { start end count } }`);
  assertEquals([errors, ranges.errors], [[], []]);
  assertEquals(data.all, [{
    start: "2025-07-15T12:34:00.000Z",
    end: "2025-07-15T12:35:00.000Z",
    eventType: null,
    count: 3,
    total: "12.1001",
    net: "8.1001",
    min: "0.0001",
    max: "10.1",
    avg: "4.0334",
    p50: null,
    p95: null,
    p99: null,
    revision: 3,
    closed: false,
  }]);
  assertEquals(
    data.byType.map((row: { eventType: string; total: string; p50: string }) => [row.eventType, row.total]),
    [
      ["purchase", "10.1001"],
      ["refund", "2"],
    ],
  );
  assertEquals(data.byType[1].p99, "2");
  assertEquals(data.refunds, [{ start: "2025-07-15T12:30:00.000Z", end: "2025-07-15T12:35:00.000Z", total: "2" }]);
  assertEquals(ranges.data.zeros.length, 4);
  assertEquals(ranges.data.zeros[0], { start: "2025-07-15T12:30:00.000Z", count: 0, total: "0", min: null });
  assertEquals(ranges.data.day, [{ start: "2025-07-14T22:00:00.000Z", end: "2025-07-15T22:00:00.000Z", count: 3 }]);
});

graphqlTest("a sum beyond what a double holds exactly is exact as text and nearest as Float", async () => {
  await using hub = await open();
  const inputs = Array.from({ length: 1_001 }, (_, i) => eventOf(`e${i}`, { amount: "999999999.9999" }));
  await hub.hub.publishBatch(inputs, SENDER);
  const { data } = await hub.ask("{ aggregates { total } aggregatedMetrics { totalAmount } }");
  assertEquals(data.aggregates, [{ total: "1000999999999.8999" }]);
  assertEquals(data.aggregatedMetrics.totalAmount, 1000999999999.8999);
});

graphqlTest("numbers are taken up to their bounds and refused beyond, with the argument's name", async () => {
  await using hub = await open();
  for (
    const good of [
      "lastEvents(limit: 0) { id }",
      "lastEvents(limit: 1000) { id }",
      "aggregatedMetrics(minutes: 1440) { eventCount }",
    ]
  ) {
    assertEquals((await hub.ask(`{ ${good} }`)).errors, [], good);
  }
  assertEquals((await hub.ask(PAGE, { variables: { first: 1000 } })).errors, []);
  assertEquals((await hub.ask("{ lastEvents(limit: 0) { id } }")).data, { lastEvents: [] });
  const bad = [
    ["lastEvents(limit: -1) { id }", "limit"],
    ["lastEvents(limit: 1001) { id }", "limit"],
    ["events(first: 0) { edges { cursor } }", "first"],
    ["events(first: 1001) { edges { cursor } }", "first"],
    ["aggregatedMetrics(minutes: 0) { eventCount }", "minutes"],
    ["aggregatedMetrics(minutes: 1441) { eventCount }", "minutes"],
  ] as const;
  for (const [field, parameter] of bad) {
    const { data, errors } = await hub.ask(`{ ${field} }`);
    assertEquals(data, null, field);
    assertEquals(errors[0]?.extensions.code, "BAD_USER_INPUT", field);
    assertEquals(errors[0]?.extensions.errors?.[0]?.parameter, parameter);
    assertEquals(errors[0]?.extensions.errors?.[0]?.code, "out_of_range");
  }
});

graphqlTest("faulty arguments are refused by name", async () => {
  await using hub = await open();
  const far = `from: "2000-01-01T00:00:00Z", to: "2025-01-01T00:00:00Z"`;
  const bad = [
    [`events(after: "nonsense") { edges { cursor } }`, "after"],
    [`events(filter: { from: "yesterday" }) { edges { cursor } }`, "filter.from"],
    [`events(filter: { from: 5 }) { edges { cursor } }`, "filter.from"],
    [
      `events(filter: { from: "2025-01-02T00:00:00Z", to: "2025-01-01T00:00:00Z" }) { edges { cursor } }`,
      "filter.from",
    ],
    [`events(filter: { userId: "${"x".repeat(600)}" }) { edges { cursor } }`, "filter.userId"],
    [`events(filter: { eventTypes: ["no type"] }) { edges { cursor } }`, "filter.eventTypes"],
    [`aggregates(tz: "Mars/Olympus") { count }`, "tz"],
    [`aggregates(to: "2025-13-01T00:00:00Z") { count }`, "to"],
    [`aggregates(eventType: [""]) { count }`, "eventType"],
    [`aggregates(${far}) { count }`, "from"],
  ] as const;
  for (const [field, parameter] of bad) {
    const { errors } = await hub.ask(`{ ${field} }`);
    assertEquals(errors.length, 1, field);
    assertEquals(errors[0]?.extensions.code, "BAD_USER_INPUT", field);
    assertEquals(errors[0]?.extensions.errors?.[0]?.parameter, parameter, field);
  }
});

graphqlTest("a live cursor is not a page cursor, and the stream's head is a live one", async () => {
  await using hub = await open();
  const { data } = await hub.ask("{ streamHead }");
  assert(typeof data.streamHead === "string" && data.streamHead.length > 0);
  const { errors } = await hub.ask(PAGE, { variables: { after: data.streamHead } });
  assertEquals(errors[0]?.extensions.code, "BAD_USER_INPUT");
});

graphqlTest("metrics follow the hub's clock", async () => {
  await using hub = await open();
  await hub.publish("a");
  const count = async (): Promise<number> =>
    (await hub.ask("{ aggregatedMetrics(minutes: 2) { eventCount } }")).data.aggregatedMetrics.eventCount;
  hub.clock.advance(2 * MINUTE_MS);
  assertEquals(await count(), 1);
  hub.clock.advance(1);
  assertEquals(await count(), 0);
});

graphqlTest("lastEvents is refused where the newest events are larger than an answer may be", async () => {
  await using hub = await open();
  const properties = { text: "x".repeat(15_000) };
  const inputs = Array.from({ length: 300 }, (_, index) => eventOf(`e${index}`, { properties }));
  await hub.hub.publishBatch(inputs, { tenant: "default", source: "rest" });
  const few = await hub.ask("{ lastEvents(limit: 200) { id } }");
  assertEquals(few.data.lastEvents.length, 200);
  const { errors } = await hub.ask("{ lastEvents(limit: 300) { id } }");
  assertEquals(errors[0]?.extensions.code, "BAD_USER_INPUT");
  assertEquals(errors[0]?.extensions.errors?.map(({ parameter, code }) => [parameter, code]), [[
    "limit",
    "out_of_range",
  ]]);
});
