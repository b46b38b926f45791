/** Where a replay of the store meets the stream: each event once, however many were on their way, or a reset before. */
import { assert, assertEquals } from "@std/assert";
import { RedisStream } from "../../src/stream/redis.ts";
import { formatPosition, parsePosition } from "../../src/stream/redis_position.ts";
import type { EventStream, Position, Reset } from "../../src/stream.ts";
import { TcpProxy } from "../services/proxy.ts";
import type { RedisServer } from "../services/redis.ts";
import { events, idsOf, TENANT } from "../storage/conformance/events.ts";
import { FakeStore } from "./publication_fake.ts";
import { QUICK } from "./redis.ts";
import { ageEpoch, redisTest, silent, storeInThePast } from "./redis_hub.ts";

const MINUTE = 60_000;

/** What a reader was given, and the places between. */
interface Walk {
  readonly ids: readonly string[];
  readonly resets: readonly Reset[];
  readonly places: readonly Position[];
  readonly end: Position;
}

/** Reads to the end of the log; `between` runs after each page. */
async function walk(stream: EventStream, from: Position, between?: (pages: number) => Promise<void>): Promise<Walk> {
  const ids: string[] = [];
  const resets: Reset[] = [];
  const places: Position[] = [from];
  for (let [after, pages] = [from, 1];; pages++) {
    const page = await stream.read({ after, limit: 1_000, tenant: TENANT });
    if (page.reset !== undefined) resets.push(page.reset);
    for (const { event, position } of page.entries) {
      ids.push(event.id);
      places.push(position);
    }
    places.push(page.position);
    assert(page.caughtUp || page.position > after, "a page did not go on");
    after = page.position;
    if (page.caughtUp) return { ids, resets, places, end: after };
    await between?.(pages);
  }
}

async function earliest(stream: EventStream): Promise<Position> {
  const { position, reset } = await stream.open(TENANT, { at: "earliest" });
  assertEquals(reset, null);
  return position;
}

/** A stream that has been followed for long, with events that only the store has, and some that both have. */
async function openOld(server: RedisServer, options: { entriesMax?: number } = {}) {
  const source = new FakeStore();
  await ageEpoch(server, source);
  const now = Date.now();
  const past = { from: now - 90 * MINUTE, to: now - 30 * MINUTE, everyMs: 20_000 };
  const lost = await storeInThePast(server, source, { ...past, isLost: true });
  const held = await storeInThePast(server, source, { from: now - 10 * MINUTE, to: now - 5_000, everyMs: 1_000 });
  const stream = await RedisStream.open({ url: server.url, source, ...QUICK, ...options });
  return { source, stream, all: [...lost, ...held], [Symbol.asyncDispose]: () => stream[Symbol.asyncDispose]() };
}

redisTest("earliest gives each event once, however many are stored while it is read", async (server) => {
  await using parts = await openOld(server);
  const { source, stream, all } = parts;
  const store = async (count: number) => {
    const batch = events(count);
    all.push(...batch);
    await source.append(batch);
    await stream.whenPublished();
  };
  await store(300);
  const from = await earliest(stream);
  await store(8_000);
  const { ids, resets } = await walk(stream, from, async (pages) => {
    if (pages < 40) await store(50);
  });
  assertEquals([ids.length, resets], [all.length, []]);
  assertEquals(new Set(ids), new Set(idsOf(all)));
});

redisTest("what is stored and not yet published when the store is replayed comes once", async (server) => {
  await using parts = await openOld(server);
  const { source, stream, all } = parts;
  await using proxy = TcpProxy.to(server.port);
  await stream[Symbol.asyncDispose]();
  await using writer = await RedisStream.open({ url: `redis://127.0.0.1:${proxy.port}`, source, ...QUICK });
  await using reader = await RedisStream.open({ url: server.url, source: silent(source), ...QUICK });
  const before = events(20);
  await source.append(before);
  await writer.whenPublished();
  proxy.freeze();
  const flying = events(50);
  await source.append(flying);
  const first = await walk(reader, await earliest(reader));
  proxy.thaw();
  await writer.whenPublished();
  const second = await walk(reader, first.end);
  assertEquals([...first.ids, ...second.ids].toSorted(), idsOf([...all, ...before, ...flying]).toSorted());
  assertEquals([...first.resets, ...second.resets], []);
});

redisTest("a time of receipt gives each event once, with what was on its way", async (server) => {
  await using parts = await openOld(server);
  const { source, stream } = parts;
  for (const secondsAgo of [1, 10, 30, 120]) {
    const time = Date.now() - secondsAgo * 1_000;
    const { position } = await stream.open(TENANT, { receivedAt: time });
    await source.append(events(10, () => ({ receivedAt: Date.now() })));
    await stream.whenPublished();
    const { ids, resets } = await walk(stream, position);
    assertEquals(resets, []);
    const wanted = [...source.documents.values()].filter(({ event }) => event.receivedAt >= time);
    const given = new Set(ids);
    assertEquals(given.size, ids.length, "an event came twice");
    assert(wanted.length >= 10);
    assertEquals(wanted.filter(({ event }) => !given.has(event.id)), [], `some are missing, ${secondsAgo} s`);
    const early = ids.length - wanted.length;
    assert(early <= 1, `${early} were received before, ${secondsAgo} s`);
  }
});

redisTest("from the cursor of every place on the way the rest comes, each event once", async (server) => {
  await using parts = await openOld(server);
  const { stream } = parts;
  const { ids, places } = await walk(stream, await earliest(stream));
  assertEquals(places.toSorted(), places, "positions do not sort in the order of the log");
  const phases = new Set(places.map((place) => place.split(".")[2]));
  assertEquals(phases, new Set(["0", "2", "3"]));
  for (const place of places.filter((_, i) => i % 29 === 0 || i > places.length - 30)) {
    const opened = await stream.open(TENANT, { cursor: stream.cursor(TENANT, place) });
    assertEquals(opened, { position: place, reset: null });
    const rest = await walk(stream, place);
    assertEquals(rest.ids, ids.slice(ids.length - rest.ids.length));
    assertEquals(rest.resets, []);
  }
});

redisTest("the stream goes on without a slow replay, which reads the store further", async (server) => {
  const source = new FakeStore();
  await ageEpoch(server, source);
  await using stream = await RedisStream.open({ url: server.url, source: silent(source), ...QUICK });
  const now = Date.now();
  const history = (from: number, to: number) =>
    storeInThePast(server, source, { from: now - from * MINUTE, to: now - to * MINUTE, everyMs: 1_000 });
  const all = await history(10, 6);
  const from = await earliest(stream);
  all.push(...await history(6, 0));
  await using writer = await RedisStream.open({ url: server.url, source, ...QUICK });
  const last = events(1);
  await source.append(last);
  await writer.whenPublished();
  await server.send("XTRIM", "events", "MINID", `${now - 3 * MINUTE}`);
  const { ids, resets } = await walk(stream, from);
  assertEquals([ids.toSorted(), resets], [idsOf([...all, ...last]).toSorted(), []]);
});

redisTest("a stream too short to meet a replay is told, and nothing is missed", async (server) => {
  await using parts = await openOld(server, { entriesMax: 10 });
  const { source, stream, all } = parts;
  const later = events(6_000);
  await source.append(later);
  await stream.whenPublished();
  const from = await earliest(stream);
  const { ids, resets, places } = await walk(stream, from);
  assertEquals(resets, [{ reason: "trimmed", mode: "replay" }]);
  assertEquals(ids.toSorted(), idsOf([...all, ...later]).toSorted());
  const closing = places.find((place) => place.split(".")[2] === "1")!;
  const opened = await stream.open(TENANT, { cursor: stream.cursor(TENANT, closing) });
  assertEquals(opened, { position: closing, reset: null });
});

redisTest(
  "behind a restart of Redis more events than are looked through are announced before they repeat",
  async (server) => {
    const source = new FakeStore();
    await ageEpoch(server, source);
    await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
    const all = events(200);
    await source.append(all);
    await stream.whenPublished();
    await server.flushAll();
    const { position } = await stream.open(TENANT, { at: "earliest" });
    const first = await stream.read({ after: position, limit: 10, tenant: TENANT });
    assertEquals(first.reset, undefined);
    const later = events(9_000);
    for (let i = 0; i < later.length; i += 500) await source.append(later.slice(i, i + 500));
    await stream.whenPublished();
    const { ids, resets } = await walk(stream, first.position);
    const seen = new Set([...first.entries.map(({ event }) => event.id), ...ids]);
    assert([...all, ...later].every(({ id }) => seen.has(id)), "something is missing");
    assert(ids.length <= seen.size || resets.length === 1, "events came again and nobody said so");
  },
);

redisTest("entries that are not the hub's count among those that are looked through", async (server) => {
  const source = new FakeStore();
  await ageEpoch(server, source);
  await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
  await source.append(events(200));
  await stream.whenPublished();
  await server.flushAll();
  const { position } = await stream.open(TENANT, { at: "earliest" });
  const first = await stream.read({ after: position, limit: 10, tenant: TENANT });
  assertEquals([first.entries, first.reset], [[], undefined]);
  const script = "for i = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], '*', 'not', 'ours') end";
  await server.send("EVAL", script, 1, "events", 6_000);
  const later = events(100);
  await source.append(later);
  await stream.whenPublished();
  const { ids, resets } = await walk(stream, first.position);
  assert(ids.length > new Set(ids).size, "nothing came again: the test is void");
  assertEquals(resets, [{ reason: "epoch", mode: "replay" }]);
});

redisTest("who was told that events may come again is not told twice", async (server) => {
  const source = new FakeStore();
  const past = { from: Date.now() - 90 * MINUTE, to: Date.now() - 30 * MINUTE, everyMs: MINUTE };
  await storeInThePast(server, source, { ...past, isLost: true });
  await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
  await source.append(events(20));
  await stream.whenPublished();
  const head = await stream.head();
  const elsewhere = parsePosition(head);
  const unknown = formatPosition({ ...elsewhere, epoch: { ...elsewhere.epoch, check: "0000000" } });
  const ahead = head.replace(/\.3\.0*\d/, (text) => `${text.slice(0, -1)}9`);
  for (const [place, reason] of [[unknown, "epoch"], [ahead, "future"]] as const) {
    const opened = await stream.open(TENANT, { cursor: stream.cursor(TENANT, place) });
    assertEquals(opened.reset, { reason, mode: "replay" });
    const { resets } = await walk(stream, opened.position);
    assertEquals(resets, []);
  }
});

redisTest("a store that is older than its first stream is told of, and given whole", async (server) => {
  const source = new FakeStore();
  const now = Date.now();
  const past = { from: now - 90 * MINUTE, to: now - 30 * MINUTE, everyMs: MINUTE };
  const all = await storeInThePast(server, source, { ...past, isLost: true });
  await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
  const later = events(20);
  await source.append(later);
  await stream.whenPublished();
  const { ids, resets } = await walk(stream, await earliest(stream));
  assertEquals([ids.toSorted(), resets], [idsOf([...all, ...later]).toSorted(), [{ reason: "epoch", mode: "replay" }]]);
});
