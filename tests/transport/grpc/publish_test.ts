/** Publish and PublishBatch over real sockets. */
import "./environment.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { status as Status } from "@grpc/grpc-js";
import { HubError } from "../../../src/errors.ts";
import * as v1 from "../../../src/gen/eventhub/v1/eventhub.ts";
import type { AppendStatus } from "../../../src/storage.ts";
import { START, testConfig } from "../../harness.ts";
import { hubMethods, openServer, replaced, socketTest } from "./client.ts";

const EVENT: v1.EventInput = { id: "order-1", userId: "u1", eventType: "purchase", amount: "12.50" };
const { EVENT_STATUS_STORED, EVENT_STATUS_DUPLICATE, EVENT_STATUS_CONFLICT, EVENT_STATUS_INVALID } = v1.EventStatus;

socketTest("Publish stores an event, once, and answers with its id", async () => {
  await using server = await openServer();
  const { client } = server;
  assertEquals(await client.unary(hubMethods.publish, { event: EVENT }), { id: "order-1", duplicate: false });
  assertEquals(await client.unary(hubMethods.publish, { event: EVENT }), { id: "order-1", duplicate: true });
  const { event } = await client.unary(hubMethods.getEvent, { id: "order-1" });
  assertEquals(event, {
    id: "order-1",
    userId: "u1",
    eventType: "purchase",
    amount: "12.5",
    timestamp: { seconds: BigInt(Math.floor(START / 1000)), nanos: 789_000_000 },
    properties: {},
    receivedAt: { seconds: BigInt(Math.floor(START / 1000)), nanos: 789_000_000 },
    source: "grpc",
  });
  const given = await client.unary(hubMethods.publish, { event: { ...EVENT, id: undefined } });
  assertMatch(given.id, /^[0-9a-f-]{36}$/);
});

socketTest("Publish keeps timestamp and properties of every kind", async () => {
  await using server = await openServer();
  const { client } = server;
  const properties = {
    text: "é漢😀",
    number: -0.5,
    yes: true,
    no: false,
    nothing: null,
    list: [1, [], {}],
    deep: { a: {} },
  };
  const timestamp = { seconds: 1_700_000_000n, nanos: 123_999_999 };
  await client.unary(hubMethods.publish, { event: { ...EVENT, timestamp, properties } });
  const { event } = await client.unary(hubMethods.getEvent, { id: EVENT.id! });
  assertEquals(event?.timestamp, { seconds: 1_700_000_000n, nanos: 123_000_000 });
  assertEquals(event?.properties, properties);
});

socketTest("Publish tells every faulty field in proto names, and tells missing from empty", async () => {
  await using server = await openServer();
  const refusal = await server.client.refused(hubMethods.publish, {
    event: {
      id: "",
      eventType: "1",
      amount: "1.23456",
      timestamp: { seconds: 1n, nanos: -1 },
      properties: { "a b": { x: NaN }, $set: 1, list: [0, Infinity] },
    },
  });
  assertEquals([refusal.code, refusal.reason], [Status.INVALID_ARGUMENT, "invalid_argument"]);
  assertEquals(refusal.fields, {
    "event.id": "too_short",
    "event.user_id": "required",
    "event.event_type": "invalid_format",
    "event.amount": "too_precise",
    "event.timestamp": "invalid_timestamp",
    'event.properties["a b"].x': "out_of_range",
    'event.properties["$set"]': "invalid_format",
    "event.properties.list[1]": "out_of_range",
  });
  assertMatch(refusal.details, /^id must have at least 1 character.* \(and 7 more\)$/);
  const empty = await server.client.refused(hubMethods.publish, { event: { ...EVENT, userId: "" } });
  assertEquals(empty.fields, { "event.user_id": "too_short" });
  const nothing = await server.client.refused(hubMethods.publish, { event: undefined });
  assertEquals(nothing.fields, { event: "required" });
});

socketTest("timestamps beyond what an event may have are invalid_timestamp, with the rule in proto terms", async () => {
  await using server = await openServer();
  const times = [
    { seconds: 0n, nanos: 1_000_000_000 },
    { seconds: -1n, nanos: 0 },
    { seconds: 253_402_300_800n, nanos: 0 },
    { seconds: 2n ** 63n - 1n, nanos: 0 },
    { seconds: -(2n ** 63n), nanos: 0 },
  ];
  for (const timestamp of times) {
    const refusal = await server.client.refused(hubMethods.publish, { event: { ...EVENT, timestamp } });
    assertEquals(refusal.fields, { "event.timestamp": "invalid_timestamp" });
    assertMatch(refusal.details, /nanos from 0 to 999,999,999/);
  }
});

socketTest("the same id with other content is ALREADY_EXISTS", async () => {
  await using server = await openServer();
  await server.client.unary(hubMethods.publish, { event: EVENT });
  const refusal = await server.client.refused(hubMethods.publish, { event: { ...EVENT, amount: "13" } });
  assertEquals([refusal.code, refusal.reason], [Status.ALREADY_EXISTS, "conflict"]);
});

socketTest("an event that is not known to be stored is UNAVAILABLE with the id the hub gave it", async () => {
  await using server = await openServer({
    wrapStore: (store) => replaced(store, { append: () => Promise.resolve<AppendStatus[]>(["unavailable"]) }),
  });
  const refusal = await server.client.refused(hubMethods.publish, { event: { ...EVENT, id: undefined } });
  assertEquals([refusal.code, refusal.reason, refusal.retrySeconds], [Status.UNAVAILABLE, "unavailable", 1]);
  assertMatch(refusal.info.id ?? "", /^[0-9a-f-]{36}$/);
});

socketTest("PublishBatch gives each event its result; one bad event harms no other", async () => {
  await using server = await openServer();
  const { client } = server;
  await client.unary(hubMethods.publish, { event: EVENT });
  const events = [EVENT, { ...EVENT, amount: "1" }, { ...EVENT, id: "order-2" }, { userId: "u", amount: "x" }];
  const response = await client.unary(hubMethods.publishBatch, { events, omitStored: false });
  assertEquals(
    response.results.map(({ index, id, status, errors }) => [index, id, status, errors.map(({ field }) => field)]),
    [
      [0, "order-1", EVENT_STATUS_DUPLICATE, []],
      [1, "order-1", EVENT_STATUS_CONFLICT, ["id"]],
      [2, "order-2", EVENT_STATUS_STORED, []],
      [3, "", EVENT_STATUS_INVALID, ["event_type", "amount"]],
    ],
  );
  const { accepted, duplicates, rejected, retryable } = response;
  assertEquals({ accepted, duplicates, rejected, retryable }, {
    accepted: 1,
    duplicates: 1,
    rejected: 2,
    retryable: 0,
  });
  const brief = await client.unary(hubMethods.publishBatch, { events, omitStored: true });
  // What was there before is told: only the results of stored events are left out, as over REST.
  assertEquals(brief.results.map(({ index }) => index), [0, 1, 2, 3]);
});

socketTest("an empty batch is answered, one of 10,000 is stored, one more is refused as a whole", async () => {
  await using server = await openServer();
  const { client } = server;
  assertEquals((await client.unary(hubMethods.publishBatch, { events: [], omitStored: false })).results, []);
  const events = Array.from({ length: 10_000 }, (_, i) => ({ ...EVENT, id: `e${i}` }));
  const { accepted } = await client.unary(hubMethods.publishBatch, { events, omitStored: true });
  assertEquals(accepted, 10_000);
  const more = [...events.slice(1), { ...EVENT, id: "x" }, { ...EVENT, id: "y" }];
  const refusal = await client.refused(hubMethods.publishBatch, { events: more, omitStored: true });
  assertEquals([refusal.code, refusal.reason], [Status.RESOURCE_EXHAUSTED, "payload_too_large"]);
  assertEquals((await client.refused(hubMethods.getEvent, { id: "x" })).code, Status.NOT_FOUND);
});

socketTest("a batch of 10,000 bad events is answered within what clients accept", async () => {
  await using server = await openServer();
  const bad = { id: "x".repeat(128), properties: { $a: 1, $b: 2, $c: NaN } };
  const events = Array.from({ length: 10_000 }, () => bad);
  const { rejected, results } = await server.client.unary(hubMethods.publishBatch, { events, omitStored: false });
  assertEquals([rejected, results.length], [10_000, 10_000]);
  assertEquals(results[0]?.errors.length, 7);
  assert(results.every(({ errors }) => errors.length >= 1), "every event has at least its first fault");
});

socketTest("an overloaded hub refuses a batch as a whole, with a time to retry", async () => {
  await using server = await openServer({
    wrapHub: (hub) =>
      replaced(hub, {
        publishBatch: () => Promise.reject(new HubError("overloaded", "Too much in flight", { retryAfterSeconds: 3 })),
      }),
  });
  const refusal = await server.client.refused(hubMethods.publishBatch, { events: [EVENT], omitStored: false });
  assertEquals([refusal.code, refusal.reason, refusal.retrySeconds], [Status.UNAVAILABLE, "overloaded", 3]);
});

socketTest("a batch of 8 MiB is taken, a larger one refused", async () => {
  await using server = await openServer({ config: testConfig() });
  const properties = { text: "x".repeat(16_000) };
  const events = Array.from({ length: 519 }, (_, i) => ({ ...EVENT, id: `e${i}`, properties }));
  const { accepted } = await server.client.unary(hubMethods.publishBatch, { events, omitStored: true });
  assertEquals(accepted, 519);
  const larger = [...events, ...events.slice(0, 20)];
  const refusal = await server.client.refused(hubMethods.publishBatch, { events: larger, omitStored: true });
  assertEquals([refusal.code, refusal.reason], [Status.RESOURCE_EXHAUSTED, "payload_too_large"]);
});
