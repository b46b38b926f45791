/** Parsing events: every rule of the contract, all faults at once, and what counts as the same content. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { type Event, parseEvent, type ParseResult, sameContent } from "../src/event.ts";
import { FIELD_ERRORS_MAX } from "../src/limits.ts";

const NOW = Date.UTC(2025, 6, 15, 12);
const DAY = 86_400_000;
const CONTEXT = {
  tenant: "default",
  source: "rest",
  now: NOW,
  naiveZone: "UTC",
  maxFutureMs: DAY,
  oldest: null as number | null,
  newId: () => "given-by-hub",
} as const;
const VALID = { user_id: "u1", event_type: "purchase", amount: 12.5 };

function parse(input: unknown, overrides: Partial<typeof CONTEXT> | { oldest: number } = {}): ParseResult {
  return parseEvent(input, { ...CONTEXT, ...overrides });
}

function eventOf(input: unknown): Event {
  const result = parse(input);
  assert(result.ok, JSON.stringify(result));
  return result.event;
}

/** `pointer code` of every fault. */
function faults(input: unknown, overrides: { oldest?: number } = {}): string[] {
  const result = parse(input, overrides as { oldest: number });
  return result.ok ? [] : result.errors.map((error) => `${error.pointer} ${error.code}`);
}

Deno.test("event: a full event is read member by member", () => {
  const result = parse({
    id: "order-1:line/2",
    user_id: "Zoë 🛒",
    event_type: "purchase",
    amount: "19.90",
    timestamp: "2025-07-15T10:00:00.1239+02:00",
    properties: { sku: "a", n: [1, null, true] },
  });
  assertEquals(result, {
    ok: true,
    idGiven: true,
    event: {
      id: "order-1:line/2",
      tenant: "default",
      userId: "Zoë 🛒",
      eventType: "purchase",
      amount: 199_000,
      timestamp: Date.UTC(2025, 6, 15, 8, 0, 0, 123),
      timestampGiven: true,
      receivedAt: NOW,
      source: "rest",
      properties: '{"sku":"a","n":[1,null,true]}',
    },
  });
});

Deno.test("event: what may be left out is filled in; null is the same as left out", () => {
  for (const rest of [{}, { id: null, timestamp: null, properties: null }, { properties: {} }]) {
    const result = parse({ ...VALID, ...rest });
    assert(result.ok);
    assertEquals(result.idGiven, false);
    assertEquals(result.event.id, "given-by-hub");
    assertEquals(result.event.timestamp, NOW);
    assertEquals(result.event.timestampGiven, false);
    assertEquals(result.event.properties, null);
  }
});

Deno.test("event: the prototype's own event is taken", () => {
  const event = eventOf({
    user_id: "user_7",
    event_type: "refund",
    amount: 99.99,
    timestamp: "2025-07-15T11:34:56.123456",
  });
  assertEquals(event.timestamp, Date.UTC(2025, 6, 15, 11, 34, 56, 123));
  assertEquals(event.amount, 999_900);
});

Deno.test("event: what is no object is refused as a whole", () => {
  for (const input of [null, undefined, [], [VALID], "text", 1, true, 1n]) {
    assertEquals(faults(input), [" invalid_type"], String(input));
  }
});

Deno.test("event: all faults are told at once, and the sender's id with them", () => {
  const result = parse({ id: "a b", user_id: 5, amount: "1e3", timestamp: "now", properties: [], userId: "x" });
  assert(!result.ok);
  assertEquals(result.id, "a b");
  assertEquals(result.errors.map((error) => `${error.pointer} ${error.code}`), [
    "/id invalid_format",
    "/user_id invalid_type",
    "/event_type required",
    "/amount invalid_format",
    "/timestamp invalid_timestamp",
    "/properties invalid_type",
    "/userId unknown_field",
  ]);
  for (const error of result.errors) assertMatch(error.detail, /^[\w"].{15,}/);
});

Deno.test("event: one rule after the other", () => {
  const cases: [object, string][] = [
    [{ id: "" }, "/id too_short"],
    [{ id: "x".repeat(129) }, "/id too_long"],
    [{ id: 1 }, "/id invalid_type"],
    [{ id: "ä" }, "/id invalid_format"],
    [{ id: "a\n" }, "/id invalid_format"],
    [{ id: "batch" }, "/id invalid_value"],
    [{ id: "stream" }, "/id invalid_value"],
    [{ user_id: null }, "/user_id required"],
    [{ user_id: "" }, "/user_id too_short"],
    [{ user_id: "x".repeat(257) }, "/user_id too_long"],
    [{ user_id: "🛒".repeat(257) }, "/user_id too_long"],
    [{ user_id: "a\u0000b" }, "/user_id invalid_format"],
    [{ user_id: "a\u007f" }, "/user_id invalid_format"],
    [{ user_id: "a\u0085" }, "/user_id invalid_format"],
    [{ user_id: "a\ud800" }, "/user_id invalid_format"],
    [{ user_id: {} }, "/user_id invalid_type"],
    [{ event_type: undefined }, "/event_type required"],
    [{ event_type: "" }, "/event_type too_short"],
    [{ event_type: "1st" }, "/event_type invalid_format"],
    [{ event_type: "with space" }, "/event_type invalid_format"],
    [{ event_type: "t".repeat(65) }, "/event_type too_long"],
    [{ event_type: ["purchase"] }, "/event_type invalid_type"],
    [{ amount: null }, "/amount required"],
    [{ amount: Number.NaN }, "/amount invalid_value"],
    [{ amount: 1e308 }, "/amount out_of_range"],
    [{ amount: 0.00001 }, "/amount too_precise"],
    [{ amount: true }, "/amount invalid_type"],
    [{ timestamp: 1_752_582_896 }, "/timestamp invalid_type"],
    [{ timestamp: "" }, "/timestamp invalid_timestamp"],
    [{ timestamp: "2025-07-15" }, "/timestamp invalid_timestamp"],
    [{ timestamp: "2025-07-16T12:00:00.001Z" }, "/timestamp too_far_in_future"],
    [{ properties: "{}" }, "/properties invalid_type"],
    [{ properties: { a: { $set: 1 } } }, "/properties/a/$set invalid_format"],
  ];
  for (const [part, fault] of cases) assertEquals(faults({ ...VALID, ...part }), [fault], JSON.stringify(part));
});

Deno.test("event: the edges of the rules are inside", () => {
  const parts: object[] = [
    { id: "x".repeat(128) },
    { id: "Batch" },
    { id: "._:@~+=/-" },
    { user_id: "🛒".repeat(256) },
    { user_id: " " },
    { event_type: "T" + "_".repeat(63) },
    { event_type: "cart.item-added:v2" },
    { timestamp: "2025-07-16T12:00:00.000Z" },
    { timestamp: "1970-01-01T00:00:00Z" },
    { amount: "-1000000000" },
  ];
  for (const part of parts) assertEquals(faults({ ...VALID, ...part }), [], JSON.stringify(part));
});

Deno.test("event: with retention on, what is older than it is refused; a missing time is not", () => {
  const oldest = NOW - 90 * DAY;
  assertEquals(faults({ ...VALID, timestamp: new Date(oldest - 1).toISOString() }, { oldest }), ["/timestamp too_old"]);
  assertEquals(faults({ ...VALID, timestamp: new Date(oldest).toISOString() }, { oldest }), []);
  assertEquals(faults(VALID, { oldest }), []);
});

Deno.test("event: an unknown member is named, says where it belongs, and what was perhaps meant", () => {
  const result = parse({ ...VALID, eventType: "x", "a/b~c": 1, currency: "EUR" });
  assert(!result.ok);
  assertEquals(result.errors.map((error) => error.pointer), ["/eventType", "/a~1b~0c", "/currency"]);
  for (const error of result.errors) assertStringIncludes(error.detail, "put it in properties");
  assertStringIncludes(result.errors[0]!.detail, "did you mean event_type?");
  assertEquals(result.id, null);
});

Deno.test("event: members named like an object's own are just unknown", () => {
  const input = JSON.parse('{"user_id":"u","event_type":"t","amount":1,"__proto__":{"id":"x"},"constructor":1}');
  assertEquals(faults(input), ["/__proto__ unknown_field", "/constructor unknown_field"]);
  assertEquals(faults(Object.assign(Object.create(null), VALID)), []);
});

Deno.test("event: members that are inherited are not the sender's", () => {
  assertEquals(faults(JSON.parse('{"__proto__":{"user_id":"u","event_type":"t","amount":1}}')), [
    "/user_id required",
    "/event_type required",
    "/amount required",
    "/__proto__ unknown_field",
  ]);
});

Deno.test("event: the list of faults is bounded", () => {
  const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`m${i}`, 1]));
  assertEquals(faults({ ...VALID, ...many }).length, FIELD_ERRORS_MAX);
});

Deno.test("event: whatever JSON comes in, parsing answers and never throws", () => {
  const part = (value: fc.Arbitrary<unknown>) => fc.oneof(value, fc.jsonValue({ maxDepth: 4 }), fc.string());
  const input = fc.record({
    id: part(fc.stringMatching(/^[a-z]{1,9}$/)),
    user_id: part(fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 })),
    event_type: part(fc.constantFrom("purchase", "return")),
    amount: part(fc.integer({ min: -100, max: 100 })),
    timestamp: part(fc.constant("2025-07-15T12:00:00Z")),
    properties: part(fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.jsonValue({ maxDepth: 3 }))),
  }, { requiredKeys: [] });
  fc.assert(fc.property(fc.oneof(input, fc.jsonValue()), (input) => {
    const result = parse(input);
    if (result.ok) {
      assert(result.event.userId.isWellFormed() && result.event.userId.length > 0);
      assert(Number.isSafeInteger(result.event.amount) && !Object.is(result.event.amount, -0));
      assert(result.event.properties === null || result.event.properties.startsWith("{"));
    } else {
      assert(result.errors.length > 0 && result.errors.length <= FIELD_ERRORS_MAX);
      for (const error of result.errors) assert(error.pointer !== undefined && error.detail !== "");
    }
  }));
});

Deno.test("event: a valid event is taken, and is the same content as itself sent again", () => {
  const valid = fc.record({
    id: fc.stringMatching(/^[A-Za-z0-9._:@~+=/-]{1,128}$/).filter((id) => id !== "batch" && id !== "stream"),
    user_id: fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }).filter((text) => !/\p{Cc}/u.test(text)),
    event_type: fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.:-]{0,63}$/),
    amount: fc.integer({ min: -(10 ** 13), max: 10 ** 13 }).map((units) => units / 10_000),
    timestamp: fc.integer({ min: 0, max: NOW }).map((time) => new Date(time).toISOString()),
    properties: fc.dictionary(fc.stringMatching(/^[a-z_][a-z0-9 ]{0,9}$/), fc.jsonValue({ maxDepth: 2 })),
  }, { requiredKeys: ["user_id", "event_type", "amount"] });
  fc.assert(fc.property(valid, (input) => {
    // Whether `properties` passes is the concern of another file; here only what JSON.parse can give is sent.
    const sent = JSON.parse(JSON.stringify(input));
    const first = parse(sent);
    if (!first.ok) {
      assert(first.errors.every((error) => error.pointer?.startsWith("/properties")), JSON.stringify(first.errors));
      return;
    }
    const again = parse(JSON.parse(JSON.stringify(sent)), { now: NOW + 5_000 } as unknown as { oldest: number });
    assert(again.ok && sameContent(first.event, { ...again.event, source: "grpc" }));
  }));
});

Deno.test("event: same content is compared by value", () => {
  const stored = eventOf({ ...VALID, id: "a", timestamp: "2025-07-15T12:00:00Z", properties: { a: 1, b: { c: [1] } } });
  const same: Partial<Event>[] = [
    { receivedAt: NOW + 1, source: "grpc" },
    { timestampGiven: false, timestamp: NOW + 999 },
    { properties: '{"b":{"c":[1.0]},"a":1}' },
  ];
  for (const part of same) assert(sameContent(stored, { ...stored, ...part }), JSON.stringify(part));
  assert(sameContent({ ...stored, timestampGiven: false, timestamp: 1 }, stored));
  const other: Partial<Event>[] = [
    { userId: "u2" },
    { eventType: "refund" },
    { amount: 125_001 },
    { timestamp: NOW + 1 },
    { properties: null },
    { properties: '{"a":1,"b":{"c":[1,2]}}' },
    { properties: '{"a":1,"b":{"c":{"0":1}}}' },
  ];
  for (const part of other) assert(!sameContent(stored, { ...stored, ...part }), JSON.stringify(part));
});
