/** One event in, and back out as it was sent. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { assertRefused, type SentEvent } from "../clients.ts";
import { openClients, openLab } from "../served.ts";
import { asSeen, type Behaviour, DAY, iso, labOf, sale, UUID_V7 } from "./behaviour.ts";

/** Amounts as they are sent, and the canonical text they must come back as. */
const AMOUNTS: readonly [sent: string, canonical: string][] = [
  ["0", "0"],
  ["-0", "0"],
  ["-0.0000", "0"],
  ["0.1", "0.1"],
  ["0.0001", "0.0001"],
  ["-0.0001", "-0.0001"],
  ["1.50000", "1.5"],
  ["19.99", "19.99"],
  ["-19.99", "-19.99"],
  ["123456789.1234", "123456789.1234"],
  ["-987654321.9876", "-987654321.9876"],
  ["999999999.9999", "999999999.9999"],
  ["1000000000", "1000000000"],
  ["-1000000000.0000", "-1000000000"],
];

/** Ways to write a moment, and the moment in milliseconds. */
const MOMENTS: readonly [sent: string, expected: string][] = [
  ["2024-01-15T10:30:00Z", "2024-01-15T10:30:00.000Z"],
  ["2024-01-15t10:30:00z", "2024-01-15T10:30:00.000Z"],
  ["2024-01-15T10:30:00", "2024-01-15T10:30:00.000Z"],
  ["2025-07-15T12:34:56.123456", "2025-07-15T12:34:56.123Z"],
  ["2025-07-15T12:34:56.1Z", "2025-07-15T12:34:56.100Z"],
  ["2024-02-29T23:59:59.999999999Z", "2024-02-29T23:59:59.999Z"],
  ["2024-01-15T10:30:00+05:30", "2024-01-15T05:00:00.000Z"],
  ["2024-12-31T23:30:00.5-00:45", "2025-01-01T00:15:00.500Z"],
  ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"],
];

/** Properties that must come back as they are. */
const PROPERTIES: readonly Record<string, unknown>[] = [
  {},
  { colour: "grün 🟢", empty: "", n: 0, big: 9007199254740991, small: -1.5e-7, yes: true, none: null, list: [] },
  { a: { b: { c: { d: { e: { f: { g: { h: 1 } } } } } } } },
  { list: [1, "two", false, null, [[]], { deep: {} }] },
  { ["k".repeat(128)]: 1, "with space": 2, "a/b~c": 3, "é": 4, "0": 5 },
  JSON.parse('{"__proto__": 1, "constructor": {"prototype": 2}, "toString": "x"}'),
  { text: "x".repeat(16 * 1024 - '{"text":""}'.length) },
  { quotes: '"\\/\b\f\n\r\t\u0001\u2028\u2029', nul: "\u0000", bom: "\ufeff" },
];

const IDS = ["x", "a.b_c:d@e~f+g=h/i-j", "/", "..x", "--", "=", "A".repeat(120)];

/** The cases. */
export const PUBLISH: readonly Behaviour[] = [
  {
    name: "an event is stored and comes back as it was sent",
    run: async (harness) => {
      const { client } = harness;
      const event = sale(harness, 0, { amount: "19.99", properties: { order: 7 } });
      assertEquals(await client.publish(event), { id: event.id, duplicate: false });
      assertEquals(await client.get(event.id), asSeen(event));
    },
  },
  {
    name: "the same event again is a duplicate, also without its timestamp or written in another way",
    run: async (harness) => {
      const { client } = harness;
      const event = sale(harness, 0, { amount: "1.50", properties: { a: 1, b: [2] } });
      await client.publish(event);
      const { timestamp: _timestamp, ...timeless } = event;
      const again: SentEvent[] = [event, timeless, { ...event, amount: "1.5", properties: { b: [2], a: 1 } }];
      for (const each of again) assertEquals(await client.publish(each), { id: event.id, duplicate: true });
      assertEquals(await client.get(event.id), { ...asSeen(event), amount: "1.5" });
    },
  },
  {
    name: "an id with other content is a conflict, and the first copy stays",
    run: async (harness) => {
      const { client } = harness;
      const event = sale(harness, 0);
      await client.publish(event);
      const others: SentEvent[] = [
        { userId: `${event.userId}-2` },
        { eventType: "refund" },
        { amount: "12.5001" },
        { timestamp: iso(harness.day + 1) },
        { properties: { a: 1 } },
      ];
      for (const other of others) {
        const { faults } = await assertRefused(client, () => client.publish({ ...event, ...other }), "conflict");
        assertEquals(faults, [{ field: client.spelling.member("id"), code: "mismatch" }]);
      }
      assertEquals(await client.get(event.id), asSeen(event));
    },
  },
  {
    name: "an event without an id is given a UUIDv7 and can be read by it",
    run: async (harness) => {
      const { client } = harness;
      const { id: _id, ...event } = sale(harness, 0);
      const first = await client.publish(event);
      const second = await client.publish(event);
      assertMatch(first.id, UUID_V7);
      assertMatch(second.id, UUID_V7);
      assertEquals([first.duplicate, second.duplicate, first.id < second.id], [false, false, true]);
      assertEquals(await client.get(second.id), { ...asSeen(sale(harness, 0)), id: second.id });
    },
  },
  {
    name: "amounts are exact, to four digits and a billion in both directions",
    run: async (harness) => {
      const { client } = harness;
      for (const [index, [sent, canonical]] of AMOUNTS.entries()) {
        const event = sale(harness, index, { amount: sent });
        await client.publish(event);
        assertEquals((await client.get(event.id))!.amount, canonical, sent);
      }
    },
  },
  {
    name: "a moment is the same however it is written, cut to milliseconds",
    run: async (harness) => {
      const { client } = harness;
      for (const [index, [sent, expected]] of MOMENTS.entries()) {
        const event = sale(harness, index, { timestamp: sent });
        await client.publish(event);
        assertEquals((await client.get(event.id))!.timestamp, expected, sent);
      }
    },
  },
  {
    name: "a timestamp without a zone is read in the zone of the configuration",
    lab: "the zone is a setting of the hub",
    run: async (harness) => {
      await using lab = await openLab({ naiveZone: "Europe/Berlin" });
      await using clients = await openClients(lab);
      const client = clients[harness.client.protocol];
      const event = sale(harness, 0, { timestamp: "2025-07-15T12:00:00.25" });
      await client.publish(event);
      assertEquals((await client.get(event.id))!.timestamp, "2025-07-15T10:00:00.250Z");
      const page = await client.list({ from: "2025-07-15T12:00:00.250", to: "2025-07-15T12:00:00.251" });
      assertEquals(page.events.map(({ id }) => id), [event.id]);
    },
  },
  {
    name: "an event without a timestamp happens now",
    lab: "the clock is the test's",
    run: async (harness) => {
      const { client } = harness;
      const { timestamp: _timestamp, ...event } = sale(harness, 0);
      await client.publish(event);
      const { clock } = labOf(harness);
      assertEquals((await client.get(event.id))!.timestamp, iso(clock.now()));
      clock.advance(5_000);
      const { timestamp: _other, ...later } = sale(harness, 1);
      await client.publish(later);
      assertEquals((await client.get(later.id))!.timestamp, iso(clock.now()));
    },
  },
  {
    name: "a timestamp may lie a day in the future, and not a millisecond more",
    lab: "the clock is the test's",
    run: async (harness) => {
      const { client } = harness;
      const limit = labOf(harness).clock.now() + DAY;
      const event = sale(harness, 0, { timestamp: iso(limit) });
      await client.publish(event);
      assertEquals((await client.get(event.id))!.timestamp, iso(limit));
      const late = sale(harness, 1, { timestamp: iso(limit + 1) });
      const { faults } = await assertRefused(client, () => client.publish(late), "invalid_argument");
      assertEquals(faults, [{ field: client.spelling.member("timestamp"), code: "too_far_in_future" }]);
    },
  },
  {
    name: "properties come back value by value; none and {} are the same",
    run: async (harness) => {
      const { client } = harness;
      for (const [index, properties] of PROPERTIES.entries()) {
        const event = sale(harness, index, { properties });
        await client.publish(event);
        assertEquals((await client.get(event.id))!.properties, properties);
      }
      const { properties: _properties, ...plain } = sale(harness, 100);
      await client.publish(plain);
      assertEquals((await client.get(plain.id))!.properties, {});
      assertEquals(await client.publish({ ...plain, properties: {} }), { id: plain.id, duplicate: true });
    },
  },
  {
    name: "ids of every allowed character and of 128 characters are taken, and read by",
    run: async (harness) => {
      const { client, label } = harness;
      for (const [index, tail] of IDS.entries()) {
        const id = (label + tail).slice(0, 128);
        await client.publish(sale(harness, index, { id }));
        assertEquals((await client.get(id))!.id, id);
      }
      const longest = label.padEnd(128, "z");
      await client.publish(sale(harness, 99, { id: longest }));
      assertEquals((await client.get(longest))!.id, longest);
    },
  },
  {
    name: "users of 256 code points and event types of 64 characters are taken",
    run: async (harness) => {
      const { client, label } = harness;
      const userId = label + "😀".repeat(256 - label.length);
      const event = sale(harness, 0, { userId, eventType: "T.o:o-l_".padEnd(64, "9") });
      await client.publish(event);
      assertEquals(await client.get(event.id), asSeen(event));
      assertEquals((await client.list({ userId })).events.length, 1);
    },
  },
  {
    name: "the 201st event type of a tenant is refused by name",
    lab: "it would use up the event types of every other case",
    run: async (harness) => {
      const { client } = harness;
      const types = Array.from({ length: 200 }, (_, i) => sale(harness, i, { eventType: `type_${i}` }));
      assertEquals((await client.publishBatch(types)).accepted, 200);
      const more = sale(harness, 200, { eventType: "one_more" });
      const { faults } = await assertRefused(client, () => client.publish(more), "invalid_argument");
      assertEquals(faults, [{ field: client.spelling.member("event_type"), code: "too_many_event_types" }]);
      const { results } = await client.publishBatch([more, sale(harness, 201, { eventType: "type_7" })]);
      assertEquals(results.map(({ status }) => status), ["invalid", "stored"]);
      assert(await client.get(more.id) === null);
    },
  },
];
