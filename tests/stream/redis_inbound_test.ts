/** Inbound events on a real Redis: each is stored once or is a dead letter, whatever fails on the way. */
import { assert, assertEquals } from "@std/assert";
import type { HubApi } from "../../src/hub.ts";
import { MemoryDeadLetters } from "../../src/storage/memory_dead_letters.ts";
import { type InboundOptions, inboundWorker } from "../../src/stream/redis_inbound.ts";
import { openTestHub, type TestHubOptions } from "../harness.ts";
import type { RedisServer } from "../services/redis.ts";
import { altered } from "../altered.ts";
import { FakeStore } from "./publication_fake.ts";
import { running } from "./redis.ts";
import { redisTest, until } from "./redis_hub.ts";

const FIELDS = ["user_id", "ann", "event_type", "purchase", "amount", "12.50"] as const;
const IN = "events:in";

function open(server: RedisServer, options: TestHubOptions & { readonly hub?: Pick<HubApi, "publishBatch"> } = {}) {
  const test = openTestHub(options);
  const letters = new MemoryDeadLetters();
  const source = new FakeStore();
  const worker = (more: Partial<InboundOptions> = {}) =>
    running(inboundWorker({
      url: server.url,
      source,
      hub: options.hub ?? test.hub,
      deadLetters: letters,
      now: () => 7,
      blockMs: 50,
      claimIdleMs: 100,
      claimEveryMs: 50,
      timeoutMs: 500,
      ...more,
    }));
  const first = worker();
  return {
    ...test,
    letters,
    worker,
    list: async (tenant = "default") => (await letters.list(tenant, { limit: 100 })).letters,
    whenEmpty: () => until("nothing waits", async () => await server.send("XLEN", IN) === 0),
    [Symbol.asyncDispose]: async () => {
      await first[Symbol.asyncDispose]();
      await test[Symbol.asyncDispose]();
    },
  };
}

redisTest("inbound bytes that are not UTF-8 are a dead letter, and never an event of another user", async (server) => {
  await using parts = open(server);
  const add = (name: string) =>
    server.send(
      "EVAL",
      `return redis.call('XADD', KEYS[1], '*', 'user_id', '${name}', 'event_type', 'purchase', 'amount', '1')`,
      1,
      IN,
    );
  const [latin1] = [await add("M\\252ller"), await add("M\\195\\188ller"), await add("M\\239\\191\\189ller")];
  await parts.whenEmpty();
  const letters = await parts.list();
  assertEquals(letters.map(({ code, detail }) => [code, detail]), [["malformed", "A field of the entry is not UTF-8"]]);
  assert(letters[0]!.id.endsWith(`:${latin1}`));
  const { events } = await parts.hub.list({ tenant: "default" }, { limit: 10, order: "asc" });
  assertEquals(events.map(({ userId }) => userId).toSorted(), ["M\ufffdller", "Müller"].toSorted());
});

redisTest(
  "inbound entries by field names or as JSON become events of their tenant and leave the stream",
  async (server) => {
    await using parts = open(server);
    const first = String(await server.send("XADD", IN, "*", ...FIELDS, "properties", '{"a":[1]}'));
    await server.send(
      "XADD",
      IN,
      "*",
      "tenant",
      "shop",
      "event_id",
      "x-1",
      ...FIELDS,
      "timestamp",
      "2025-07-15T12:00:00Z",
    );
    await server.send(
      "XADD",
      IN,
      "*",
      "tenant",
      "shop",
      "payload",
      '{"id":"x-2","user_id":"bob","event_type":"return","amount":3}',
    );
    await parts.whenEmpty();
    const marker = await server.send("GET", "events:in:epoch");
    const named = await parts.hub.get("default", `in:${marker}:${first}`);
    assertEquals([named.amount, named.source, named.properties], [125_000, "redis", '{"a":[1]}']);
    assertEquals((await parts.hub.get("shop", "x-1")).timestamp, Date.UTC(2025, 6, 15, 12));
    assertEquals((await parts.hub.get("shop", "x-2")).userId, "bob");
    assertEquals(await parts.list(), []);
    assertEquals((await server.send("XPENDING", IN, "ingest") as readonly number[])[0], 0);
  },
);

redisTest(
  "inbound entries that can never be taken are dead letters with the reason, and harm no other",
  async (server) => {
    await using parts = open(server);
    await parts.hub.publish({ id: "taken", user_id: "u", event_type: "purchase", amount: 1 }, {
      tenant: "default",
      source: "rest",
    });
    const bad: readonly (readonly [string, readonly string[]])[] = [
      ["invalid_argument", ["user_id", "ann", "event_type", "purchase", "amount", "x", "colour", "red"]],
      ["conflict", ["id", "taken", ...FIELDS]],
      ["malformed", ["payload", "{"]],
      ["malformed", ["payload", "{}", "user_id", "ann"]],
      ["malformed", [...FIELDS, "properties", "nonsense"]],
      ["invalid_argument", ["payload", "[1]"]],
      ["invalid_argument", ["tenant", "Not A Tenant", ...FIELDS]],
      ["payload_too_large", ["payload", "x".repeat(70_000)]],
    ];
    for (const [, fields] of bad) {
      await server.send("XADD", IN, "*", ...fields);
      await server.send("XADD", IN, "*", ...FIELDS);
    }
    await parts.whenEmpty();
    const letters = (await parts.list()).toReversed();
    assertEquals(letters.map(({ code }) => code).sort(), bad.map(([code]) => code).sort());
    const invalid = letters.find(({ errors }) => errors.length === 2)!;
    assertEquals(invalid.errors.map(({ pointer }) => pointer), ["/amount", "/colour"]);
    assertEquals([invalid.userId, invalid.failedAt], ["ann", 7]);
    assertEquals(JSON.parse(invalid.payload).colour, "red");
    const { events } = await parts.hub.list({ tenant: "default" }, { limit: 100, order: "asc" });
    assertEquals(events.length, 1 + bad.length);
  },
);

redisTest("inbound entries wait while the store is away, and none becomes a dead letter", async (server) => {
  let down = true;
  let refused = 0;
  const test: TestHubOptions = {
    wrapStore: (store) =>
      altered(store, {
        append: (events) => {
          if (!down) return store.append(events);
          refused += events.length;
          return Promise.resolve(events.map(() => "unavailable" as const));
        },
      }),
  };
  await using parts = open(server, test);
  for (let i = 0; i < 10; i++) await server.send("XADD", IN, "*", "id", `e-${i}`, ...FIELDS);
  // The worker backs off with what it had read by then; the others wait in the stream.
  await until("some were tried", () => refused > 0);
  down = false;
  await parts.whenEmpty();
  assertEquals(await parts.list(), []);
  assertEquals((await parts.hub.list({ tenant: "default" }, { limit: 100, order: "asc" })).events.length, 10);
});

redisTest(
  "an inbound entry that makes the hub fail five times is put aside, its neighbours are stored",
  async (server) => {
    const sound = openTestHub();
    let failures = 0;
    const hub: Pick<HubApi, "publishBatch"> = {
      publishBatch: (inputs, sender) => {
        if (!inputs.some((input) => (input as { id: string }).id === "poison")) {
          return sound.hub.publishBatch(
            inputs,
            sender,
          );
        }
        if (inputs.length === 1) failures += 1;
        return Promise.reject(new TypeError("a fault of the hub"));
      },
    };
    await using parts = open(server, { hub });
    for (const id of ["a", "poison", "b"]) await server.send("XADD", IN, "*", "id", id, ...FIELDS);
    await parts.whenEmpty();
    assertEquals(failures, 5);
    const [letter, ...others] = await parts.list();
    assertEquals([letter?.code, letter && JSON.parse(letter.payload).id, others.length], ["internal", "poison", 0]);
    assert(await sound.hub.get("default", "a") && await sound.hub.get("default", "b"));
    await sound[Symbol.asyncDispose]();
  },
);

redisTest("inbound workers that are stopped, cut off and beside others store each entry once", async (server) => {
  await using parts = open(server);
  const adding = (async () => {
    for (let i = 0; i < 300; i++) await server.send("XADD", IN, "*", ...FIELDS);
  })();
  for (let round = 0; round < 5; round++) {
    await using _other = parts.worker();
    const before = (await parts.store.health()).detail;
    await until(
      "something was stored",
      async () => (await parts.store.health()).detail !== before || await server.send("XLEN", IN) === 0,
    );
    await server.cut();
  }
  await adding;
  await parts.whenEmpty();
  const { events } = await parts.hub.list({ tenant: "default" }, { limit: 1_000, order: "asc" });
  assertEquals(events.length, 300);
  assertEquals(await parts.list(), []);
});
