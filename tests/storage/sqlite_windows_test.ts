/** Windows on SQLite: what a question may cost, and that steps change nothing of the answer. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { HubError } from "../../src/errors.ts";
import { AGGREGATE_ROWS_MAX, SQLITE_AGGREGATE_STEP_CELLS } from "../../src/limits.ts";
import { MemoryStore } from "../../src/storage/memory.ts";
import { event, events, HOUR, MINUTE, NOON, store, TENANT } from "./conformance/events.ts";
import { query } from "./conformance/model.ts";
import { fileTest, fillCells, FILLED_TYPES, openFile } from "./sqlite.ts";

fileTest("the widest question about windows takes little memory, however many cells it reads", async (folder) => {
  const path = `${folder}/eventhub.db`;
  await fillCells(path, AGGREGATE_ROWS_MAX);
  await using open = await openFile(path);
  for (const percentiles of [false, true]) {
    const before = Deno.memoryUsage().rss;
    const to = NOON + AGGREGATE_ROWS_MAX * MINUTE;
    const rows = await open.store.aggregate(query({ from: NOON, to, percentiles }));
    const grown = (Deno.memoryUsage().rss - before) / 2 ** 20;
    assertEquals(rows.length, AGGREGATE_ROWS_MAX);
    assertEquals([rows[0]!.count, rows.at(-1)!.total], [FILLED_TYPES, BigInt(5 * FILLED_TYPES)]);
    assert(grown < 170, `a million cells took ${grown.toFixed(0)} MiB`);
  }
});

fileTest("while windows are computed from very many cells, other questions are answered", async (folder) => {
  const path = `${folder}/eventhub.db`;
  await fillCells(path, AGGREGATE_ROWS_MAX);
  await using open = await openFile(path);
  const answered: string[] = [];
  const to = NOON + AGGREGATE_ROWS_MAX * MINUTE;
  const wide = open.store.aggregate(query({ from: NOON, to })).then(() => answered.push("wide"));
  const counted = open.store.count({ tenant: TENANT, from: NOON - HOUR, to: NOON }).then(() => answered.push("count"));
  await Promise.all([wide, counted]);
  assertEquals(answered, ["count", "wide"]);
});

fileTest(
  "a question that would read too many cells is refused, one that reads as many as it may is not",
  async (folder) => {
    await using open = await openFile(`${folder}/eventhub.db`, { aggregateCellsMax: 20_000 });
    await store(open.store, events(10_000, (i) => ({ timestamp: NOON + i * MINUTE })));
    await store(open.store, events(10_000, (i) => ({ timestamp: NOON + i * MINUTE, eventType: "return" })));
    const asked = query({ from: NOON, to: NOON + 10_000 * MINUTE, window: "15m", percentiles: true });
    assertEquals((await open.store.aggregate(asked)).length, Math.ceil(10_000 / 15));
    await store(open.store, [event({ eventType: "refund" })]);
    const error = await assertRejects(() => open.store.aggregate(asked), HubError);
    assertEquals(error.code, "range_too_large");
    assertEquals((await open.store.aggregate({ ...asked, eventTypes: ["return"] })).length, Math.ceil(10_000 / 15));
    assertEquals((await open.store.aggregate({ ...asked, window: "1h" })).length, Math.ceil(10_000 / 60));
  },
);

fileTest("windows over many steps are what the memory store says, with a part not indexed yet", async (folder) => {
  await using memory = new MemoryStore();
  await using open = await openFile(`${folder}/eventhub.db`);
  const minutes = 2_200;
  assert(minutes * 5 > SQLITE_AGGREGATE_STEP_CELLS, "one step would do");
  const all = events(minutes * 6, (i) => ({
    timestamp: NOON + (i * 7_919 % minutes) * MINUTE,
    eventType: `type-${i % 5}`,
    amount: (i * 48_271) % 1_000_000 - 300_000,
  }));
  for (let at = 0; at < all.length; at += 1_500) {
    await store(open.store, all.slice(at, at + 1_500));
    await store(memory, all.slice(at, at + 1_500));
  }
  const to = NOON + 48 * HOUR;
  for (const groupByType of [false, true]) {
    for (const [window, zone, from] of [["15m", "UTC", 0], ["1h", "UTC", 0], ["1d", "Asia/Kolkata", -17.5]] as const) {
      const asked = query({ from: NOON + from * HOUR, to, window, zone, groupByType, percentiles: true });
      assertEquals(await open.store.aggregate(asked), await memory.aggregate(asked), `${window} ${zone}`);
      const plain = { ...asked, percentiles: false, eventTypes: ["type-1", "type-3"] };
      assertEquals(await open.store.aggregate(plain), await memory.aggregate(plain), `${window} ${zone}`);
    }
  }
});
