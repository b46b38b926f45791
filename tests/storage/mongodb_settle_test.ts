/** The settle protocol on a server: several stores on one database, workers that come late, and what is published. */
import { assert, assertEquals } from "@std/assert";
import { ObjectId } from "mongodb";
import type { Event } from "../../src/event.ts";
import type { StoredEvent } from "../../src/publication.ts";
import { Cells, cellsContent, type CellsDocument, readCells, replaceCells } from "../../src/storage/mongodb_cells.ts";
import { minuteKey, toDecimal } from "../../src/storage/mongodb_documents.ts";
import { Slices } from "../../src/storage/mongodb_slices.ts";
import { mongoLacking } from "../services/mongo.ts";
import { event, events, HOUR, idsOf, MINUTE, NOON, ONE, store, tally, TENANT } from "./conformance/events.ts";
import { listAll, query, rowsOf, totalOf } from "./conformance/model.ts";
import { type MongodbHarness, openMongodb } from "./mongodb.ts";

const ALL = { tenant: TENANT, from: NOON - 24 * HOUR, to: NOON + 24 * HOUR };
const lacking = mongoLacking();

function mongoTest(
  name: string,
  run: (harness: MongodbHarness) => Promise<void>,
  options: { isPublished?: boolean } = {},
): void {
  Deno.test({
    name: `mongodb: ${name}${lacking && ` (${lacking})`}`,
    ignore: lacking !== "",
    fn: async () => {
      await using harness = await openMongodb(options);
      await run(harness);
    },
  });
}

/** Everything stored is counted, once, and a recount agrees. */
async function assertCounted({ store: driver }: MongodbHarness, stored: readonly Event[]): Promise<void> {
  assertEquals(await driver.count(ALL), totalOf(stored, ALL));
  for (const window of ["1m", "1h"] as const) {
    const asked = query({ from: NOON, to: NOON + 4 * HOUR, window, groupByType: true });
    assertEquals(await driver.aggregate(asked), rowsOf(stored, asked));
  }
  const report = await driver.verify(ALL);
  assertEquals([report.differing, report.differences, report.events], [0, [], stored.length]);
}

/** Appends through the store and answers how its insertions are named. */
async function appendAndName(harness: MongodbHarness, all: readonly Event[]): Promise<StoredEvent[]> {
  const named: StoredEvent[] = [];
  const unwatch = harness.store.publications.watchStored((group) => named.push(...group));
  await store(harness.store, all);
  unwatch();
  return named;
}

mongoTest("two hubs that store the same ids at once store each one once", async (harness) => {
  const other = await harness.another();
  const rounds = 20;
  const stored: Event[] = [];
  for (let round = 0; round < rounds; round++) {
    const ids = Array.from({ length: 50 }, (_, i) => `${round}-${i}`);
    const copies = [harness.store, other].map((driver, hub) => ({
      driver,
      own: ids.map((id, i) =>
        event({ id, amount: i % 2 === 0 ? hub : 7, receivedAt: NOON, timestamp: NOON + i * 1_000 })
      ),
    }));
    const answers = await Promise.all(copies.map(({ driver, own }) => driver.append(own)));
    for (let i = 0; i < ids.length; i++) {
      const statuses = answers.map((answer) => answer[i]!);
      assertEquals(statuses.toSorted(), [i % 2 === 0 ? "conflict" : "duplicate", "stored"]);
      stored.push(copies[statuses.indexOf("stored")]!.own[i]!);
    }
  }
  await Promise.all([harness.store.settle(), other.settle()]);
  await assertCounted(harness, stored);
});

mongoTest("types are admitted up to the limit, whichever hub they come to", async (harness) => {
  const other = await harness.another();
  const answers = await Promise.all(
    [harness.store, other].map((driver, hub) =>
      Promise.all(
        Array.from({ length: 30 }, (_, batch) =>
          driver.append(events(5, (i) => ({ eventType: `hub-${hub}-${batch}-${i}` })))),
      )
    ),
  );
  assertEquals(tally(answers.flat(2)), { stored: 200, too_many_event_types: 100 });
  assertEquals((await listAll(other, { tenant: TENANT }, { limit: 1_000, order: "asc" })).length, 200);
});

mongoTest("workers that count at once, while events come in, count each once", async (harness) => {
  const hubs = [harness.store, await harness.another(), await harness.another()];
  const stored = events(3_000, (i) => ({
    timestamp: NOON + (i * 7_919) % (3 * HOUR),
    amount: i,
    eventType: i % 3 === 0 ? "purchase" : "return",
  }));
  let pending = true;
  const settling = hubs.map(async (hub) => {
    let settled = 0;
    while (pending) settled += await hub.settle();
    return settled;
  });
  for (let i = 0; i < stored.length; i += 100) {
    await store(hubs[(i / 100) % hubs.length]!, stored.slice(i, i + 100));
  }
  pending = false;
  const early = (await Promise.all(settling)).reduce((sum, settled) => sum + settled, 0);
  const late = await harness.store.settle();
  assertEquals(early + late, stored.length, "an event was cleared twice, or never");
  await assertCounted(harness, stored);
});

mongoTest("two workers that create the same cells at once lose neither's", async (harness) => {
  const rollups = harness.database.collection<CellsDocument>("rollups");
  const cellsOf = (count: number) => {
    const cells = new Cells();
    for (let i = 0; i < count; i++) cells.add("purchase", i);
    return cells;
  };
  for (let round = 0; round < 60; round++) {
    const start = NOON + round * MINUTE;
    const replacement = (count: number) => ({
      key: minuteKey(TENANT, start),
      fixed: { tenant: TENANT, start: new Date(start) },
      cells: cellsOf(count),
    });
    await Promise.all([3, 1, 4, 2].map((count) => replaceCells(rollups, [replacement(count)])));
    assertEquals((await rollups.findOne({ _id: minuteKey(TENANT, start) }))!.count, 4);
  }
});

mongoTest("a worker that slept takes nothing back", async (harness) => {
  const first = events(10, (i) => ({ timestamp: NOON + i * 1_000, receivedAt: NOON }));
  const insertions = await appendAndName(harness, first);
  await harness.store.settle();
  const rollups = harness.database.collection<CellsDocument>("rollups");
  const key = minuteKey(TENANT, NOON);
  const old = readCells((await rollups.findOne({ _id: key }))!);
  const later = events(5, (i) => ({ timestamp: NOON + i, receivedAt: NOON }));
  await store(harness.store, later);
  await harness.store.settle();
  // It recomputed before the later events came, and replaces only now.
  await replaceCells(rollups, [{ key, fixed: { tenant: TENANT, start: new Date(NOON) }, cells: old }]);
  assertEquals(await harness.store.settler.settleThese(insertions), []);
  await assertCounted(harness, [...first, ...later]);
});

mongoTest(
  "insertions that are counted, purged or unknown are left alone; a new one of the id is another",
  async (harness) => {
    const border = NOON + HOUR;
    const [old] = await appendAndName(harness, [event({ id: "again", receivedAt: border - 1 })]);
    assertEquals(await harness.store.settler.settleThese([old!]), [{
      tenant: TENANT,
      start: NOON,
      eventType: "purchase",
    }]);
    assertEquals(await harness.store.settler.settleThese([old!, { key: "default:never", pend: "0".repeat(24) }]), []);
    assertEquals(await harness.store.purge(border), 1);
    const again = event({ id: "again", timestamp: NOON + MINUTE, receivedAt: border });
    const [fresh] = await appendAndName(harness, [again]);
    assertEquals(await harness.store.settler.settleThese([old!, { key: old!.key, pend: "no name at all" }]), []);
    assertEquals((await harness.store.count(ALL)).count, 1, "the new insertion was counted under the old name");
    const [cell] = await harness.store.settler.settleThese([fresh!, old!]);
    assertEquals(cell, { tenant: TENANT, start: NOON + MINUTE, eventType: "purchase" });
    assertEquals((await harness.store.count(ALL)).count, 2);
  },
);

mongoTest("an event that came in while a pass ran keeps its mark", async (harness) => {
  const [early, late] = [event({ receivedAt: NOON }), event({ receivedAt: NOON })];
  const insertions = await appendAndName(harness, [early]);
  await store(harness.store, [late]);
  await harness.store.settler.settleThese(insertions);
  const marked = await harness.database.collection("events").find({ pend: { $exists: true } }).toArray();
  assertEquals(marked.map(({ _id }) => String(_id)), [`${TENANT}:${late.id}`]);
  assertEquals(await harness.store.settle(), 1);
  await assertCounted(harness, [early, late]);
});

mongoTest(
  "beside a stream, settle counts all, and leaves the young to whoever gets them from the stream",
  async (harness) => {
    const stored = events(4, (i) => ({ timestamp: NOON + i }));
    const insertions = await appendAndName(harness, stored);
    assertEquals(await harness.store.settle(), 4);
    assertEquals((await harness.store.aggregate(query({ from: NOON, to: NOON + MINUTE })))[0]!.count, 4);
    assertEquals(await harness.store.publications.unpublished(10), []);
    const changed = await harness.store.settler.settleThese(insertions.slice(0, 2));
    assertEquals(changed.length, 1);
    assertEquals(await harness.store.publications.unpublished(10), []);
    await assertCountedAfterSweep(harness, stored);
  },
  { isPublished: true },
);

/** Sweeps what is left, and looks at what it says of publication. */
async function assertCountedAfterSweep(harness: MongodbHarness, stored: readonly Event[]): Promise<void> {
  const { publications, settler } = harness.store;
  const { settled, changed } = await settler.sweep({ ageMs: 0 });
  assertEquals([settled, changed], [2, [{ tenant: TENANT, start: NOON, eventType: "purchase" }]]);
  assertEquals(await settler.sweep({ ageMs: 0 }), { settled: 0, changed: [] });
  const unpublished = await publications.unpublished(10);
  assertEquals(unpublished.map(({ event }) => event.id), idsOf(stored.slice(2)));
  assertEquals((await publications.unpublished(1)).length, 1);
  await assertCounted(harness, stored);
  await publications.markPublished(unpublished.slice(0, 1));
  assertEquals((await publications.unpublished(10)).map(({ event }) => event.id), [stored[3]!.id]);
}

mongoTest("what is young is not swept", async (harness) => {
  const { publications, settler } = harness.store;
  assertEquals(await settler.uncountedSince(), null);
  await store(harness.store, events(3));
  assertEquals(await settler.uncountedSince(), await publications.oldest());
  assertEquals(await settler.sweep({ ageMs: 60_000 }), { settled: 0, changed: [] });
  assertEquals((await settler.sweep({ ageMs: 0 })).settled, 3);
  assertEquals(await settler.uncountedSince(), null);
}, { isPublished: true });

mongoTest("an event whose time of publication was moved ahead is swept by its time of receipt", async (harness) => {
  const { publications, settler } = harness.store;
  const [old, young] = [event({ receivedAt: NOON }), event({ receivedAt: publications.now() })];
  const insertions = await appendAndName(harness, [old, young]);
  await publications.republishAt(insertions, publications.now() + HOUR);
  assertEquals(await settler.uncountedSince(), NOON);
  assertEquals((await settler.sweep({ ageMs: 60_000 })).settled, 1);
  assertEquals((await publications.unpublished(10)).map(({ event }) => event.id), [old.id]);
  assertEquals(await harness.store.count(ALL), totalOf([old], ALL));
}, { isPublished: true });

mongoTest("what may not be published is not purged, unless it is erased", async (harness) => {
  const { publications, settler } = harness.store;
  const stored = events(4, (i) => ({ userId: i === 3 ? "ann" : "bob", receivedAt: NOON + i }));
  const insertions = await appendAndName(harness, stored);
  assertEquals(await harness.store.purge(NOON + HOUR), 0, "what nobody handed out yet");
  await settler.sweep({ ageMs: 0 });
  assertEquals(await harness.store.purge(NOON + HOUR), 0, "what perhaps nobody handed out");
  const late = event({ timestamp: NOON, receivedAt: NOON + 2 * HOUR });
  assertEquals(await harness.store.append([late]), ["stored"], "the minute lost nothing");
  await publications.markPublished(insertions.slice(0, 1));
  assertEquals(await harness.store.purge(NOON + HOUR), 1);
  assertEquals(await harness.store.erase(TENANT, "ann"), 1);
  assertEquals((await publications.unpublished(10)).length, 2);
  assertEquals(await harness.store.purge(NOON + HOUR), 1);
  await publications.markPublished(await publications.unpublished(10));
  assertEquals(await harness.store.purge(NOON + HOUR), 2);
  assertEquals(await harness.store.count(ALL), totalOf([...stored, late], ALL));
}, { isPublished: true });

mongoTest("sums stay exact beyond 64 bits, in slices, minutes and hours", async (harness) => {
  // As if two million amounts of a billion had been counted before: to store them takes minutes on some servers.
  const [amounts, billion] = [2_000_000, 1_000_000_000 * ONE];
  const sum = BigInt(amounts) * BigInt(billion);
  const counted = new Cells();
  counted.add("purchase", billion);
  const [cell] = cellsContent(counted).cells;
  const older = event({ receivedAt: NOON - 5_000 });
  await harness.database.collection<CellsDocument & { minute: string; received: Date }>("slices").insertOne({
    _id: new Slices().of(older),
    tenant: TENANT,
    start: new Date(NOON),
    minute: minuteKey(TENANT, NOON),
    received: new Date(older.receivedAt),
    count: amounts,
    version: new ObjectId(),
    cells: [{ ...cell!, count: amounts, sum: toDecimal(sum) }],
  });
  await store(harness.store, [event({ amount: 1, receivedAt: NOON })]);
  await harness.settle();
  const expected = { count: amounts + 1, sum: sum + 1n };
  assertEquals(await harness.store.count({ tenant: TENANT, from: NOON, to: NOON + MINUTE }), expected);
  assertEquals(await harness.store.count({ tenant: TENANT, from: NOON, to: NOON + HOUR }), expected);
  for (const [window, length] of [["1m", MINUTE], ["1h", HOUR]] as const) {
    const [row] = await harness.store.aggregate(query({ from: NOON, to: NOON + length, window }));
    assertEquals([row!.count, row!.total, row!.min, row!.max], [expected.count, expected.sum, 1, billion]);
  }
  const negative = events(1_000, () => ({ tenant: "below", amount: -billion, timestamp: NOON + 1 }));
  await store(harness.store, negative);
  await harness.settle();
  const below = await harness.store.count({ tenant: "below", from: NOON + 1, to: NOON + 2 });
  assertEquals(below.sum, -1_000n * BigInt(billion));
});

mongoTest("rebuild mends slices that are wrong, too", async (harness) => {
  const stored = events(20, (i) => ({ timestamp: NOON + i * 1_000 }));
  await store(harness.store, stored);
  await harness.settle();
  // A slice that counts too much would otherwise spoil its minute again with the next event.
  const slices = harness.database.collection<CellsDocument>("slices");
  await slices.updateMany({}, { $set: { count: 1_000, cells: [] } });
  await harness.corrupt({ tenant: TENANT, span: "minute", start: NOON, eventType: "purchase" });
  assertEquals((await harness.store.rebuild(ALL)).differing, 1);
  const more = event({ timestamp: NOON + 500, receivedAt: NOON });
  await store(harness.store, [more]);
  await harness.settle();
  await assertCounted(harness, [...stored, more]);
});

mongoTest("cells that cannot be read are a difference, and rebuild mends them", async (harness) => {
  const stored = events(20, (i) => ({ timestamp: NOON + i * 10_000 }));
  await store(harness.store, stored);
  await harness.settle();
  const rollups = harness.database.collection<CellsDocument>("rollups");
  await rollups.updateMany({}, { $set: { "cells.0.sum": 1.5 as never } });
  assert((await harness.store.verify(ALL)).differing > 0);
  await harness.store.rebuild(ALL);
  await assertCounted(harness, stored);
});

mongoTest("a clock that stands still makes few slices, and all of them go with their events", async (harness) => {
  const day = 24 * HOUR;
  const stuck = events(600, (i) => ({ timestamp: NOON, receivedAt: NOON + day + i * MINUTE }));
  // As an earlier version divided them.
  const [old, ...others] = stuck;
  await store(harness.store, stuck);
  const key = `${minuteKey(TENANT, NOON)}:${old!.receivedAt / 1_000}`;
  await harness.database.collection<{ _id: string }>("events")
    .updateOne({ _id: `${TENANT}:${old!.id}` }, { $set: { slice: key } });
  await harness.settle();
  const slices = harness.database.collection<CellsDocument>("slices");
  assertEquals((await slices.find().toArray()).map(({ count }) => count).toSorted((a, b) => a - b), [
    1,
    59,
    ...Array.from({ length: 9 }, () => 60),
  ]);
  await assertCounted(harness, [old!, ...others]);
  await harness.store.rebuild(ALL);
  await assertCounted(harness, [old!, ...others]);
  // The first 90 minutes of receipt are purged: the slice of the second hour is not wholly among them.
  assertEquals(await harness.store.purge(NOON + day + 90 * MINUTE), 90);
  assertEquals(await slices.countDocuments(), 9);
  assertEquals(await harness.store.purge(NOON + 2 * day), 510);
  assertEquals(await slices.countDocuments(), 0);
  assertEquals((await harness.store.count(ALL)).count, 600);
});
