/** What somebody changed by hand in the database harms itself and nothing else. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Decimal128, type UpdateFilter } from "mongodb";
import type { CellsDocument } from "../../src/storage/mongodb_cells.ts";
import { hourKey, minuteKey } from "../../src/storage/mongodb_documents.ts";
import { recordLogs } from "../logs.ts";
import { mongoLacking } from "../services/mongo.ts";
import { event, events, HOUR, idsOf, MINUTE, NOON, store, TENANT } from "./conformance/events.ts";
import { listAll, totalOf } from "./conformance/model.ts";
import { type MongodbHarness, openMongodb } from "./mongodb.ts";

const ALL = { tenant: TENANT, from: NOON - 24 * HOUR, to: NOON + 24 * HOUR };
const lacking = mongoLacking();

function mongoTest(name: string, run: (harness: MongodbHarness) => Promise<void>): void {
  Deno.test({
    name: `mongodb: ${name}${lacking && ` (${lacking})`}`,
    ignore: lacking !== "",
    fn: async () => {
      await using harness = await openMongodb();
      await run(harness);
    },
  });
}

/** Makes the first cell of documents unreadable. */
async function damage({ database }: MongodbHarness, collection: string, filter: object): Promise<void> {
  const { modifiedCount } = await database.collection(collection).updateOne(filter, { $set: { "cells.0.sum": 1.5 } });
  assertEquals(modifiedCount, 1, "there is nothing to damage");
}

mongoTest("a damaged slice keeps back the events of its minute alone, and a rebuild mends it", async (harness) => {
  const first = events(3, () => ({ timestamp: NOON, receivedAt: NOON }));
  await store(harness.store, first);
  await harness.settle();
  await damage(harness, "slices", { minute: minuteKey(TENANT, NOON) });
  const same = event({ timestamp: NOON, receivedAt: NOON + 5_000 });
  const beside = event({ timestamp: NOON + MINUTE, receivedAt: NOON + 5_000 });
  const others = events(5, () => ({ tenant: "other", timestamp: NOON }));
  await store(harness.store, [same, beside, ...others]);
  await using logs = await recordLogs();
  assertEquals([await harness.store.settle(), await harness.store.settle()], [6, 0]);
  assertEquals(logs.lines.filter((line) => line.includes("damaged")).length, 1, logs.lines.join("\n"));
  assertEquals((await harness.store.count({ ...ALL, tenant: "other" })).count, 5);
  assertEquals(await harness.store.count(ALL), totalOf([...first, beside], ALL));
  assertEquals(await harness.store.purge(NOON + HOUR), 0, "the minute could not be counted afterwards");
  await harness.store.rebuild(ALL);
  assertEquals(await harness.store.settle(), 1);
  assertEquals(await harness.store.count(ALL), totalOf([...first, same, beside], ALL));
  assertEquals((await harness.store.verify(ALL)).differing, 0);
});

mongoTest(
  "a damaged minute that is frozen stops nobody, and a rebuild keeps what can be read of it",
  async (harness) => {
    const frozen = [
      event({ timestamp: NOON, receivedAt: NOON, eventType: "purchase" }),
      event({ timestamp: NOON, receivedAt: NOON, eventType: "return" }),
    ];
    await store(harness.store, frozen);
    assertEquals(await harness.store.purge(NOON + HOUR), 2);
    const rollups = harness.database.collection<CellsDocument>("rollups");
    const lost = (await rollups.findOne({ _id: minuteKey(TENANT, NOON) }))!.cells[0]!.type;
    await damage(harness, "rollups", { _id: minuteKey(TENANT, NOON) });
    const late = event({ timestamp: NOON + 5 * MINUTE, receivedAt: NOON + 2 * HOUR });
    const later = event({ timestamp: NOON + 2 * HOUR, receivedAt: NOON + 2 * HOUR });
    await store(harness.store, [late, later]);
    assertEquals(await harness.store.settle(), 1, "the hour waits, the others do not");
    assertEquals((await harness.store.verify(ALL)).frozenMinutes, 1);
    await using logs = await recordLogs();
    await harness.store.rebuild(ALL);
    assertEquals(logs.lines.filter((line) => line.endsWith(`${lost} is lost`)).length, 1, logs.lines.join("\n"));
    assertEquals(await harness.store.settle(), 1);
    const kept = frozen.filter(({ eventType }) => eventType !== lost);
    assertEquals(await harness.store.count(ALL), totalOf([...kept, late, later], ALL));
    assertEquals((await rollups.findOne({ _id: hourKey(TENANT, NOON) }))!.count, 2);
    assertEquals((await harness.store.verify(ALL)).differing, 0);
  },
);

mongoTest("a damaged event stops neither lists nor replay nor retention", async (harness) => {
  const all = events(
    9,
    (i) => ({ timestamp: NOON + 1_000 + i, receivedAt: NOON, amount: 10_000, properties: '{"a":1}' }),
  );
  await store(harness.store, all);
  const collection = harness.database.collection<{ _id: string; [member: string]: unknown }>("events");
  const changes: UpdateFilter<{ [member: string]: unknown }>[] = [
    { $set: { "properties.a": 5n } },
    { $set: { properties: "no JSON" } },
    { $set: { properties: "[1]" } },
    { $set: { amount: 0.30000000000000004 } },
    { $set: { amount: "much" } },
    { $set: { timestamp: "2026-01-15T12:00:00Z" } },
    { $unset: { arrival: "" } },
  ];
  for (const [i, change] of changes.entries()) await collection.updateOne({ _id: `${TENANT}:${all[i]!.id}` }, change);
  await collection.insertOne({ _id: "foreign", tenant: TENANT, timestamp: new Date(NOON + 1_005) });
  await harness.settle();
  const [mended, , , , , , , ...sound] = all;
  const shown = [{ ...mended!, properties: '{"a":5}' }, ...sound];
  for (const order of ["asc", "desc"] as const) {
    const listed = await listAll(harness.store, { tenant: TENANT }, { limit: 1, order });
    assertEquals(idsOf(listed).toSorted(), idsOf(shown).toSorted());
  }
  assertEquals((await harness.store.get(TENANT, mended!.id))!.properties, '{"a":5}');
  const { entries } = await harness.store.publications.published({ after: { pub: 0, pend: "" }, limit: 100 });
  assertEquals(idsOf(entries.map(({ event }) => event)).toSorted(), idsOf(shown).toSorted());
  // Those with other properties, or without an arrival, were counted all the same: by type and amount.
  const counted = await harness.store.count({ tenant: TENANT, from: NOON + 1, to: NOON + MINUTE - 1 });
  assertEquals(counted, { count: 5, sum: 50_000n });
  assert(await harness.store.purge(NOON + HOUR) >= sound.length);
});

mongoTest("an amount that cannot be added up is told, and not counted as nothing", async (harness) => {
  const one = event({ timestamp: NOON + 1_000, receivedAt: NOON });
  await store(harness.store, [one]);
  await harness.settle();
  const tooPrecise = { $set: { amount: Decimal128.fromString("0.00001") } };
  await harness.database.collection<{ _id: string }>("events").updateOne({ _id: `${TENANT}:${one.id}` }, tooPrecise);
  const range = { tenant: TENANT, from: NOON + 1, to: NOON + MINUTE - 1 };
  await assertRejects(
    () => harness.store.count(range),
    Error,
    "Cannot add up the events of default from 2026-01-15T12:00",
  );
});
