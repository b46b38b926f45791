/** Errors over real sockets: every code, malformed bytes, limits, deadlines, and clients that misbehave. */
import "./environment.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Metadata, status as Status } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import http2 from "node:http2";
import { gzipSync } from "node:zlib";
import { type ErrorCode, HubError } from "../../../src/errors.ts";
import * as v1 from "../../../src/gen/eventhub/v1/eventhub.ts";
import type { AppendStatus } from "../../../src/storage.ts";
import { STATUS_OF } from "../../../src/transport/grpc/errors.ts";
import { compatMethods, hubMethods, openServer, replaced, socketTest, withBytes } from "./client.ts";
import { framed, PUBLISH, rawCall, statusIn } from "./raw_call.ts";

const EVENT: v1.EventInput = { userId: "u1", eventType: "purchase", amount: "1" };

socketTest("every error code has its status, and ErrorInfo, RetryInfo and the request id with it", async () => {
  let code: ErrorCode = "internal";
  await using server = await openServer({
    wrapHub: (hub) =>
      replaced(hub, { get: () => Promise.reject(new HubError(code, `It is ${code}`, { id: "i1", cursor: "c1" })) }),
  });
  const expected: Record<ErrorCode, Status> = {
    invalid_argument: Status.INVALID_ARGUMENT,
    malformed: Status.INVALID_ARGUMENT,
    conflict: Status.ALREADY_EXISTS,
    not_found: Status.NOT_FOUND,
    method_not_allowed: Status.UNIMPLEMENTED,
    not_acceptable: Status.UNIMPLEMENTED,
    invalid_cursor: Status.INVALID_ARGUMENT,
    range_too_large: Status.INVALID_ARGUMENT,
    cursor_reset: Status.ABORTED,
    slow_consumer: Status.RESOURCE_EXHAUSTED,
    unauthenticated: Status.UNAUTHENTICATED,
    permission_denied: Status.PERMISSION_DENIED,
    payload_too_large: Status.RESOURCE_EXHAUSTED,
    unsupported_media_type: Status.UNIMPLEMENTED,
    rate_limited: Status.RESOURCE_EXHAUSTED,
    timeout: Status.UNAVAILABLE,
    overloaded: Status.UNAVAILABLE,
    unavailable: Status.UNAVAILABLE,
    deadline_exceeded: Status.DEADLINE_EXCEEDED,
    internal: Status.INTERNAL,
  };
  assertEquals<Record<string, Status>>(STATUS_OF, expected);
  const metadata = new Metadata();
  metadata.set("x-request-id", "r-17");
  for (code of Object.keys(expected) as ErrorCode[]) {
    const refusal = await server.client.refused(hubMethods.getEvent, { id: "x" }, { metadata });
    assertEquals([refusal.code, refusal.reason, refusal.details], [expected[code], code, `It is ${code}`]);
    assertEquals(refusal.info, { request_id: "r-17", id: "i1", cursor: "c1" });
    const retryable = ["rate_limited", "timeout", "overloaded", "unavailable", "deadline_exceeded"].includes(code);
    assertEquals(refusal.retrySeconds, retryable ? 1 : null);
  }
});

socketTest("what is no HubError is INTERNAL without any detail, and has a request id", async () => {
  await using server = await openServer({
    wrapHub: (hub) => replaced(hub, { get: () => Promise.reject(new Error("password=secret")) }),
  });
  const metadata = new Metadata();
  metadata.set("x-request-id", "two words");
  const refusal = await server.client.refused(hubMethods.getEvent, { id: "x" }, { metadata });
  assertEquals([refusal.code, refusal.reason], [Status.INTERNAL, "internal"]);
  assert(!refusal.details.includes("secret"));
  assertMatch(refusal.info.request_id ?? "", /^[0-9a-f-]{36}$/);
});

socketTest("32 faults with long details fit into what clients accept as trailers", async () => {
  await using server = await openServer();
  const properties = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`$${i}${"k".repeat(100)}`, NaN]));
  const refusal = await server.client.refused(hubMethods.publish, { event: { ...EVENT, properties } });
  assertEquals(refusal.code, Status.INVALID_ARGUMENT);
  assert(Object.keys(refusal.fields).length > 5);
  assertMatch(refusal.details, / \(and 31 more\)$/);
});

socketTest("bytes that are no message are INVALID_ARGUMENT, never INTERNAL", async () => {
  await using server = await openServer();
  const bytes: [name: string, bytes: number[]][] = [
    ["cut in a length", [10, 200]],
    ["cut in a tag", [128]],
    ["a tag of 0", [0, 1]],
    ["wire type 6", [14, 1]],
    ["wire type 7", [15]],
    ["an end without a group", [12]],
    ["an endless group", [11, 11, 11, 11]],
    ["a varint of 11 bytes", [8, ...Array(11).fill(255), 1]],
    ["text that is not UTF-8", [10, 4, 18, 2, 0xc3, 0x28]],
    ["an event longer than the message", [10, 100, 18, 1, 65]],
    ["a field longer than its event", [10, 2, 18, 50, 65, 65, 65]],
    ["garbage", [0xde, 0xad, 0xbe, 0xef]],
  ];
  for (const path of [PUBLISH, "/event.EventService/SendEvent", "/eventhub.v1.EventHubService/ListEvents"]) {
    for (const [name, content] of bytes) {
      const { code, reason } = await server.client.refusedBytes(path, Buffer.from(content));
      assertEquals(code, Status.INVALID_ARGUMENT, `${path}: ${name}`);
      assert(reason === "malformed" || reason === "invalid_argument", `${path}: ${name}: ${reason}`);
    }
  }
});

socketTest("a field of a wrong wire type, or one that the hub does not know, is refused by name", async () => {
  await using server = await openServer();
  const publish = (...event: number[]) => Buffer.from([10, event.length, ...event]);
  const whole = [18, 1, 65, 26, 1, 66, 34, 1, 49];
  const cases: [path: string, bytes: Buffer, fields: Record<string, string>][] = [
    [PUBLISH, publish(...whole, 8, 1), { "event.id": "invalid_type" }],
    [PUBLISH, publish(16, 1, ...whole.slice(3)), { "event.user_id": "invalid_type" }],
    [PUBLISH, publish(...whole.slice(0, 6), 33, 0, 0, 0, 0, 0, 0, 0, 0), { "event.amount": "invalid_type" }],
    [PUBLISH, publish(...whole, 40, 1), { "event.timestamp": "invalid_type" }],
    [PUBLISH, publish(...whole, 48, 1), { "event.properties": "invalid_type" }],
    [PUBLISH, publish(...whole, 42, 2, 24, 1), { "event.timestamp": "invalid_timestamp" }],
    [PUBLISH, publish(...whole, 58, 1, 65), { "event.field_7": "unknown_field" }],
    [PUBLISH, Buffer.from([...publish(...whole), 16, 1]), { "[2]": "unknown_field" }],
    [PUBLISH, Buffer.from([8, 1]), { event: "invalid_type" }],
    ["/event.EventService/SendEvent", Buffer.from([10, 1, 65, 26, 1, 65]), { amount: "invalid_type" }],
    ["/event.EventService/SendEvent", Buffer.from([42, 1, 65]), { "[5]": "unknown_field" }],
    ["/eventhub.v1.EventHubService/GetEvent", Buffer.from([8, 1]), { id: "invalid_type" }],
    ["/eventhub.v1.EventHubService/ListEvents", Buffer.from([10, 2, 8, 1, 18, 0, 80, 1]), {
      "filter.user_id": "invalid_type",
      limit: "invalid_type",
      "[10]": "unknown_field",
    }],
    ["/eventhub.v1.EventHubService/QueryAggregates", Buffer.from([10, 2, 10, 0]), { "from.seconds": "invalid_type" }],
    ["/grpc.health.v1.Health/Check", Buffer.from([16, 1]), { "[2]": "unknown_field" }],
  ];
  for (const [path, bytes, fields] of cases) {
    const refusal = await server.client.refusedBytes(path, bytes);
    assertEquals([refusal.code, refusal.fields], [Status.INVALID_ARGUMENT, fields]);
  }
  const { events } = await server.hub.list({ tenant: "default" }, { limit: 10, order: "asc" });
  assertEquals(events, []);
});

socketTest("an oversized message is RESOURCE_EXHAUSTED with payload_too_large, also in a stream", async () => {
  await using server = await openServer();
  const large = Buffer.alloc(9 * 1024 * 1024);
  const refusal = await server.client.refusedBytes(PUBLISH, large);
  assertEquals([refusal.code, refusal.reason], [Status.RESOURCE_EXHAUSTED, "payload_too_large"]);
  const call = server.client.duplex(withBytes(hubMethods.publishStream));
  const ended = new Promise<number>((resolve) => call.on("status", ({ code }) => resolve(code)));
  call.on("error", () => call.destroy()).resume();
  call.write(large);
  assertEquals(await ended, Status.RESOURCE_EXHAUSTED);
});

socketTest("compressed messages are taken; bombs and broken ones are refused with a status of their own", async () => {
  await using server = await openServer();
  const { port } = server;
  const request = v1.PublishRequest.encode({ event: { ...EVENT, id: "zipped" } }).finish();
  const gzip = { "grpc-encoding": "gzip" };
  const taken = await rawCall(port, { headers: gzip, body: framed(gzipSync(request), 1) });
  assertEquals(taken["grpc-status"], "0");
  assertEquals((await server.hub.get("default", "zipped")).id, "zipped");
  const bomb = await rawCall(port, { headers: gzip, body: framed(gzipSync(Buffer.alloc(64 * 1024 * 1024)), 1) });
  assertEquals(bomb["grpc-status"], String(Status.RESOURCE_EXHAUSTED));
  const broken = await rawCall(port, { headers: gzip, body: framed(Buffer.from("no gzip"), 1) });
  assertEquals(broken["grpc-status"], String(Status.INVALID_ARGUMENT));
  const unknown = await rawCall(port, { headers: { "grpc-encoding": "zstd" }, body: framed(request, 1) });
  assertEquals(unknown["grpc-status"], String(Status.UNIMPLEMENTED));
});

socketTest("a call of another kind is refused: no message, unknown method, no gRPC", async () => {
  await using server = await openServer();
  const { port } = server;
  const empty = await rawCall(port, { body: Buffer.alloc(0) });
  assertEquals(empty["grpc-status"], String(Status.INVALID_ARGUMENT));
  const two = await rawCall(port, { body: Buffer.concat([framed(Buffer.alloc(0)), framed(Buffer.alloc(0))]) });
  assertEquals(two["grpc-status"], String(Status.INVALID_ARGUMENT));
  const unknown = await rawCall(port, { path: "/eventhub.v1.EventHubService/Nothing" });
  const { code, reason, info } = statusIn(unknown);
  assertEquals([code, reason], [Status.UNIMPLEMENTED, "method_not_allowed"]);
  assert(info.request_id !== undefined);
  const json = await rawCall(port, { headers: { "content-type": "application/json" } });
  assertEquals(json[":status"], 415);
});

socketTest("metadata of 64 KB harms nobody else", async () => {
  await using server = await openServer();
  const large = await rawCall(server.port, { headers: { "x-large": "x".repeat(64 * 1024) } });
  assert(large["grpc-status"] !== "0", JSON.stringify(large));
  const metadata = new Metadata();
  metadata.set("x-some", "x".repeat(4 * 1024));
  const { id } = await server.client.unary(hubMethods.publish, { event: { ...EVENT, id: "e1" } }, { metadata });
  assertEquals(id, "e1");
});

socketTest("a deadline of 1 ms is DEADLINE_EXCEEDED, a far one no deadline, a wrong one INVALID_ARGUMENT", async () => {
  const gate = Promise.withResolvers<never>();
  await using server = await openServer({ wrapHub: (hub) => replaced(hub, { get: () => gate.promise }) });
  const late = await server.client.refused(hubMethods.getEvent, { id: "x" }, { deadline: Date.now() + 1 });
  assertEquals(late.code, Status.DEADLINE_EXCEEDED);
  const path = "/eventhub.v1.EventHubService/GetEvent";
  const body = framed(v1.GetEventRequest.encode({ id: "x" }).finish());
  const short = await rawCall(server.port, { path, body, headers: { "grpc-timeout": "1m" } });
  assertEquals(short["grpc-status"], String(Status.DEADLINE_EXCEEDED));
  assert(typeof short["grpc-status-details-bin"] === "string");
  const wrong = await rawCall(server.port, { path, body, headers: { "grpc-timeout": "soon" } });
  assertEquals(wrong["grpc-status"], String(Status.INVALID_ARGUMENT));
  const far = rawCall(server.port, { path, body, headers: { "grpc-timeout": "99999999H" } });
  await new Promise((resolve) => setImmediate(resolve));
  gate.reject(new HubError("not_found", "Not there"));
  assertEquals((await far)["grpc-status"], String(Status.NOT_FOUND));
});

socketTest("a deadline of the hub carries the id that it gave the event", async () => {
  const gate = Promise.withResolvers<AppendStatus[]>();
  await using server = await openServer({
    requestTimeoutMs: 50,
    wrapStore: (store) => replaced(store, { append: () => gate.promise }),
  });
  const refusal = await server.client.refused(hubMethods.publish, { event: EVENT });
  assertEquals([refusal.code, refusal.reason], [Status.DEADLINE_EXCEEDED, "deadline_exceeded"]);
  assertMatch(refusal.info.id ?? "", /^[0-9a-f-]{36}$/);
  const compat = await server.client.refused(compatMethods.sendEvent, {
    userId: "u",
    eventType: "a",
    amount: 1,
    timestamp: "",
  });
  assertEquals(compat.code, Status.DEADLINE_EXCEEDED);
  gate.resolve(["unavailable"]);
});

socketTest("streams reset in the middle, and sockets destroyed, leave the server well", async () => {
  await using server = await openServer();
  const { port, hub } = server;
  for (let round = 0; round < 20; round++) {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on("error", () => session.destroy());
    const open = (path: string, body: Buffer) => {
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", () => stream.destroy()).resume();
      stream.write(body);
      return stream;
    };
    const subscribe = open("/eventhub.v1.EventHubService/Subscribe", framed(Buffer.alloc(0)));
    subscribe.end();
    await new Promise((resolve) => subscribe.once("response", resolve));
    const half = framed(v1.PublishRequest.encode({ event: EVENT }).finish());
    open(PUBLISH, half.subarray(0, 8)).close(http2.constants.NGHTTP2_CANCEL);
    open("/eventhub.v1.EventHubService/PublishStream", half.subarray(0, 8)).close(
      http2.constants.NGHTTP2_INTERNAL_ERROR,
    );
    const closed = new Promise((resolve) => session.once("close", resolve));
    if (round % 2 === 0) session.destroy();
    else subscribe.close(http2.constants.NGHTTP2_CANCEL), session.close();
    await closed;
  }
  while (hub.load.subscribers > 0) await new Promise((resolve) => setImmediate(resolve));
  const { id } = await server.client.unary(hubMethods.publish, { event: { ...EVENT, id: "after" } });
  assertEquals(id, "after");
});
