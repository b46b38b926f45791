/**
 * A Redis that answers and refuses: out of memory, a replica, another password, rights taken away, a key of another kind.
 * Storing and counting go on, health says why, the log says it once, and everything mends itself.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { HubError } from "../../src/errors.ts";
import { RedisConnection } from "../../src/stream/redis_connection.ts";
import { inboundWorker } from "../../src/stream/redis_inbound.ts";
import { rollupWorker } from "../../src/stream/redis_rollup.ts";
import { reasonOf } from "../../src/worker.ts";
import { recordLogs } from "../logs.ts";
import { freePort, type RedisServer } from "../services/redis.ts";
import { events, TENANT } from "../storage/conformance/events.ts";
import { FakeStore } from "./publication_fake.ts";
import { QUICK_GROUP, running } from "./redis.ts";
import { openParts, Reader, redisTest, until, whenCounted } from "./redis_hub.ts";

interface Refusal {
  readonly name: string;
  /** What health must say. */
  readonly reason: RegExp;
  begin(server: RedisServer): Promise<unknown>;
  end(server: RedisServer): Promise<unknown>;
}

const REFUSALS: readonly Refusal[] = [
  {
    name: "out of memory",
    reason: /OOM command not allowed/,
    begin: (server) => server.send("CONFIG", "SET", "maxmemory", 1),
    end: (server) => server.send("CONFIG", "SET", "maxmemory", 0),
  },
  {
    name: "a replica of another",
    reason: /READONLY/,
    begin: (server) => server.send("REPLICAOF", "127.0.0.1", freePort()),
    end: (server) => server.send("REPLICAOF", "NO", "ONE"),
  },
  {
    name: "behind another password",
    reason: /NOAUTH|WRONGPASS/,
    begin: async (server) => {
      await server.send("CONFIG", "SET", "requirepass", "another");
      await server.cut();
    },
    end: (server) => server.send("CONFIG", "SET", "requirepass", ""),
  },
  {
    name: "without the right to add",
    reason: /NOPERM|can't run this command|ACL failure/,
    begin: (server) => server.send("ACL", "SETUSER", "default", "-xadd", "-xreadgroup"),
    end: (server) => server.send("ACL", "SETUSER", "default", "+@all"),
  },
  {
    name: "holding a key of another kind",
    reason: /WRONGTYPE/,
    begin: async (server) => {
      await server.send("DEL", "events");
      await server.send("SET", "events", "text");
    },
    end: (server) => server.send("DEL", "events"),
  },
];

for (const { name, reason, begin, end } of REFUSALS) {
  redisTest(`${name}, storing and counting go on, it is told why, and mends itself`, async (server) => {
    await using logs = await recordLogs();
    await using parts = await openParts(server.url);
    const { source, stream } = parts;
    await using reader = new Reader(stream, stream.cursor(TENANT, await stream.head()));
    const all = events(20);
    await source.append(all);
    await reader.whenSeen(all);
    await stream.check();
    await begin(server);
    const startedAt = performance.now();
    for (let i = 0; i < 40; i++) {
      const batch = events(5);
      await source.append(batch);
      all.push(...batch);
    }
    assert(performance.now() - startedAt < 1_000, "storing waited for Redis");
    await until("everything is counted without Redis", () => {
      return [...source.documents.values()].every(({ counted }) => counted === 1);
    });
    await until("health says why", async () => {
      const said = await stream.check().then(() => "", reasonOf);
      return reason.test(said);
    });
    await logs.whenLogged(/Events cannot be published/);
    await end(server);
    await reader.whenSeen(all);
    await whenCounted(source);
    await until("health is well", () => stream.check().then(() => true, () => false));
    // Those who sweep and those who count name cells, each for themselves.
    const twice = /^Changed cells|^Epoch|^\d+ events were/;
    for (const line of new Set(logs.lines.filter((line) => !twice.test(line)))) {
      assertEquals(logs.lines.filter((one) => one === line).length, 1, line);
    }
  });
}

redisTest(
  "a server that is out of memory because of inbound events is emptied, by a hub that starts then",
  async (server) => {
    const taken = new Set<string>();
    const hub = {
      publishBatch: (inputs: readonly unknown[]) => {
        for (const input of inputs) taken.add((input as { id: string }).id);
        return Promise.resolve(inputs.map((input, index) => ({
          index,
          id: (input as { id: string }).id,
          status: "stored" as const,
        })));
      },
    };
    const options = {
      url: server.url,
      source: new FakeStore(),
      hub,
      deadLetters: { add: () => Promise.resolve(0) },
      now: Date.now,
      ...QUICK_GROUP,
    } as const;
    const add = (i: number) => server.send("XADD", "events:in", "*", "id", `in-${i}`, "user_id", "ann");
    await add(0);
    {
      await using _first = running(inboundWorker(options));
      await until("the first is taken", () => taken.size === 1);
    }
    for (let i = 1; i <= 3_000; i++) await add(i);
    await server.send("CONFIG", "SET", "maxmemory", 1);
    await using _running = running(inboundWorker(options));
    await until("all are taken", async () => await server.send("XLEN", "events:in") === 0);
    assertEquals(taken.size, 3_001);
  },
);

redisTest("neither passwords nor events are in what is said of a refusal", async (server) => {
  await server.send("CONFIG", "SET", "requirepass", "right");
  await using logs = await recordLogs();
  {
    const url = server.url.replace("//", "//:s3cret@");
    await using connection = new RedisConnection(url, { name: "test", timeoutMs: 300 });
    const error = await assertRejects(() => connection.send("PING"), HubError);
    assertMatch(reasonOf(error), /WRONGPASS/);
    assert(!Deno.inspect(error, { depth: 9 }).includes("s3cret"));
  }
  assert(!Deno.inspect(logs.records, { depth: 9 }).includes("s3cret"), "the log has the password");
  await server.send("CONFIG", "SET", "requirepass", "");
  await using connection = new RedisConnection(server.url, { name: "test" });
  await server.send("SET", "events", "text");
  const refusal = await assertRejects(
    () => connection.send("XADD", "events", "*", "user_id", "ann"),
    Error,
    "WRONGTYPE",
  );
  assert(!Deno.inspect(refusal, { depth: 9 }).includes("ann"));
});

redisTest("a Redis that is away is told of once, and once when it is back", async (server) => {
  await using logs = await recordLogs();
  await using parts = await openParts(server.url, { ageMs: 60_000 });
  const { source, stream } = parts;
  const before = events(5);
  await source.append(before);
  await stream.whenPublished();
  const port = server.port;
  server.freeze();
  await logs.whenLogged(/Group rollup cannot go on/);
  await logs.whenLogged(/The stream cannot be followed/);
  // Long enough for several tries.
  const passed = Promise.withResolvers<void>();
  setTimeout(passed.resolve, 3_000);
  await passed.promise;
  server.thaw();
  await logs.whenLogged(/Group rollup goes on/);
  const after = events(5);
  await source.append(after);
  await whenCounted(source);
  assertEquals(server.port, port);
  const times = (pattern: RegExp) => logs.lines.filter((line) => pattern.test(line)).length;
  assertEquals([times(/Group rollup cannot go on/), times(/Group rollup goes on/)], [1, 1]);
  assertEquals([times(/The stream cannot be followed/), times(/The stream is followed again/)], [1, 1]);
  assert(times(/Redis cannot be reached/) <= 1);
});

redisTest(
  "a group of others that is gone holds no entries, and what it was given stays its own matter",
  async (server) => {
    await server.send("XGROUP", "CREATE", "events", "gone", "0", "MKSTREAM");
    await using parts = await openParts(server.url, { entriesMax: 500 });
    const { source, stream } = parts;
    const all = events(300);
    await source.append(all);
    await stream.whenPublished();
    await server.send("XREADGROUP", "GROUP", "gone", "somebody", "COUNT", 300, "STREAMS", "events", ">");
    for (let i = 0; i < 20; i++) await source.append(events(300));
    await stream.whenPublished();
    await whenCounted(source);
    const length = Number(await server.send("XLEN", "events"));
    assert(length < 900, `${length} entries are kept`);
    await using _second = running(rollupWorker({ url: server.url, source, ...QUICK_GROUP }));
    assertEquals((await server.send("XPENDING", "events", "gone") as readonly unknown[])[0], 300);
  },
);
