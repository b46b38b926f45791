/** Mutations: events in, with everything that is wrong told at once. */
import { assert, assertEquals } from "@std/assert";
import { BATCH_EVENTS_MAX } from "../../../src/limits.ts";
import type { EventStore } from "../../../src/storage.ts";
import { graphqlTest, open } from "./harness.ts";

const PUBLISH = "mutation ($input: EventInput!) { publishEvent(input: $input) { id duplicate } }";
const PUBLISH_BATCH = `mutation ($inputs: [EventInput!]!) { publishEvents(inputs: $inputs) {
  accepted duplicates rejected retryable results { index id status errors { pointer code detail } } } }`;
const INPUT = { id: "a", userId: "ann", eventType: "purchase", amount: "12.50" };

graphqlTest("an event is stored, and the same again is a duplicate", async () => {
  await using hub = await open();
  const input = { ...INPUT, timestamp: "2025-07-15T12:00:00", properties: { a: [1, { b: null }] } };
  assertEquals((await hub.ask(PUBLISH, { variables: { input } })).data, {
    publishEvent: { id: "a", duplicate: false },
  });
  assertEquals((await hub.ask(PUBLISH, { variables: { input } })).data, { publishEvent: { id: "a", duplicate: true } });
  const stored = await hub.hub.get("default", "a");
  assertEquals([stored.userId, stored.eventType, stored.amount, stored.source], [
    "ann",
    "purchase",
    125_000,
    "graphql",
  ]);
  assertEquals(stored.timestamp, Date.UTC(2025, 6, 15, 12));
  assertEquals(stored.properties, '{"a":[1,{"b":null}]}');
});

graphqlTest("an event without an id is given one", async () => {
  await using hub = await open();
  const { data } = await hub.ask(PUBLISH, { variables: { input: { ...INPUT, id: null } } });
  assert(/^[0-9a-f-]{36}$/.test(data.publishEvent.id));
});

graphqlTest("the same id with other content is a conflict", async () => {
  await using hub = await open();
  await hub.ask(PUBLISH, { variables: { input: INPUT } });
  const { data, errors } = await hub.ask(PUBLISH, { variables: { input: { ...INPUT, amount: 1 } } });
  assertEquals(data, null);
  assertEquals(errors[0]?.extensions.code, "CONFLICT");
  assertEquals(errors[0]?.extensions.errors?.[0]?.pointer, "/id");
  assertEquals(errors[0]?.path, ["publishEvent"]);
});

graphqlTest("amounts are exact, as a string, a JSON number, and a number written in the query", async () => {
  await using hub = await open();
  const written = ["0.1", "-0.3", "999999999.9999", "1.50000", "7", "1e2", '"0.7"'];
  const exact = ["0.1", "-0.3", "999999999.9999", "1.5", "7", "100", "0.7"];
  for (const [i, amount] of written.entries()) {
    const input = `{ id: "l${i}", userId: "ann", eventType: "purchase", amount: ${amount} }`;
    const { errors } = await hub.ask(`mutation { publishEvent(input: ${input}) { id } }`);
    assertEquals(errors, [], amount);
    const { data } = await hub.ask(`{ event(id: "l${i}") { amountExact } }`);
    assertEquals(data.event.amountExact, exact[i]);
  }
  for (const [i, amount] of [0.1, 1e8, 100000.0001, "-12.5"].entries()) {
    const { errors } = await hub.ask(PUBLISH, { variables: { input: { ...INPUT, id: `v${i}`, amount } } });
    assertEquals(errors, [], String(amount));
  }
  for (const amount of ["0.00001", "1000000000.0001", "1e9999", "0.12345678901234567890123", "true", "[1]", "X"]) {
    const input = `{ userId: "ann", eventType: "purchase", amount: ${amount} }`;
    const { errors } = await hub.ask(`mutation { publishEvent(input: ${input}) { id } }`);
    assertEquals(errors[0]?.extensions.code, "BAD_USER_INPUT", amount);
    assertEquals(errors[0]?.extensions.errors?.[0]?.pointer, "/amount", amount);
  }
});

graphqlTest("all faulty fields are told at once, in the spelling of the schema", async () => {
  await using hub = await open();
  const input = { id: "not an id", userId: "", timestamp: 12, properties: { $a: 1 } };
  const { data, errors } = await hub.ask(PUBLISH, { variables: { input } });
  assertEquals([data, errors.length, errors[0]?.extensions.code], [null, 1, "BAD_USER_INPUT"]);
  assertEquals(errors[0]?.extensions.errors?.map((error) => [error.pointer, error.code]), [
    ["/id", "invalid_format"],
    ["/userId", "too_short"],
    ["/eventType", "required"],
    ["/amount", "required"],
    ["/timestamp", "invalid_type"],
    ["/properties/$a", "invalid_format"],
  ]);
  assert(!JSON.stringify(errors).includes("user_id") && !JSON.stringify(errors).includes("event_type"));
});

graphqlTest("a value of the wrong type is refused with its place, from variables and in the query", async () => {
  await using hub = await open();
  const inputs = [INPUT, { ...INPUT, userId: 5, colour: "red" }];
  const { errors } = await hub.ask(PUBLISH_BATCH, { variables: { inputs } });
  assertEquals(errors.map((error) => error.extensions.code), ["BAD_USER_INPUT", "BAD_USER_INPUT"]);
  assertEquals(
    errors.map((error) => error.extensions.errors?.[0]).map((error) => [error?.parameter, error?.pointer, error?.code]),
    [
      ["$inputs", "/1/userId", "invalid_type"],
      ["$inputs", "/1/colour", "unknown_field"],
    ],
  );
  const written = await hub.ask(`mutation { publishEvent(input: { userId: 5, colour: "red" }) { id } }`);
  assertEquals(
    written.errors.map((error) => error.extensions.errors?.[0]).map((
      error,
    ) => [error?.parameter, error?.pointer, error?.code]),
    [
      ["input", "/userId", "invalid_type"],
      ["input", "/colour", "unknown_field"],
    ],
  );
  const missing = await hub.ask(PUBLISH);
  assertEquals(missing.errors[0]?.extensions.errors?.[0]?.code, "required");
  assertEquals((await hub.ask("{ lastEvents { id } }")).data, { lastEvents: [] });
});

graphqlTest("one bad event of a batch harms no other, and the answer says which and why", async () => {
  await using hub = await open();
  await hub.publish("old");
  const inputs = [
    INPUT,
    { id: "b", userId: "ann", eventType: "purchase" },
    { ...INPUT, id: "c", timestamp: "soon" },
    { ...INPUT, id: "old", amount: 99 },
    INPUT,
    {},
    { ...INPUT, id: "d" },
  ];
  const { data, errors } = await hub.ask(PUBLISH_BATCH, { variables: { inputs } });
  assertEquals(errors, []);
  const { results, ...counts } = data.publishEvents;
  assertEquals(counts, { accepted: 2, duplicates: 1, rejected: 4, retryable: 0 });
  type Result = { index: number; id: string | null; status: string; errors: { pointer: string; code: string }[] };
  assertEquals(results.map((each: Result) => [each.index, each.id, each.status]), [
    [0, "a", "STORED"],
    [1, "b", "INVALID"],
    [2, "c", "INVALID"],
    [3, "old", "CONFLICT"],
    [4, "a", "DUPLICATE"],
    [5, null, "INVALID"],
    [6, "d", "STORED"],
  ]);
  assertEquals(results[1].errors, [{ pointer: "/amount", code: "required", detail: "amount is required" }]);
  assertEquals(results[5].errors.map((error: { pointer: string }) => error.pointer), [
    "/userId",
    "/eventType",
    "/amount",
  ]);
  assertEquals(results[0].errors, []);
});

graphqlTest("an empty batch is one, and one event too many stores nothing", async () => {
  await using hub = await open();
  const empty = await hub.ask(PUBLISH_BATCH, { variables: { inputs: [] } });
  assertEquals(empty.data.publishEvents, { accepted: 0, duplicates: 0, rejected: 0, retryable: 0, results: [] });
  const inputs = Array.from({ length: BATCH_EVENTS_MAX + 1 }, (_, i) => ({ ...INPUT, id: `e${i}` }));
  const { errors } = await hub.ask(PUBLISH_BATCH, { variables: { inputs } });
  assertEquals(errors[0]?.extensions.code, "PAYLOAD_TOO_LARGE");
  const full = await hub.ask(PUBLISH_BATCH, { variables: { inputs: inputs.slice(1) } });
  assertEquals(full.data.publishEvents.accepted, BATCH_EVENTS_MAX);
});

/** A store that never knows what became of an event. */
function doubtful(store: EventStore): EventStore {
  return Object.assign(Object.create(store) as EventStore, {
    append: (events: readonly unknown[]) => Promise.resolve(events.map(() => "unavailable")),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  });
}

graphqlTest("an event in doubt is an error to retry, with the id the hub gave it", async () => {
  await using hub = await open({ hub: { wrapStore: doubtful } });
  const { id: _id, ...input } = INPUT;
  const { errors } = await hub.ask(PUBLISH, { variables: { input } });
  const { code, id, retryAfter } = errors[0]!.extensions;
  assertEquals([code, retryAfter], ["UNAVAILABLE", 1]);
  assert(/^[0-9a-f-]{36}$/.test(id as string));
  const batch = await hub.ask(PUBLISH_BATCH, { variables: { inputs: [INPUT, { ...INPUT, id: "b" }] } });
  assertEquals([batch.data.publishEvents.retryable, batch.data.publishEvents.accepted], [2, 0]);
  assertEquals(batch.data.publishEvents.results[1].status, "UNAVAILABLE");
});
