/** What a client can ask for costs MongoDB a bounded number of commands, however hostile it is. */
import { assert, assertEquals } from "@std/assert";
import type { Event } from "../../src/event.ts";
import type { EventPage, PagePosition, PageRequest } from "../../src/storage.ts";
import { ObjectId } from "mongodb";
import { MongodbStore } from "../../src/storage/mongodb.ts";
import { type EventDocument, toDocument } from "../../src/storage/mongodb_documents.ts";
import { ChangedCells } from "../../src/storage/mongodb_changed_cells.ts";
import { listEvents } from "../../src/storage/mongodb_pages.ts";
import { type Answer, answerAsEmpty, startFakeMongo } from "../services/fake_mongo.ts";
import { event, events, HOUR, idsOf, MINUTE, NOON, store, tally, TENANT } from "./conformance/events.ts";
import { query } from "./conformance/model.ts";
import { mongoLacking } from "../services/mongo.ts";
import { openMongodb } from "./mongodb.ts";
import { fakeTest, openOn } from "./mongodb_fake.ts";

const lacking = mongoLacking();

/** An empty database of a tenant that has all the types it may have, `type-0` to `type-199`. */
const answerWithAllTypes: Answer = (command) => {
  if (command.find !== "tenants") return answerAsEmpty(command);
  const types = Array.from({ length: 200 }, (_, i) => `type-${i}`);
  return { cursor: { id: 0n, ns: "event_hub.tenants", firstBatch: [{ _id: "default", event_types: types }] } };
};

fakeTest("equal ids that are refused are decided at once", async () => {
  await using fake = startFakeMongo(answerWithAllTypes);
  await using driver = await MongodbStore.open({ url: fake.url });
  const begun = fake.commands.length;
  const refused = events(10_000, () => ({ id: "same", eventType: "new" }));
  assertEquals(tally(await driver.append(refused)), { too_many_event_types: 10_000 });
  assert(fake.commands.length - begun < 10, `${fake.commands.length - begun} commands`);
});

fakeTest("of equal ids the first that may be stored is the first copy", async () => {
  await using fake = startFakeMongo(answerWithAllTypes);
  await using driver = await MongodbStore.open({ url: fake.url });
  const copies = ["new", "type-1", "other", "type-1", "type-2"].map((eventType) =>
    event({ id: "same", eventType, timestamp: NOON, receivedAt: NOON })
  );
  assertEquals(await driver.append(copies), [
    "too_many_event_types",
    "stored",
    "conflict",
    "duplicate",
    "conflict",
  ]);
});

fakeTest("equal ids that are refused as duplicates and not to be seen are given up together", async () => {
  await using open = await openOn((command) => ({
    n: 0,
    writeErrors: [{ index: 0, code: 11_000, errmsg: "E11000 duplicate key error", keyPattern: { _id: 1 } }],
    documents: command.documents,
  }));
  const startedAt = performance.now();
  assertEquals(tally(await open.store.append(events(50, () => ({ id: "same" })))), { unavailable: 50 });
  assert(performance.now() - startedAt < 15_000, "each copy was tried for as long as the first");
});

fakeTest("slow lists neither hold up what is stored nor wait without bound", async () => {
  const answers = Promise.withResolvers<void>();
  let asked = 0;
  await using fake = startFakeMongo(async (command) => {
    if (command.find === "events" && "timestamp" in (command.filter as object)) {
      asked++;
      await answers.promise;
    }
    return answerAsEmpty(command);
  });
  await using driver = await MongodbStore.open({ url: fake.url });
  const lists = Array.from(
    { length: 1_100 },
    () =>
      driver.list({ tenant: "default" }, { limit: 1, order: "asc" }).then(() => "answered", ({ code }) => String(code)),
  );
  assertEquals(await driver.append([event()]), ["stored"]);
  assert((await driver.health()).ok);
  assert(asked <= 12, `${asked} lists are asked at once`);
  answers.resolve();
  const outcomes = await Promise.all(lists);
  assertEquals(outcomes.filter((outcome) => outcome === "overloaded").length, 1_100 - 1_000 - 12);
  assertEquals(outcomes.filter((outcome) => outcome === "answered").length, 1_012);
});

fakeTest("a question of a client is given up by the server after a time", async () => {
  await using fake = startFakeMongo((command) =>
    command.maxTimeMS === undefined
      ? answerAsEmpty(command)
      : { ok: 0, code: 50, codeName: "MaxTimeMSExpired", errmsg: "operation exceeded time limit" }
  );
  await using driver = await MongodbStore.open({ url: fake.url });
  const range = { tenant: "default", from: NOON, to: NOON + HOUR + 1 };
  const questions = [
    driver.get("default", "x"),
    driver.list({ tenant: "default" }, { limit: 1, order: "asc" }),
    driver.list({ tenant: "default", eventTypes: ["rare"] }, { limit: 1, order: "asc" }),
    driver.count(range),
    driver.aggregate(query(range)),
    driver.publications.published({ after: { pub: 0, pend: "" }, limit: 1 }),
  ];
  for (const question of await Promise.allSettled(questions)) {
    assertEquals(question.status === "rejected" && question.reason.code, "overloaded");
  }
});

fakeTest("scattered events are counted with few writes, each of which waits for the disks", async () => {
  const uncounted = Array.from({ length: 300 }, (_, i) => {
    const time = NOON + i * HOUR;
    return toDocument(event({ timestamp: time, receivedAt: NOON }), {
      pub: NOON,
      arrival: new ObjectId(),
      slice: `slice ${i}`,
    });
  });
  await using fake = startFakeMongo((command) => {
    const isFirst = command.find === "events" && "pend" in (command.filter as object);
    if (!isFirst) return answerAsEmpty(command);
    return { cursor: { id: 0n, ns: "event_hub.events", firstBatch: uncounted } };
  });
  await using driver = await MongodbStore.open({ url: fake.url });
  await driver.settler.sweep({ ageMs: 0 });
  const writes = fake.commands.filter((command) => "update" in command && command.update !== "events");
  // 300 slices, 300 minutes and 300 hours, a hundred at once.
  assertEquals(writes.length, 9);
});

Deno.test("mongodb: no more changed cells are named than anybody would hear of", () => {
  const changed = new ChangedCells({ max: 2 });
  const documentAt = (timestamp: number) => ({
    tenant: "shop",
    timestamp: new Date(timestamp),
    event_type: "purchase",
  });
  changed.add([NOON, NOON + 1, NOON + MINUTE, NOON + 2 * MINUTE].map(documentAt));
  changed.add([documentAt(NOON + 3 * MINUTE)]);
  assertEquals(changed.cells.map(({ start }) => start), [NOON, NOON + MINUTE]);
});

Deno.test({
  name: `mongodb: a page of rare events is a bounded look at the others${lacking && ` (${lacking})`}`,
  ignore: lacking !== "",
  fn: async () => {
    await using harness = await openMongodb();
    const all = events(400, (i) => ({
      timestamp: NOON + Math.floor(i / 10),
      eventType: i % 150 === 149 ? "rare" : "usual",
      userId: i < 200 ? "ann" : "bob",
    }));
    await store(harness.store, all);
    const collection = harness.database.collection<EventDocument>("events");
    for (const order of ["asc", "desc"] as const) {
      for (
        const filter of [{ eventTypes: ["rare"] }, { eventTypes: ["rare"], userId: "ann" }, { eventTypes: ["none"] }]
      ) {
        const found: Event[] = [];
        let pages = 0;
        let after: PagePosition | null | undefined = undefined;
        do {
          const request: PageRequest = { limit: 2, order, ...(after && { after }) };
          const page: EventPage = await listEvents(collection, { tenant: TENANT, ...filter }, request, { lookMax: 30 });
          found.push(...page.events);
          pages++;
          after = page.next;
        } while (after !== null);
        const wanted = all.filter(({ eventType, userId }) =>
          filter.eventTypes.includes(eventType) && (filter.userId ?? userId) === userId
        );
        assertEquals(idsOf(found), idsOf(order === "asc" ? wanted : wanted.toReversed()));
        assert(pages > 5, `${pages} pages`);
      }
    }
    // Through the store a few hundred are looked at for one page.
    const page = await harness.store.list({ tenant: TENANT, eventTypes: ["rare"] }, { limit: 1, order: "asc" });
    assertEquals([page.events.length, page.next !== null], [1, true]);
  },
});
