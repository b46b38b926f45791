/** Many readers who go back to the store at different times: what one of them costs does not grow with the others. */
import { assert, assertEquals } from "@std/assert";
import { RedisStream } from "../../src/stream/redis.ts";
import type { Position } from "../../src/stream.ts";
import type { RedisServer } from "../services/redis.ts";
import { events, idsOf, TENANT } from "../storage/conformance/events.ts";
import { idsIn, readAll } from "./conformance/reading.ts";
import { FakeStore } from "./publication_fake.ts";
import { QUICK } from "./redis.ts";
import { redisTest } from "./redis_hub.ts";

/** How often Redis read a part of a stream since the statistics were reset. */
async function reads(server: RedisServer): Promise<number> {
  const text = String(await server.send("INFO", "commandstats"));
  return Number(/cmdstat_xrange:calls=(\d+)/.exec(text)?.[1] ?? 0);
}

redisTest("readers who come back at different times do not read the stream anew for each other", async (server) => {
  const source = new FakeStore();
  await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
  const store = async (count: number) => {
    const all = events(count);
    for (let i = 0; i < count; i += 500) await source.append(all.slice(i, i + 500));
    await stream.whenPublished();
    return idsOf(all);
  };
  const cursor = stream.cursor(TENANT, await stream.head());
  const stored = await store(500);
  await server.flushAll();
  const readers: { at: Position; readonly ids: string[]; isDone: boolean }[] = [];
  for (let count = 0; count < 4; count++) {
    stored.push(...await store(500));
    const { position, reset } = await stream.open(TENANT, { cursor });
    assertEquals(reset, { reason: "epoch", mode: "replay" });
    readers.push({ at: position, ids: [], isDone: false });
  }
  stored.push(...await store(3_000));
  await server.send("CONFIG", "RESETSTAT");
  let pages = 0;
  while (readers.some(({ isDone }) => !isDone)) {
    for (const reader of readers.filter(({ isDone }) => !isDone)) {
      const page = await stream.read({ after: reader.at, limit: 100, tenant: TENANT });
      pages += 1;
      reader.ids.push(...idsIn(page.entries));
      reader.at = page.position;
      reader.isDone = page.caughtUp;
    }
  }
  // Each page looks at the stream once, and once at what is new behind the place where its replay ends.
  const perPage = await reads(server) / pages;
  for (const { ids } of readers) assertEquals(ids.toSorted(), stored.toSorted());
  assert(perPage < 2.5, `Redis read the stream ${perPage} times for a page`);
});

redisTest(
  "what lay behind a place in an earlier life of the stream is not taken to lie there again",
  async (server) => {
    const source = new FakeStore();
    await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
    const cursor = stream.cursor(TENANT, await stream.head());
    const store = async () => {
      const all = events(100);
      await source.append(all);
      await stream.whenPublished();
      return all;
    };
    const stored = await store();
    await server.save();
    for (let round = 0; round < 3; round++) {
      stored.push(...await store());
      // Its last entry is always the same one.
      await server.restart("saved");
      const { position } = await stream.open(TENANT, { cursor });
      stored.push(...await store());
      const ids = idsIn(await readAll(stream, { after: position }));
      assertEquals(ids.toSorted(), idsOf(stored).toSorted());
    }
  },
);

redisTest("a replay goes on where it was, however often the stream is lost meanwhile", async (server) => {
  const source = new FakeStore();
  // Nobody publishes them: they are in the store alone, from two minutes ago.
  source.skewMs = -120_000;
  const stored = events(200);
  await source.append(stored);
  source.skewMs = 0;
  await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
  let { position } = await stream.open(TENANT, { at: "earliest" });
  const ids: string[] = [];
  const read = async () => {
    const page = await stream.read({ after: position, limit: 20, tenant: TENANT });
    ids.push(...idsIn(page.entries));
    position = page.position;
    return page;
  };
  for (let round = 1; round <= 10; round++) {
    // Some pages only lead from the store to the stream.
    for (let pages = 0; pages < 5 && ids.length < round * 20; pages++) await read();
    await server.flushAll();
    assertEquals((await read()).reset, { reason: "epoch", mode: "replay" });
  }
  assertEquals(ids, idsOf(stored));
});
