/** Bytes to events: what the generated writers write is read back the same, and hostile bytes stay harmless. */
import "./environment.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { HubError } from "../../../src/errors.ts";
import { parseEvent, type ParseResult } from "../../../src/event.ts";
import * as v1 from "../../../src/gen/eventhub/v1/eventhub.ts";
import { fieldPath, toTimestamp } from "../../../src/transport/grpc/convert.ts";
import {
  MalformedEvent,
  readPublishBatchRequest,
  readPublishRequest,
  readPublishStreamRequest,
} from "../../../src/transport/grpc/event_reader.ts";
import { START } from "../../harness.ts";

function parse(input: unknown): ParseResult {
  return parseEvent(input, {
    tenant: "default",
    source: "grpc",
    now: START,
    naiveZone: "UTC",
    maxFutureMs: 1_000,
    oldest: null,
    newId: () => "new",
  });
}

function read(event: v1.EventInput): ParseResult {
  const input = readPublishRequest(v1.PublishRequest.encode({ event }).finish());
  assert(!(input instanceof MalformedEvent));
  return parse(input);
}

const text = fc.string({ unit: "binary", maxLength: 20 });
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    text,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.string({ minLength: 1, maxLength: 8 }).map((key) => `k${key}`), tie("value"), { maxKeys: 4 }),
  ),
})).value;

Deno.test("grpc reader: an event is read as the same event sent as JSON", () => {
  const given = fc.record({
    id: fc.option(fc.stringMatching(/^[A-Za-z0-9._:@~+=/-]{1,40}$/), { nil: undefined }),
    userId: text.filter((each) => /^\P{Cc}+$/u.test(each)),
    amount: fc.integer({ min: -1e9, max: 1e9 }).map((units) => String(units / 10_000)).filter((a) => !a.includes("e")),
    timestamp: fc.option(fc.integer({ min: 0, max: START }), { nil: undefined }),
    properties: fc.option(fc.dictionary(fc.constantFrom("a", "b.c", "__proto__", "ключ"), json), { nil: undefined }),
  });
  fc.assert(fc.property(given, ({ id, userId, amount, timestamp, properties }) => {
    const fromJson = parse(JSON.parse(JSON.stringify({
      id,
      user_id: userId,
      event_type: "purchase",
      amount,
      timestamp: timestamp === undefined ? undefined : new Date(timestamp).toISOString(),
      properties,
    })));
    const event = { id, userId, eventType: "purchase", amount, properties };
    const fromBytes = read({ ...event, timestamp: timestamp === undefined ? undefined : toTimestamp(timestamp) });
    assertEquals(fromBytes, fromJson);
  }));
});

Deno.test("grpc reader: random bytes are an event, faults of an event, or malformed; nothing else is thrown", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.constantFrom(10, 18, 26, 34, 42, 50, 8, 16).map((tag) => Uint8Array.of(tag, 3, 10, 1, 65)),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const bytes = new Uint8Array(pieces.flatMap((each) => [...each]));
      for (const reader of [readPublishRequest, readPublishBatchRequest, readPublishStreamRequest]) {
        try {
          const message = reader(bytes);
          if (reader === readPublishRequest && !(message instanceof MalformedEvent)) parse(message);
        } catch (error) {
          assert(error instanceof HubError && ["malformed", "invalid_argument"].includes(error.code), `${error}`);
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("grpc reader: a property named __proto__ is kept, and changes no prototype", () => {
  const event = { userId: "u", eventType: "a", amount: "1", properties: JSON.parse('{"__proto__":{"x":1},"y":2}') };
  const parsed = read(event);
  assert(parsed.ok);
  assertEquals(parsed.event.properties, '{"__proto__":{"x":1},"y":2}');
  assertEquals(({} as { x?: number }).x, undefined);
});

/** A struct of `levels` lists in each other. */
function nested(levels: number): Uint8Array {
  let value: Uint8Array = new Uint8Array(0);
  for (let level = 0; level < levels; level++) {
    const list = new BinaryWriter().uint32(10).bytes(value).finish();
    value = new BinaryWriter().uint32(50).bytes(list).finish();
  }
  const entry = new BinaryWriter().uint32(10).string("k").uint32(18).bytes(value).finish();
  return new BinaryWriter().uint32(10).bytes(entry).finish();
}

function withProperties(properties: Uint8Array): Uint8Array {
  const writer = new BinaryWriter().uint32(18).string("u").uint32(26).string("a").uint32(34).string("1");
  const event = writer.uint32(50).bytes(properties).finish();
  return new BinaryWriter().uint32(10).bytes(event).finish();
}

Deno.test("grpc reader: properties too deep are a fault, properties absurdly deep are malformed", () => {
  const deep = readPublishRequest(withProperties(nested(20)));
  const parsed = parse(deep);
  assert(!parsed.ok);
  assertEquals(parsed.errors[0]?.code, "too_deep");
  assert(readPublishRequest(withProperties(nested(150))) instanceof MalformedEvent);
  assert(readPublishRequest(withProperties(nested(4_000))) instanceof MalformedEvent);
});

Deno.test("grpc reader: properties that are too large are a fault without being read", () => {
  const values = new BinaryWriter().uint32(10).string("k").uint32(18).bytes(
    new BinaryWriter().uint32(50).bytes(new Uint8Array(9_000 * 2).map((_, i) => i % 2 === 0 ? 10 : 0)).finish(),
  ).finish();
  const many = new BinaryWriter().uint32(10).bytes(values).finish();
  const long = new Uint8Array(200_000).fill(10);
  for (const properties of [many, long]) {
    const parsed = parse(readPublishRequest(withProperties(properties)));
    assert(!parsed.ok);
    assertEquals(parsed.errors.map(({ pointer, code }) => [pointer, code]), [["/properties", "too_long"]]);
  }
});

Deno.test("grpc reader: one bad event of a batch leaves the others as they are", () => {
  const good = v1.EventInput.encode({ id: "g", userId: "u", eventType: "a", amount: "1" }).finish();
  const batch = new BinaryWriter();
  for (const event of [good, Uint8Array.of(10, 9, 65), good, Uint8Array.of(18, 2, 0xff, 0xfe), good]) {
    batch.uint32(10).bytes(event);
  }
  const { events } = readPublishBatchRequest(batch.finish());
  assertEquals(events.map((event) => event instanceof MalformedEvent), [false, true, false, true, false]);
});

Deno.test("grpc reader: a batch of 8 MiB of empty events is refused at the first one too many", () => {
  const bytes = new Uint8Array(8 * 1024 * 1024).map((_, i) => i % 2 === 0 ? 10 : 0);
  const error = assertThrows(() => readPublishBatchRequest(bytes), HubError);
  assertEquals(error.code, "payload_too_large");
  assertMatch(error.message, /10000 events/);
});

Deno.test("grpc reader: an event with 200,000 unknown fields costs no more than its first faults", () => {
  const writer = new BinaryWriter();
  for (let field = 100; field < 200_100; field++) writer.uint32(field << 3).uint32(1);
  const parsed = parse(readPublishRequest(new BinaryWriter().uint32(10).bytes(writer.finish()).finish()));
  assert(!parsed.ok);
  assertEquals(parsed.errors.length, 32);
});

Deno.test("grpc convert: pointers are paths of proto fields", () => {
  assertEquals(fieldPath(""), "");
  assertEquals(fieldPath("/user_id"), "user_id");
  assertEquals(fieldPath("/properties/a~1b/0/c~0d/é"), 'properties["a/b"][0]["c~d"]["é"]');
});
