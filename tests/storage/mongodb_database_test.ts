/** What lies in the database, and what a stream asks of it. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { Decimal128, ObjectId } from "mongodb";
import { comparePlaces, type PublicationPlace, type StoredEvent } from "../../src/publication.ts";
import { MongodbStore } from "../../src/storage/mongodb.ts";
import type { CellsDocument } from "../../src/storage/mongodb_cells.ts";
import { mongo, mongoLacking } from "../services/mongo.ts";
import { TcpProxy } from "../services/proxy.ts";
import { event, events, HOUR, idsOf, MINUTE, NOON, store, tally, TENANT } from "./conformance/events.ts";
import { listAll, query, totalOf } from "./conformance/model.ts";
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

mongoTest("people can read what is stored", async (harness) => {
  await store(harness.store, [
    event({
      id: "a:1",
      amount: 125_000,
      properties: '{"shop":{"city":"Köln"}}',
      timestamp: NOON + 5,
      receivedAt: NOON,
    }),
  ]);
  const document = await harness.database.collection<{ _id: string }>("events").findOne({ _id: `${TENANT}:a:1` });
  const { pub, arrival, pend, ...rest } = document as Record<string, unknown>;
  assertEquals(rest, {
    _id: "default:a:1",
    tenant: TENANT,
    user_id: "user-1",
    event_type: "purchase",
    amount: Decimal128.fromString("12.5"),
    timestamp: new Date(NOON + 5),
    timestamp_given: true,
    received_at: new Date(NOON),
    source: "rest",
    slice: `default:minute:2026-01-15T12:00:${NOON / 1_000}`,
    properties: { shop: { city: "Köln" } },
  });
  assert(pub instanceof Date && arrival instanceof ObjectId && arrival.equals(pend as ObjectId));
  await harness.settle();
  const minute = await harness.database.collection<CellsDocument>("rollups").findOne({
    _id: "default:minute:2026-01-15T12:00",
  });
  assertEquals([minute!.count, String(minute!.cells[0]!.sum)], [1, "12.5"]);
});

mongoTest("what the prototype stored is left alone", async (harness) => {
  const prototype = Array.from({ length: 3 }, (_, i) => ({
    _id: new ObjectId(),
    user_id: "user-1",
    event_type: "purchase",
    amount: 12.5 + i,
    timestamp: new Date(NOON + i),
  }));
  const collection = harness.database.collection<{ _id: ObjectId }>("events");
  await collection.insertMany(prototype);
  await harness.reopen();
  const own = events(3, (i) => ({ timestamp: NOON + i, receivedAt: NOON }));
  await store(harness.store, own);
  await harness.settle();
  assertEquals(idsOf(await listAll(harness.store, { tenant: TENANT }, { limit: 2, order: "asc" })), idsOf(own));
  assertEquals(await harness.store.count(ALL), totalOf(own, ALL));
  assertEquals(await harness.store.count({ ...ALL, from: NOON, to: NOON + 2 }), totalOf(own.slice(0, 2), ALL));
  assertEquals([(await harness.store.verify(ALL)).events, (await harness.store.rebuild(ALL)).differing], [3, 0]);
  const page = await harness.store.publications.published({ after: { pub: 0, pend: "" }, limit: 100 });
  assertEquals(page.entries.length, 3);
  assertEquals(await harness.store.erase(TENANT, "user-1"), 3);
  assertEquals(await harness.store.purge(NOON + HOUR), 3);
  assertEquals(await collection.find().sort({ timestamp: 1 }).toArray(), prototype);
});

mongoTest("an event that was changed by hand is left out, and stops nothing", async (harness) => {
  const all = events(5, (i) => ({ timestamp: NOON + i }));
  await store(harness.store, all);
  const collection = harness.database.collection<{ _id: string }>("events");
  await collection.updateOne({ _id: `${TENANT}:${all[1]!.id}` }, { $set: { amount: "much" } });
  await collection.updateOne({ _id: `${TENANT}:${all[2]!.id}` }, { $set: { event_type: 5 } });
  await harness.settle();
  assertEquals((await harness.store.aggregate(query({ from: NOON, to: NOON + MINUTE })))[0]!.count, 3);
  const listed = await listAll(harness.store, { tenant: TENANT }, { limit: 2, order: "asc" });
  assertEquals(idsOf(listed), idsOf([all[0]!, all[3]!, all[4]!]));
  assertEquals(await harness.store.get(TENANT, all[1]!.id), null);
  assertEquals(await harness.store.append([all[1]!]), ["conflict"]);
  assertEquals((await harness.store.verify(ALL)).differing, 0);
});

mongoTest("an answer that is lost makes a retry, and the retry a duplicate that is counted once", async (harness) => {
  await using proxy = TcpProxy.to(Number(new URL(mongo.url!).port || 27_017));
  const url = new URL(harness.url);
  url.port = String(proxy.port);
  // A member of a replica set would tell the way around the proxy.
  url.searchParams.set("directConnection", "true");
  await using far = await MongodbStore.open({ url: url.href, isPublished: false });
  await store(far, [event()]);
  const heard: StoredEvent[] = [];
  far.publications.watchStored((group) => heard.push(...group));
  const all = events(50);
  const lost = proxy.loseAnswerTo(all[7]!.id);
  assertEquals(tally(await far.append(all)), { unavailable: 50 });
  await lost;
  assertEquals(heard, [], "what is not known to be stored was handed out");
  assertEquals(tally(await far.append(all)), { duplicate: 50 });
  assertEquals(await far.append([{ ...all[0]!, amount: 1 }]), ["conflict"]);
  await harness.settle();
  assertEquals((await harness.store.count(ALL)).count, 51);
  assertEquals((await harness.store.verify(ALL)).differing, 0);
});

mongoTest("what is stored is told, and read again in the order of publication", async (harness) => {
  const { publications } = harness.store;
  const heard: StoredEvent[] = [];
  const unwatch = publications.watchStored((group) => heard.push(...group));
  assertEquals([await publications.oldest(), await publications.purgedUntil()], [null, null]);
  for (let i = 0; i < 5; i++) await store(harness.store, events(7, (j) => ({ tenant: j === 0 ? "other" : TENANT })));
  assertEquals(tally(await harness.store.append([heard[0]!.event])), { duplicate: 1 });
  unwatch();
  await store(harness.store, [event({ id: "unheard" })]);
  assertEquals(heard.length, 35);
  const inOrder = heard.toSorted(comparePlaces);
  const read: StoredEvent[] = [];
  for (let [place, caughtUp]: [PublicationPlace, boolean] = [{ pub: 0, pend: "" }, false]; !caughtUp;) {
    const page = await publications.published({ after: place, limit: 4 });
    read.push(...page.entries);
    [place, caughtUp] = [page.place, page.caughtUp];
  }
  assertEquals(read.slice(0, 35), inOrder);
  assertEquals(inOrder, heard.toSorted((a, b) => a.pub - b.pub), "a batch is not in the order it was stored");
  assertEquals(read.length, 36);
  const first = { pub: 0, pend: "" };
  const ofOther = await publications.published({ after: first, limit: 100, tenant: "other" });
  assertEquals([ofOther.entries.length, ofOther.place.pend], [5, read.at(-1)!.pend]);
  const nextTo = (i: number) => ({ pub: read[i]!.pub, pend: read[i]!.pend });
  const receivedAt = read[12]!.event.receivedAt;
  assertEquals(await publications.firstReceived({ pub: 0, receivedAt: 0 }), nextTo(0));
  const isIt = ({ event, pub }: StoredEvent) => event.receivedAt >= receivedAt && pub >= read[8]!.pub;
  assertEquals(await publications.firstReceived({ pub: read[8]!.pub, receivedAt }), nextTo(read.findIndex(isIt)));
  assertEquals(await publications.firstReceived({ pub: 0, receivedAt: receivedAt + HOUR }), null);
  const until = read[20]!.pub;
  const early = await publications.published({ after: first, limit: 100, until });
  assertEquals(early.entries, read.filter(({ pub }) => pub < until));
  assertEquals([await publications.oldest(), await publications.newest()], [read[0]!.pub, read.at(-1)!.pub]);
  await harness.store.erase("other", "user-1");
  const left = await publications.published({ after: first, limit: 100 });
  assertEquals([left.entries.length, left.place], [31, { pub: read.at(-1)!.pub, pend: read.at(-1)!.pend }]);
  await harness.store.purge(Date.now());
  assertEquals([await publications.oldest(), await publications.purgedUntil()], [null, read.at(-1)!.pub]);
});

mongoTest("insertions can be published at another time, those of other insertions not", async (harness) => {
  const { publications } = harness.store;
  const heard: StoredEvent[] = [];
  publications.watchStored((group) => heard.push(...group));
  await store(harness.store, events(4));
  const names = new Set(heard.map(({ pend }) => pend));
  assertEquals(await publications.uncountedOf([...heard, { key: heard[1]!.key, pend: heard[2]!.pend }]), names);
  await harness.settle();
  assertEquals(await publications.uncountedOf(heard), new Set());
  const later = heard[0]!.pub + HOUR;
  await publications.republishAt([heard[0]!, { key: heard[1]!.key, pend: heard[2]!.pend }], later);
  const { entries } = await publications.published({ after: { pub: heard[0]!.pub + MINUTE, pend: "" }, limit: 10 });
  assertEquals(entries, [{ ...heard[0]!, pub: later }]);
});

mongoTest("of two processes that begin an epoch one is first", async (harness) => {
  const one = harness.store.publications;
  const other = (await harness.another()).publications;
  const times = { startedAt: NOON, lostUntil: NOON + MINUTE, followedAt: NOON };
  const epoch = (number: number, marker: string) => ({ number, ...times, runId: "run", marker });
  assertEquals(await one.epochs(), []);
  assertEquals((await Promise.all([one.beginEpoch(epoch(1, "a"), 0), other.beginEpoch(epoch(1, "b"), 0)])).sort(), [
    false,
    true,
  ]);
  assertEquals(await one.beginEpoch(epoch(2, "c"), 1), true);
  assertEquals(await other.beginEpoch(epoch(2, "d"), 1), false);
  assertEquals(await other.beginEpoch(epoch(9, "d"), 8), false);
  const epochs = await other.epochs();
  assertEquals(epochs.map(({ number }) => number), [1, 2]);
  assertEquals(epochs[1], epoch(2, "c"));
  assertEquals([await one.followEpoch(1), await other.followEpoch(2)], [false, true]);
  assert((await one.epochs()).every(({ followedAt }) => followedAt >= Date.now() - MINUTE), "it is not noted");
  assertThrows(() => one.beginEpoch(epoch(4, "e"), 2), RangeError);
});

mongoTest("an epoch that an earlier version kept is read: it has one time and no more", async (harness) => {
  const epochs = harness.database.collection<{ _id: number }>("epochs");
  await epochs.insertOne({ _id: 1, ...{ started_at: new Date(NOON), run_id: "run", marker: "a" } });
  const [epoch] = await harness.store.publications.epochs();
  assertEquals([epoch!.startedAt, epoch!.lostUntil, epoch!.followedAt], [NOON, NOON, NOON]);
});

mongoTest("all processes agree on the name of the database, and another database has another", async (harness) => {
  const one = harness.store.publications;
  const other = (await harness.another()).publications;
  const [name, same] = await Promise.all([one.database(), other.database()]);
  assertEquals([same, await one.database()], [name, name]);
  assertMatch(name, /^[0-9a-f]{32}$/);
  await harness.store.purge(Date.now());
  assertEquals(await one.database(), name);
  await using elsewhere = await openMongodb();
  assertNotEquals(await elsewhere.store.publications.database(), name);
});

mongoTest("slices go with their events, in small steps", async (harness) => {
  const slices = harness.database.collection<{ _id: string; received: Date }>("slices");
  const [old, young] = [
    events(3, (i) => ({ timestamp: NOON + i * MINUTE, receivedAt: NOON })),
    event({
      timestamp: NOON,
      receivedAt: NOON + 3 * HOUR,
    }),
  ];
  await store(harness.store, [...old, young]);
  await harness.settle();
  const [one] = await slices.find().toArray();
  await slices.insertMany(
    Array.from({ length: 2_500 }, (_, i) => ({
      ...one!,
      _id: `${TENANT}:minute:2026-01-15T11:00:${i}`,
      received: new Date(NOON - i),
    })),
  );
  assertEquals(await harness.store.purge(NOON + 2 * HOUR), 3);
  // The minute of receipt of an event that came three hours late.
  const left = await slices.find().toArray();
  assertEquals(left.map(({ received }) => received), [new Date(NOON + 3 * HOUR + MINUTE - 1_000)]);
});

mongoTest("health names the server and the database, never the password", async (harness) => {
  const { detail } = await harness.store.health();
  assertMatch(detail, /^MongoDB \d+\.\d+\.\d+, database eventhub_test_\w+ at 127\.0\.0\.1:\d+$/);
});
