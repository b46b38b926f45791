/** Faults of a real Redis under load: nothing is lost live, everything is counted once, and storing never waits. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { HubError } from "../../src/errors.ts";
import { RedisStream } from "../../src/stream/redis.ts";
import { TcpProxy } from "../services/proxy.ts";
import type { RedisServer } from "../services/redis.ts";
import { events, idsOf, TENANT } from "../storage/conformance/events.ts";
import { idsIn, readAll } from "./conformance/reading.ts";
import { FakeStore } from "./publication_fake.ts";
import { QUICK } from "./redis.ts";
import { openParts, produce, Reader, redisTest, until, whenCounted } from "./redis_hub.ts";

/** Runs a fault three times under load; afterwards everything stored was read and counted. */
async function survives(server: RedisServer, fault: () => Promise<void> | void, before?: () => Promise<void>) {
  await using parts = await openParts(server.url);
  const { source, stream } = parts;
  await using reader = new Reader(stream, stream.cursor(TENANT, await stream.head()));
  const load = produce(source);
  for (let round = 1; round <= 3; round++) {
    await until("events are read before the fault", () => reader.ids.length >= round * 100);
    await before?.();
    const stored = source.documents.size;
    await fault();
    await until("events are stored after the fault", () => source.documents.size >= stored + 100);
    const last = events(1);
    await source.append(last);
    await reader.whenSeen(last);
  }
  const all = await load.stop();
  await reader.whenSeen(all);
  await whenCounted(source);
  return { all, reader, epochs: await source.epochs() };
}

redisTest("emptied under load, readers reset and miss nothing", async (server) => {
  const { reader, epochs } = await survives(server, () => server.flushAll());
  assertEquals(epochs.length, 4);
  assertEquals(new Set(epochs.map(({ marker }) => marker)).size, 4);
  assertEquals(new Set(epochs.map(({ runId }) => runId)).size, 1);
  assert(reader.resets.length > 0);
  assert(reader.resets.every(({ reason, mode }) => reason === "epoch" && mode === "replay"));
});

redisTest("killed and started empty under load, readers reset and miss nothing", async (server) => {
  const { reader, epochs } = await survives(server, () => server.restart("empty"));
  assertEquals(new Set(epochs.map(({ runId }) => runId)).size, 4);
  assert(reader.resets.every(({ reason }) => reason === "epoch"));
});

redisTest(
  "killed and started from an older snapshot, it is another epoch although the marker is there",
  async (server) => {
    let saved = false;
    const { reader, epochs } = await survives(server, () => server.restart("saved"), async () => {
      // Only once: the second and third time it is older than an epoch.
      if (!saved) await server.save();
      saved = true;
    });
    assertEquals(epochs.length, 4);
    assert(reader.resets.length > 0 && reader.resets.every(({ reason }) => reason === "epoch"));
  },
);

redisTest("cut off under load, everybody comes again and misses nothing", async (server) => {
  const { reader, epochs } = await survives(server, () => server.cut());
  assertEquals(epochs.length, 1);
  assertEquals(reader.resets, []);
});

redisTest("frozen, storing and counting go on, and everything is read afterwards", async (server) => {
  await using parts = await openParts(server.url);
  const { source, stream } = parts;
  await using reader = new Reader(stream, stream.cursor(TENANT, await stream.head()));
  const before = events(20);
  await source.append(before);
  await reader.whenSeen(before);
  server.freeze();
  const during = events(200);
  for (let i = 0; i < during.length; i += 10) await source.append(during.slice(i, i + 10));
  await until("the sweep counts without Redis", () => {
    return during.every(({ id }) => source.documents.get(`${TENANT}:${id}`)!.counted === 1);
  });
  server.thaw();
  await reader.whenSeen(during);
  await whenCounted(source);
  assertEquals(reader.resets, []);
});

redisTest("an answer that is lost does not publish twice", async (server) => {
  await using proxy = TcpProxy.to(server.port);
  await using parts = await openParts(`redis://127.0.0.1:${proxy.port}`, { ageMs: 60_000 });
  const { source, stream } = parts;
  const all = events(1);
  // Redis learns the script.
  await source.append(all);
  await stream.whenPublished();
  for (let round = 0; round < 5; round++) {
    const batch = events(30);
    all.push(...batch);
    proxy.dropsAnswers = true;
    const dropped = proxy.droppedBytes;
    await source.append(batch);
    await until("the entries are there", async () => await server.send("XLEN", "events") === all.length);
    await until("an answer is lost", () => proxy.droppedBytes > dropped);
    proxy.cut();
    proxy.dropsAnswers = false;
    await stream.whenPublished();
  }
  assertEquals(await server.send("XLEN", "events"), all.length);
  await whenCounted(source);
});

redisTest("publishing waits for Redis, keeps the order and delays nobody", async (server) => {
  await using proxy = TcpProxy.to(server.port);
  await using parts = await openParts(`redis://127.0.0.1:${proxy.port}`, { ageMs: 60_000 });
  const { source, stream } = parts;
  const after = await stream.head();
  proxy.freeze();
  const all = events(2_000);
  const startedAt = performance.now();
  for (let i = 0; i < all.length; i += 100) await source.append(all.slice(i, i + 100));
  assert(performance.now() - startedAt < 400, "storing waited for Redis");
  proxy.thaw();
  proxy.cut();
  const thawedAt = performance.now();
  await stream.whenPublished();
  assert(performance.now() - thawedAt < 1_500, "publishing took its time after the return of Redis");
  assertEquals(idsIn(await readAll(stream, { after })), idsOf(all));
});

redisTest("what waited for Redis longer than the clocks may differ is published once", async (server) => {
  await using proxy = TcpProxy.to(server.port);
  await using parts = await openParts(`redis://127.0.0.1:${proxy.port}`);
  const { source, stream } = parts;
  proxy.freeze();
  const then = Date.now() - 45_000;
  source.at = then;
  const all = events(5_000, () => ({ receivedAt: then }));
  for (let i = 0; i < all.length; i += 100) await source.append(all.slice(i, i + 100));
  source.at = null;
  await until("the sweep counts without Redis", () => [...source.documents.values()].every(({ unpub }) => unpub));
  proxy.thaw();
  proxy.cut();
  await stream.whenPublished();
  await whenCounted(source);
  assertEquals(await server.send("XLEN", "events"), all.length);
});

redisTest("what waits for Redis is bounded in bytes, and the newest stay", async (server) => {
  const source = new FakeStore();
  await using proxy = TcpProxy.to(server.port);
  await using stream = await RedisStream.open({
    url: `redis://127.0.0.1:${proxy.port}`,
    source,
    timeoutMs: 500,
    ...QUICK,
  });
  proxy.freeze();
  const properties = JSON.stringify({ text: "x".repeat(16_000) });
  const all = events(6_000, () => ({ properties }));
  for (let i = 0; i < all.length; i += 500) await source.append(all.slice(i, i + 500));
  proxy.thaw();
  proxy.cut();
  await stream.whenPublished();
  const kept = Number(await server.send("XLEN", "events"));
  assert(kept > 1_500 && kept < 3_000, `${kept} were kept`);
  const last = await server.send("XREVRANGE", "events", "+", "-", "COUNT", 1) as readonly [string, string[]][];
  assertEquals(last[0]![1][1], all.at(-1)!.id);
});

redisTest("started before Redis, the hub takes events, and whoever comes later reads them all", async (server) => {
  await using proxy = TcpProxy.to(server.port);
  proxy.freeze();
  await using parts = await openParts(`redis://127.0.0.1:${proxy.port}`);
  const { source, stream } = parts;
  const all = events(40);
  await source.append(all);
  await until("the sweep counts without Redis", () => [...source.documents.values()].every(({ pending }) => !pending));
  const error = await assertRejects(() => stream.head(), HubError);
  assertEquals(error.code, "unavailable");
  proxy.thaw();
  proxy.cut();
  await stream.whenPublished();
  const opened = await stream.open(TENANT, { at: "earliest" });
  await using reader = new Reader(stream, stream.cursor(TENANT, opened.position));
  await reader.whenSeen(all);
  const live = events(10);
  await source.append(live);
  await reader.whenSeen(live);
  await whenCounted(source);
});

redisTest("slow answers and cuts in the middle of them lose nothing", async (server) => {
  await using proxy = TcpProxy.to(server.port);
  proxy.delayMs = 20;
  await using parts = await openParts(`redis://127.0.0.1:${proxy.port}`);
  const { source, stream } = parts;
  await using reader = new Reader(stream, stream.cursor(TENANT, await stream.head()));
  const load = produce(source);
  for (let round = 1; round <= 5; round++) {
    await until("events are read", () => reader.ids.length >= round * 50);
    proxy.cut();
  }
  await reader.whenSeen(await load.stop());
  await whenCounted(source);
  assertEquals(reader.resets, []);
});
