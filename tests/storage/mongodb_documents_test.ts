/** Documents: exact decimals, events that come back as they were, names in the order of arrival. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { BSON, Decimal128, ObjectId } from "mongodb";
import { formatAmount } from "../../src/amount.ts";
import { MONGODB_SLICE_EVENTS } from "../../src/limits.ts";
import { Arrivals } from "../../src/storage/mongodb_arrivals.ts";
import {
  fromDecimal,
  fromDocument,
  hourKey,
  minuteKey,
  toDecimal,
  toDocument,
} from "../../src/storage/mongodb_documents.ts";
import { redact } from "../../src/storage/mongodb_errors.ts";
import { receivedUntil, Slices } from "../../src/storage/mongodb_slices.ts";
import { assertSameEvent, event, HOUR, MINUTE, NOON, ONE } from "./conformance/events.ts";

/** Through the bytes, as a server gives it back. */
function roundTrip(document: object): unknown {
  return BSON.deserialize(BSON.serialize(document), { useBigInt64: true });
}

Deno.test("mongodb documents: decimals are those that the driver makes of the canonical text", () => {
  const units = fc.oneof(
    fc.bigInt({ min: -(10n ** 13n), max: 10n ** 13n }),
    fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }),
    fc.bigInt({ min: -100_000n, max: 100_000n }).map((value) => value * 10_000n),
  );
  fc.assert(fc.property(units, (value) => {
    const decimal = toDecimal(value);
    assertEquals(decimal.toString(), Decimal128.fromString(formatAmount(value)).toString());
    assertEquals([...decimal.bytes], [...Decimal128.fromString(formatAmount(value)).bytes]);
    assertEquals(fromDecimal(decimal), value);
  }));
  assertEquals(toDecimal(125_000n).toString(), "12.5");
  const other = ["1E3", "-0", "12.50000", "0.0001", "1E-4", "10000.0000"];
  assertEquals(other.map((text) => fromDecimal(Decimal128.fromString(text))), [
    10_000_000n,
    0n,
    125_000n,
    1n,
    1n,
    100_000_000n,
  ]);
  for (const none of ["NaN", "Infinity", "0.00001", "1E6000"]) {
    assertEquals(fromDecimal(Decimal128.fromString(none)), null, none);
  }
  assertEquals([fromDecimal(12.5), fromDecimal("12.5"), fromDecimal(undefined)], [null, null, null]);
});

Deno.test("mongodb documents: properties come back as they were, whatever they are named", () => {
  const json = fc.dictionary(fc.string({ minLength: 1 }).filter((key) => !key.includes("\0")), fc.jsonValue());
  const arrival = new ObjectId();
  fc.assert(fc.property(json, (properties) => {
    const sent = event({ properties: JSON.stringify(properties) });
    const stored = fromDocument(roundTrip(toDocument(sent, { pub: NOON, arrival, slice: "" })));
    assertSameEvent(stored!.event, JSON.parse(JSON.stringify(sent)));
  }));
  for (
    const text of [
      '{"_bsontype":"ObjectId","id":"x"}',
      '{"a":{"\\u005fbsontype":"Long"}}',
      '{"__proto__":{"a":1}}',
      '{"a.b":{"c.d":1}}',
    ]
  ) {
    const stored = fromDocument(roundTrip(toDocument(event({ properties: text }), { pub: NOON, arrival, slice: "" })));
    assertEquals(JSON.parse(stored!.event.properties!), JSON.parse(text));
  }
});

Deno.test("mongodb documents: what this program did not write is no event", () => {
  const own = toDocument(event({ amount: 12.5 * ONE }), { pub: NOON, arrival: new ObjectId(), slice: "" });
  assert(fromDocument(roundTrip(own)) !== null);
  const changes: Record<string, unknown>[] = [
    { _id: new ObjectId() },
    { _id: "else:event" },
    { tenant: undefined },
    { user_id: 5 },
    { event_type: "no type" },
    { amount: 12.5 },
    { amount: Decimal128.fromString("1E20") },
    { timestamp: "2026-01-15T12:00:00Z" },
    { received_at: null },
    { source: "smtp" },
    { pub: undefined },
    { arrival: undefined },
    { properties: 5 },
  ];
  for (const change of changes) {
    assertEquals(fromDocument(roundTrip({ ...own, ...change })), null, Object.keys(change)[0]);
  }
  const prototype = { user_id: "u", event_type: "purchase", amount: 12.5, timestamp: new Date() };
  for (const one of [prototype, null, 5, "text"]) assertEquals(fromDocument(one), null);
});

Deno.test("mongodb documents: keys are readable, and sort as their times do", () => {
  const one = event({ timestamp: NOON + 34 * MINUTE + 5, receivedAt: NOON + 1_500 });
  assertEquals(minuteKey("shop", one.timestamp), "shop:minute:2026-01-15T12:34");
  assertEquals(hourKey("shop", one.timestamp), "shop:hour:2026-01-15T12");
  const last = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
  const times = fc.tuple(fc.integer({ min: 0, max: last }), fc.integer({ min: 0, max: last }));
  fc.assert(fc.property(times, ([a, b]) => {
    const [first, second] = [Math.min(a, b), Math.max(a, b)];
    assert(minuteKey("t", first) <= minuteKey("t", second) && hourKey("t", first) <= hourKey("t", second));
  }));
});

Deno.test("mongodb documents: names of insertions rise, also when the clock goes back", () => {
  const arrivals = new Arrivals();
  const names: string[] = [];
  for (const now of [NOON, NOON, NOON + 1, NOON - 5_000, NOON + 1, NOON + 2, Date.UTC(9999, 0)]) {
    for (let i = 0; i < 300; i++) names.push(arrivals.next(now).toHexString());
  }
  assertEquals(names, names.toSorted());
  assertEquals(new Set(names).size, names.length);
});

Deno.test("mongodb documents: a URL is shown without what opens the database", () => {
  const shown: Record<string, string> = {
    "mongodb://ann:s3cret@host:27017/shop?w=1": "mongodb://ann:***@host:27017/shop?w=1",
    "mongodb+srv://ann:a%40b:c@host/": "mongodb+srv://ann:***@host/",
    "mongodb://token@host/": "mongodb://***@host/",
    "mongodb://a,b:27018/shop": "mongodb://a,b:27018/shop",
  };
  for (const [url, safe] of Object.entries(shown)) assertEquals(redact(url), safe);
});

Deno.test("mongodb documents: events share a slice of a longer stretch of receipt the later they are", () => {
  const slices = new Slices();
  const minute = "default:minute:2026-01-15T12:00";
  const cases: readonly [latenessMs: number, slice: string, receivedUntil: number][] = [
    [-HOUR, `${minute}:${(NOON - HOUR) / 1_000}`, NOON - HOUR],
    [9 * MINUTE + 59_999, `${minute}:${NOON / 1_000 + 599}`, NOON + 599_000],
    [10 * MINUTE + 30_000, `${minute}:m${NOON / MINUTE + 10}`, NOON + 11 * MINUTE - 1_000],
    [24 * HOUR + 1, `${minute}:h${NOON / HOUR + 24}`, NOON + 25 * HOUR - 1_000],
  ];
  for (const [latenessMs, slice, until] of cases) {
    const found = slices.of(event({ timestamp: NOON, receivedAt: NOON + latenessMs }));
    assertEquals([found, receivedUntil(found)], [slice, new Date(until)]);
  }
  assertEquals(receivedUntil("by hand"), null);
});

Deno.test("mongodb documents: a slice that is flooded is followed by another part", () => {
  const slices = new Slices();
  const late = event({ timestamp: NOON, receivedAt: NOON + 48 * HOUR });
  const found = Array.from({ length: 2 * MONGODB_SLICE_EVENTS + 1 }, () => slices.of(late));
  const key = `default:minute:2026-01-15T12:00:h${NOON / HOUR + 48}`;
  assertEquals([...new Set(found)], [key, `${key}.1`, `${key}.2`]);
  for (const slice of new Set(found)) assertEquals(receivedUntil(slice), new Date(NOON + 49 * HOUR - 1_000));
});
