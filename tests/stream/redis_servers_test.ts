/** One Redis for two databases, and two Redis servers beside one: nobody is given the events of others, or silently none. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { HubError } from "../../src/errors.ts";
import { RedisStream } from "../../src/stream/redis.ts";
import { type InboundOptions, inboundWorker } from "../../src/stream/redis_inbound.ts";
import { reasonOf } from "../../src/worker.ts";
import { recordLogs } from "../logs.ts";
import { TcpProxy } from "../services/proxy.ts";
import { RedisServer } from "../services/redis.ts";
import { events, idsOf, TENANT } from "../storage/conformance/events.ts";
import { idsIn, readAll } from "./conformance/reading.ts";
import { FakeStore } from "./publication_fake.ts";
import { QUICK, QUICK_GROUP, running } from "./redis.ts";
import { openParts, Reader, redisTest, silent, until, whenCounted } from "./redis_hub.ts";

const REPLACED = /Other processes of this database use another Redis.*EVENTHUB_STREAM_URL/;
const FOREIGN = /"events" and "events:…" in Redis belong to another database.*EVENTHUB_STREAM_PREFIX/;

/** Why a stream cannot be used, as health tells it. */
async function reasonAgainst(stream: RedisStream): Promise<string> {
  const error = await assertRejects(() => stream.check(), HubError);
  assertEquals(error.code, "unavailable");
  return reasonOf(error);
}

async function cursorOf(stream: RedisStream): Promise<string> {
  return stream.cursor(TENANT, await stream.head());
}

/** Inbound events are stored nowhere; `take` is called for those that would be. */
function inboundOptions({ url, source, take }: { url: string; source: FakeStore; take?: () => void }): InboundOptions {
  return {
    url,
    source,
    hub: {
      publishBatch: (inputs) => {
        take?.();
        return Promise.resolve(inputs.map((_, index) => ({ index, id: String(index), status: "stored" as const })));
      },
    },
    deadLetters: { add: () => Promise.resolve(0) },
    now: () => 7,
    ...QUICK_GROUP,
  };
}

redisTest(
  "two databases on one prefix: the second is told so, counts by itself, and the first notices nothing",
  async (server) => {
    await using logs = await recordLogs();
    // Its own sweep would hide that another took its entries.
    await using first = await openParts(server.url, { ageMs: 60_000 });
    await using reader = new Reader(first.stream, await cursorOf(first.stream));
    const ofFirst = events(20);
    await first.source.append(ofFirst);
    await reader.whenSeen(ofFirst);
    await using second = await openParts(server.url);
    const ofSecond = events(20);
    await second.source.append(ofSecond);
    const more = events(20);
    await first.source.append(more);
    await until(
      "the second is counted",
      () => [...second.source.documents.values()].every(({ counted }) => counted === 1),
    );
    await whenCounted(first.source);
    await reader.whenSeen(more);
    assertEquals([reader.ids, reader.resets], [idsOf([...ofFirst, ...more]), []]);
    assertEquals(await server.send("XLEN", "events"), 40);
    assertMatch(await reasonAgainst(second.stream), FOREIGN);
    for (const start of [{ at: "latest" }, { at: "earliest" }, { receivedAt: 0 }] as const) {
      const error = await assertRejects(() => second.stream.open(TENANT, start), HubError);
      assertEquals(error.code, "unavailable");
    }
    assertEquals(logs.lines.filter((line) => FOREIGN.test(line)).length, 1);
    // An erasure in the one database is none in the other.
    assertEquals(await second.stream.forget(TENANT, "user-1"), 0);
    assertEquals(await server.send("XLEN", "events"), 40);
  },
);

redisTest("what comes in by the keys of another database is not for this one", async (server) => {
  await using first = await openParts(server.url, { ageMs: 60_000 });
  await first.stream.check();
  await server.send("XADD", "events:in", "*", "user_id", "ann", "event_type", "purchase", "amount", "1");
  let taken = 0;
  const { url } = server;
  const worker = inboundWorker(inboundOptions({ url, source: new FakeStore(), take: () => taken += 1 }));
  await using _second = running(worker);
  await until("the second is refused", () => worker.trouble !== null);
  assertEquals([taken, await server.send("XLEN", "events:in")], [0, 1]);
  await using _worker = running(inboundWorker(inboundOptions({ url, source: first.source })));
  await until("the first takes it", async () => await server.send("XLEN", "events:in") === 0);
  assertEquals(taken, 0);
});

redisTest("a prefix is taken over on purpose by deleting its keys", async (server) => {
  {
    await using first = await openParts(server.url, { ageMs: 60_000 });
    await first.source.append(events(20));
    await whenCounted(first.source);
  }
  await using second = await openParts(server.url);
  const all = events(20);
  await second.source.append(all);
  await until("it is refused", async () => FOREIGN.test(await reasonAgainst(second.stream)));
  await server.send("DEL", ...await server.send("KEYS", "events*") as readonly string[]);
  await until("it is used", () => second.stream.check().then(() => true, () => false));
  const { position } = await second.stream.open(TENANT, { at: "earliest" });
  await using reader = new Reader(second.stream, second.stream.cursor(TENANT, position));
  await reader.whenSeen(all);
  await whenCounted(second.source);
});

redisTest("the stream of an earlier version, whose marker names no database, is taken over", async (server) => {
  const source = new FakeStore();
  const [, runId = ""] = /run_id:(\w+)/.exec(String(await server.send("INFO", "server"))) ?? [];
  const marker = "0123456789abcdef0123456789abcdef";
  await server.send("SET", "events:epoch", marker);
  const startedAt = Date.now() - 1_000;
  await source.beginEpoch({ number: 1, startedAt, lostUntil: startedAt, followedAt: startedAt, runId, marker }, 0);
  await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
  await stream.check();
  const { marker: now } = (await source.epochs()).at(-1)!;
  assertEquals([now, now.split(".")[0]], [await server.send("GET", "events:epoch"), await source.database()]);
  // Two databases cannot both have it.
  await using other = await RedisStream.open({ url: server.url, source: new FakeStore(), ...QUICK });
  assertMatch(await reasonAgainst(other), FOREIGN);
});

/** What the processes of a former Redis are opened with: they soon ask whether it is still in use. */
const SOON = { compareMs: 50 } as const;

redisTest(
  "another Redis is in use: who follows the former one is told, and misses nothing in the other",
  async (server) => {
    await using logs = await recordLogs();
    await using other = await RedisServer.start();
    const source = new FakeStore();
    await using former = await openParts(server.url, { ...SOON, source: silent(source) });
    await former.stream.check();
    const cursor = await cursorOf(former.stream);
    await using current = await RedisStream.open({ url: other.url, source, ...QUICK });
    const woken = Promise.withResolvers<void>();
    former.stream.watch(() => woken.resolve());
    const all = events(20);
    await source.append(all);
    await current.whenPublished();
    // A reader that waits for entries which will never come is woken to be told.
    await woken.promise;
    await until("the former one is given up", () => former.stream.check().then(() => false, () => true));
    assertMatch(await reasonAgainst(former.stream), REPLACED);
    const error = await assertRejects(() => former.stream.open(TENANT, { cursor }), HubError);
    assertEquals(error.code, "unavailable");
    assertEquals(logs.lines.filter((line) => REPLACED.test(line)).length, 1);
    const { position, reset } = await current.open(TENANT, { cursor });
    assertEquals(reset, { reason: "epoch", mode: "replay" });
    assertEquals(idsIn(await readAll(current, { after: position })), idsOf(all));
    assertEquals((await source.epochs()).length, 2);
  },
);

redisTest("what only a former Redis was given is counted, and published in the one that is in use", async (server) => {
  await using other = await RedisServer.start();
  const source = new FakeStore();
  // It asks too late, so that it publishes in the former one.
  await using former = await openParts(server.url, { source, compareMs: 3_600_000 });
  await former.stream.check();
  await using current = await openParts(other.url, { ...SOON, source: silent(source) });
  await using reader = new Reader(current.stream, await cursorOf(current.stream));
  const all = events(20);
  await source.append(all);
  await until("they are in the former one", async () => await server.send("XLEN", "events") === 20);
  await reader.whenSeen(all);
  await whenCounted(source);
  assertEquals(reader.resets, []);
});

redisTest(
  "a cursor of the Redis that is in use tells who has not asked yet, instead of all over again",
  async (server) => {
    await using other = await RedisServer.start();
    const source = new FakeStore();
    const late = { ...QUICK, compareMs: 3_600_000 };
    await using former = await RedisStream.open({ url: server.url, source, ...late });
    await source.append(events(20));
    await former.whenPublished();
    await using current = await RedisStream.open({ url: other.url, source: silent(source), ...late });
    const after = await current.head();
    const cursor = current.cursor(TENANT, after);
    const error = await assertRejects(() => former.open(TENANT, { cursor }), HubError);
    assertEquals(error.code, "unavailable");
    await assertRejects(() => former.read({ after, limit: 10, tenant: TENANT }), HubError);
    assertMatch(await reasonAgainst(former), REPLACED);
  },
);

redisTest("an erasure in a former Redis does not pass for one in the Redis that is in use", async (server) => {
  await using other = await RedisServer.start();
  const source = new FakeStore();
  const late = { ...QUICK, compareMs: 3_600_000 };
  await using former = await RedisStream.open({ url: server.url, source, ...late });
  await former.check();
  await using current = await RedisStream.open({ url: other.url, source: silent(source), ...late });
  await current.check();
  const error = await assertRejects(() => former.forget(TENANT, "user-1"), HubError);
  assertEquals(error.code, "unavailable");
  assertEquals(await current.forget(TENANT, "user-1"), 0);
});

redisTest("where nobody uses the other Redis any more, the former one is used again", async (server) => {
  await using other = await RedisServer.start();
  const source = new FakeStore();
  await using former = await openParts(server.url, { ...SOON, source, followedMs: 500 });
  await using reader = new Reader(former.stream, await cursorOf(former.stream));
  {
    await using current = await RedisStream.open({ url: other.url, source: silent(source), ...SOON, ...QUICK });
    await current.check();
    await until("the former one is given up", () => former.stream.check().then(() => false, () => true));
  }
  const all = events(20);
  await source.append(all);
  await reader.whenSeen(all);
  await whenCounted(source);
  assertEquals((await source.epochs()).length, 3);
});

redisTest(
  "while the store is away nobody can follow the other Redis, and the former one stays unused",
  async (server) => {
    await using other = await RedisServer.start();
    const source = new FakeStore();
    await using former = await RedisStream.open({ url: server.url, source, ...SOON, ...QUICK });
    await former.check();
    await using current = await RedisStream.open({ url: other.url, source: silent(source), ...QUICK });
    await current.check();
    await until("the former one is given up", () => former.check().then(() => false, () => true));
    const read = source.epochs.bind(source);
    let [failures, readings] = [0, 0];
    source.epochs = () => {
      failures += 1;
      return Promise.reject(new HubError("unavailable", "The store is away"));
    };
    await until("the store is missed", () => failures > 0);
    // A minute later it is back, and the processes on the other one have not noted anything yet.
    source.skewMs = 60_000;
    source.epochs = () => {
      readings += 1;
      return read();
    };
    await until("the former one has read the store again", () => readings > 1);
    assertMatch(await reasonAgainst(former), REPLACED);
    assertEquals((await read()).length, 2);
  },
);

redisTest("a name that leads to another Redis by now: a new connection finds it", async (server) => {
  await using other = await RedisServer.start();
  await using proxy = TcpProxy.to(server.port);
  const source = new FakeStore();
  const url = `redis://127.0.0.1:${proxy.port}`;
  await using parts = await openParts(url, { ...SOON, source });
  await using _inbound = running(inboundWorker(inboundOptions({ url, source })));
  await using reader = new Reader(parts.stream, await cursorOf(parts.stream));
  const bringIn = (to: RedisServer) =>
    to.send("XADD", "events:in", "*", "user_id", "ann", "event_type", "purchase", "amount", "1");
  const whenTaken = (from: RedisServer) =>
    until("inbound events are taken", async () => await from.send("XLEN", "events:in") === 0);
  await bringIn(server);
  await whenTaken(server);
  proxy.target = other.port;
  await using current = await RedisStream.open({ url: other.url, source: silent(source), ...QUICK });
  await current.check();
  await until("the other one is used", async () => {
    return (await parts.stream.head().catch(() => "")).startsWith("00000002");
  });
  // Somebody who has not noticed yet: the former one has more than the other by its clock.
  await server.send("XADD", "events", `${Date.now() + 3_600_000}-0`, "not", "ours");
  await until("nothing is connected to the former one", async () => {
    return !/name=eventhub(?!-test)/.test(String(await server.send("CLIENT", "LIST")));
  });
  const all = events(20);
  await source.append(all);
  await reader.whenSeen(all);
  await whenCounted(source);
  assertEquals([await server.send("XLEN", "events"), await other.send("XLEN", "events")], [1, 20]);
  await bringIn(other);
  await whenTaken(other);
  assertEquals((await source.epochs()).length, 2);
});
