/** Bodies: sizes, encodings, media types, bytes that are not what they say. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { gzipSync } from "node:zlib";
import { BATCH_BODY_BYTES_MAX, BODIES_IN_FLIGHT_BYTES_MAX, EVENT_BODY_BYTES_MAX } from "../../../src/limits.ts";
import { assertProblem, EVENT, openRest } from "./rest_harness.ts";

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const gzip = (bytes: Uint8Array) => new Uint8Array(gzipSync(bytes));
const GZIP = { "content-encoding": "gzip" };

Deno.test("rest: a body that is not JSON, or not UTF-8, is malformed", async () => {
  await using test = openRest();
  const bad: (string | Uint8Array)[] = [
    "",
    "{",
    '{"user_id": "u1",}',
    "nonsense",
    "[".repeat(60_000),
    '{"amount": NaN}',
    new Uint8Array([0x22, 0xe4, 0x22]),
    new Uint8Array([0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]),
    new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]),
  ];
  for (const body of bad) {
    assertProblem(await test.ask("/events", { body }), 400, "malformed");
    assertProblem(await test.ask("/events/batch", { body }), 400, "malformed");
  }
});

Deno.test("rest: deep or large JSON is refused as what it is, and nothing fails", async () => {
  await using test = openRest();
  const deep = "[".repeat(30_000) + "]".repeat(30_000);
  assertProblem(await test.ask("/events", { body: deep }), 422, "invalid_argument");
  const inside = `{"user_id":"u","event_type":"purchase","amount":1,"properties":{"a":${deep}}}`;
  assertProblem(await test.ask("/events", { body: inside }), 422, "invalid_argument");
  const digits = `{"user_id":"u","event_type":"purchase","amount":${"9".repeat(1000)}}`;
  assertProblem(await test.ask("/events", { body: digits }), 422, "invalid_argument");
});

Deno.test("rest: a byte order mark is ignored, and U+FFFD is a character like others", async () => {
  await using test = openRest();
  const marked = new Uint8Array([0xef, 0xbb, 0xbf, ...json(EVENT)]);
  assertEquals((await test.ask("/events", { body: marked })).status, 200);
  const replaced = await test.ask("/events", { body: { ...EVENT, user_id: "a\ufffdb" } });
  assertEquals((await test.ask(`/events/${replaced.json.id}`)).json.user_id, "a\ufffdb");
});

Deno.test("rest: 64 KiB are taken, a byte more is not, whether the length is told or not", async () => {
  await using test = openRest();
  const padded = (length: number) => JSON.stringify(EVENT).padEnd(length, " ");
  for (const told of [true, false]) {
    const headers = (length: number): Record<string, string> => told ? { "content-length": String(length) } : {};
    const right = padded(EVENT_BODY_BYTES_MAX);
    assertEquals((await test.ask("/events", { body: right, headers: headers(right.length) })).status, 200);
    const large = padded(EVENT_BODY_BYTES_MAX + 1);
    assertProblem(await test.ask("/events", { body: large, headers: headers(large.length) }), 413, "payload_too_large");
  }
  const lie = await test.ask("/events", {
    body: padded(EVENT_BODY_BYTES_MAX + 1),
    headers: { "content-length": "10" },
  });
  assertProblem(lie, 413, "payload_too_large");
});

Deno.test("rest: a batch has 8 MiB, and a stream of more is not read to its end", async () => {
  await using test = openRest();
  const right = JSON.stringify([EVENT]).padEnd(BATCH_BODY_BYTES_MAX, " ");
  assertEquals((await test.ask("/events/batch", { body: right })).status, 200);
  assertProblem(await test.ask("/events/batch", { body: right + " " }), 413, "payload_too_large");

  let given = 0;
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      given += 65_536;
      controller.enqueue(new Uint8Array(65_536).fill(32));
    },
    cancel: () => {
      cancelled = true;
    },
  });
  assertProblem(await test.ask("/events/batch", { body: endless }), 413, "payload_too_large");
  assertEquals(cancelled, true);
  assertEquals(given <= BATCH_BODY_BYTES_MAX + 4 * 65_536, true);
});

Deno.test("rest: gzip bodies are taken on both routes", async () => {
  await using test = openRest();
  assertEquals((await test.ask("/events", { body: gzip(json(EVENT)), headers: GZIP })).status, 200);
  const upper = { "content-encoding": "GZIP" };
  assertEquals((await test.ask("/events/batch", { body: gzip(json([EVENT])), headers: upper })).json.accepted, 1);
  const identity = { "content-encoding": "identity" };
  assertEquals((await test.ask("/events", { body: EVENT, headers: identity })).status, 200);
});

Deno.test("rest: a gzip bomb, cut gzip, no gzip and other encodings are refused", async () => {
  await using test = openRest();
  const bomb = gzip(new Uint8Array(64 << 20));
  const whole = gzip(json(EVENT));
  const damaged = whole.slice();
  damaged[damaged.length - 6]! ^= 1;
  for (const path of ["/events", "/events/batch"]) {
    assertProblem(await test.ask(path, { body: bomb, headers: GZIP }), 413, "payload_too_large");
    for (const body of [whole.slice(0, -5), whole.slice(0, 12), damaged, json(EVENT), new Uint8Array()]) {
      assertProblem(await test.ask(path, { body, headers: GZIP }), 400, "malformed");
    }
    for (const encoding of ["br", "deflate", "gzip, gzip", "zstd"]) {
      const headers = { "content-encoding": encoding };
      assertProblem(await test.ask(path, { body: EVENT, headers }), 415, "unsupported_media_type");
    }
  }
});

Deno.test("rest: media types are compared as RFC 9110 has them, and others refused by name", async () => {
  await using test = openRest();
  const good = [
    "application/json",
    "Application/JSON",
    "application/json; charset=utf-8",
    'application/json;charset="UTF-8"',
    " application/json ; version=1",
  ];
  for (const type of good) assertEquals((await test.ask("/events", { body: EVENT, type })).status, 200, type);
  const bad = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/json; charset=latin1",
    "application/json; charset=utf-16",
    "application/x-ndjson",
    "application/jsonx",
    "json",
  ];
  for (const type of bad) {
    const answered = await test.ask("/events", { body: EVENT, type });
    assertProblem(answered, 415, "unsupported_media_type");
    if (!type.includes("charset")) assertStringIncludes(answered.json.detail, "application/json");
  }
  const missing = await test.ask("/events", { body: json(EVENT), type: "" });
  assertProblem(missing, 415, "unsupported_media_type");
});

Deno.test("rest: a body that breaks off is malformed", async () => {
  await using test = openRest();
  const broken = () =>
    new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(json(EVENT).slice(0, 20)),
      pull: (controller) => controller.error(new Error("connection reset")),
    });
  for (const path of ["/events", "/events/batch"]) {
    assertProblem(await test.ask(path, { body: broken() }), 400, "malformed");
  }
});

Deno.test("rest: a body that does not come is given up after the deadline", async () => {
  await using test = openRest({ config: { requestTimeoutMs: 20 } });
  for (const headers of [{}, { "content-length": "100" }] as Record<string, string>[]) {
    for (const path of ["/events", "/events/batch"]) {
      const stalled = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(json(EVENT).slice(0, 20)),
      });
      const answered = await test.ask(path, { body: stalled, headers });
      assertProblem(answered, 408, "timeout");
      assertEquals(answered.headers.get("retry-after"), "1");
    }
  }
  assertEquals((await test.ask("/events", { body: EVENT })).status, 200);
});

Deno.test("rest: bodies that are being read are bounded in all, and given up they make room again", async () => {
  await using test = openRest({ config: { requestTimeoutMs: 400 } });
  const stalled = () =>
    test.ask("/events", {
      body: new ReadableStream<Uint8Array>(),
      headers: { "content-length": String(EVENT_BODY_BYTES_MAX) },
    });
  const waiting = Array.from({ length: BODIES_IN_FLIGHT_BYTES_MAX / EVENT_BODY_BYTES_MAX }, stalled);
  assertProblem(await stalled(), 503, "overloaded");
  for (const answered of await Promise.all(waiting)) assertProblem(answered, 408, "timeout");
  assertEquals((await test.ask("/events", { body: EVENT })).status, 200);
});
