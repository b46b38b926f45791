/** What is wrong with an event, told by field in the spelling of the protocol. */
import { assertEquals } from "@std/assert";
import { assertRefused, type SentEvent } from "../clients.ts";
import { type Behaviour, sale } from "./behaviour.ts";

/** Nothing: the member is not sent. */
const MISSING = { userId: undefined, eventType: undefined, amount: undefined };

/** A member that is wrong, and how it is told. */
const FAULTS: readonly [member: string, code: string, event: SentEvent][] = [
  ["id", "too_short", { id: "" }],
  ["id", "too_long", { id: "x".repeat(129) }],
  ["id", "invalid_format", { id: "a b" }],
  ["id", "invalid_format", { id: "ä" }],
  ["id", "invalid_value", { id: "batch" }],
  ["id", "invalid_value", { id: "stream" }],
  ["user_id", "required", { userId: undefined }],
  ["user_id", "too_short", { userId: "" }],
  ["user_id", "too_long", { userId: "x".repeat(257) }],
  ["user_id", "too_long", { userId: "😀".repeat(257) }],
  ["user_id", "invalid_format", { userId: "a\u0000b" }],
  ["user_id", "invalid_format", { userId: "line\nbreak" }],
  ["user_id", "invalid_format", { userId: "c1\u0085" }],
  ["event_type", "required", { eventType: undefined }],
  ["event_type", "too_short", { eventType: "" }],
  ["event_type", "too_long", { eventType: "x".repeat(65) }],
  ["event_type", "invalid_format", { eventType: "1st" }],
  ["event_type", "invalid_format", { eventType: "a b" }],
  ["event_type", "invalid_format", { eventType: "_x" }],
  ["amount", "required", { amount: undefined }],
  ["amount", "too_precise", { amount: "0.00001" }],
  ["amount", "too_precise", { amount: "1.23456" }],
  ["amount", "out_of_range", { amount: "1000000000.0001" }],
  ["amount", "out_of_range", { amount: "-1000000001" }],
  ["amount", "out_of_range", { amount: "123456789012345678901234567890" }],
  ["amount", "invalid_format", { amount: "" }],
  ["amount", "invalid_format", { amount: "NaN" }],
  ["amount", "invalid_format", { amount: "Infinity" }],
  ["amount", "invalid_format", { amount: "1,5" }],
  ["amount", "invalid_format", { amount: " 1" }],
  ["amount", "invalid_format", { amount: "0x10" }],
  ["amount", "invalid_format", { amount: "1." }],
  ["amount", "invalid_format", { amount: ".5" }],
  ["amount", "invalid_format", { amount: "١" }],
  ["timestamp", "invalid_timestamp", { timestamp: "1969-12-31T23:59:59.999Z" }],
  ["timestamp", "too_far_in_future", { timestamp: "9999-12-31T23:59:59Z" }],
  ["properties.$set", "invalid_format", { properties: { $set: 1 } }],
  ["properties.inner.$where", "invalid_format", { properties: { inner: { $where: 1 } } }],
  ["properties.a b", "invalid_format", { properties: { "a b": { "c\u0007": 1 } } }],
  ["properties." + "k".repeat(129), "too_long", { properties: { ["k".repeat(129)]: 1 } }],
  ["properties.a.a.a.a.a.a.a.a", "too_deep", {
    properties: { a: { a: { a: { a: { a: { a: { a: { a: {} } } } } } } } },
  }],
  ["properties", "too_long", { properties: { text: "x".repeat(16 * 1024) } }],
];

/** The place of a fault whose last part is not a plain name. */
const PLACES: Readonly<Record<string, string>> = { "properties.a b": "properties.a b.c\u0007" };

/** The cases. */
export const FIELD_FAULTS: readonly Behaviour[] = [
  {
    name: "each faulty member of an event is named with its code, and nothing is stored",
    run: async (harness) => {
      const { client } = harness;
      for (const [index, [member, code, change]] of FAULTS.entries()) {
        const event = { ...sale(harness, index), ...change };
        const { faults } = await assertRefused(client, () => client.publish(event), "invalid_argument");
        const field = client.spelling.member(PLACES[member] ?? member);
        assertEquals(faults, [{ field, code }], JSON.stringify(change).slice(0, 200));
      }
      assertEquals((await client.list({ userId: `${harness.label}-user` })).events, []);
    },
  },
  {
    name: "in a batch each faulty member is named the same way",
    run: async (harness) => {
      const { client } = harness;
      const events = FAULTS.map(([, , change], index) => ({ ...sale(harness, index), ...change }));
      const { results, ...counts } = await client.publishBatch(events);
      assertEquals(counts, { accepted: 0, duplicates: 0, rejected: FAULTS.length, retryable: 0 });
      assertEquals(
        results.map(({ status, faults }) => [status, ...faults]),
        FAULTS.map(([member, code]) => [
          "invalid",
          { field: client.spelling.batchMember(PLACES[member] ?? member), code },
        ]),
      );
      assertEquals(results.map(({ id }) => id), events.map(({ id }) => id === "" ? emptyId(client.protocol) : id));
    },
  },
  {
    name: "everything that is wrong is told at once",
    run: async (harness) => {
      const { client } = harness;
      const event = {
        ...sale(harness, 0, { id: "a b", timestamp: "1960-01-01T00:00:00Z", properties: { $a: 1, b: { "": 2 } } }),
        ...MISSING,
      };
      const { faults } = await assertRefused(client, () => client.publish(event), "invalid_argument");
      const { member } = client.spelling;
      assertEquals(faults, [
        { field: member("id"), code: "invalid_format" },
        { field: member("user_id"), code: "required" },
        { field: member("event_type"), code: "required" },
        { field: member("amount"), code: "required" },
        { field: member("timestamp"), code: "invalid_timestamp" },
        { field: member("properties.$a"), code: "invalid_format" },
        { field: member("properties.b."), code: "too_short" },
      ]);
    },
  },
];

/** A result of gRPC cannot tell an empty id from none. */
function emptyId(protocol: string): string | null {
  return protocol.startsWith("grpc") ? null : "";
}
