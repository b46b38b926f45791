/** Moving a MongoDB store: its order, what was changed by hand, and hubs beside it. */
import { assertEquals } from "@std/assert";
import type { Event } from "../../src/event.ts";
import { MemoryStore } from "../../src/storage/memory.ts";
import { mongoLacking } from "../services/mongo.ts";
import { event, events, HOUR, idsOf, MINUTE, NOON, store, TENANT } from "./conformance/events.ts";
import { type MongodbHarness, openMongodb } from "./mongodb.ts";

const ALL = { tenant: TENANT, from: NOON - HOUR, to: NOON + 30 * HOUR };
const lacking = mongoLacking();

function mongoTest(name: string, run: (harness: MongodbHarness) => Promise<void>): void {
  Deno.test({
    name: `mongodb: ${name}${lacking && ` (${lacking})`}`,
    ignore: lacking !== "",
    fn: async () => {
      await using harness = await openMongodb({ isPublished: true });
      await run(harness);
    },
  });
}

async function exported({ transfer }: MongodbHarness, limit: number): Promise<Event[]> {
  const all: Event[] = [];
  for (let after: string | null = null;;) {
    const page = await transfer.events({ after, limit });
    all.push(...page.events);
    if (page.next === null) return all;
    after = page.next;
  }
}

mongoTest(
  "what was published in one moment is exported in the order of arrival, however small the pages",
  async (harness) => {
    const all = events(40, (i) => ({ id: `z-${100 - i}` }));
    for (const group of [all.slice(0, 30), all.slice(30)]) await store(harness.store, group);
    await harness.database.collection("events").updateMany({}, { $set: { pub: new Date(NOON) } });
    const later = event({ id: "a" });
    await store(harness.store, [later]);
    for (const limit of [1, 7, 39, 40, 41, 100]) {
      assertEquals(idsOf(await exported(harness, limit)), idsOf([...all, later]), `pages of ${limit}`);
    }
  },
);

mongoTest("an event that was changed by hand is named and not exported", async (harness) => {
  const all = events(3);
  await store(harness.store, all);
  const key = `${TENANT}:${all[1]!.id}`;
  await harness.database.collection<{ _id: string }>("events").updateOne({ _id: key }, { $set: { amount: "much" } });
  const page = await harness.transfer.events({ after: null, limit: 10 });
  assertEquals([idsOf(page.events), page.unreadable], [[all[0]!.id, all[2]!.id], [key]]);
});

mongoTest(
  "what is imported is counted and marked by nothing, also when the import dies before it counts",
  async (harness) => {
    const mine = events(20, (i) => ({ timestamp: NOON + i * MINUTE, receivedAt: NOON + i }));
    const theirs = event({ timestamp: NOON + HOUR });
    await store(harness.store, [theirs]);
    await harness.transfer.append(mine);
    const marked = await harness.database.collection("events").find({
      $or: [{ pend: { $exists: true } }, { unpub: true }],
    })
      .toArray();
    assertEquals(
      marked.map(({ _id }) => String(_id)),
      [`${TENANT}:${theirs.id}`],
      "what others stored is left to them",
    );
    // Stored, but not counted: as if it had died in between.
    const rest = events(5, (i) => ({ timestamp: NOON + 2 * HOUR + i, receivedAt: NOON }));
    await store(harness.store, rest);
    assertEquals(await harness.transfer.append(rest), rest.map(() => "duplicate"));
    await harness.store.settle();
    assertEquals([(await harness.store.count(ALL)).count, (await harness.store.verify(ALL)).differing], [26, 0]);
  },
);

mongoTest(
  "an event that another hub takes while its minute is being frozen is counted beside the moved cells",
  async (harness) => {
    const other = await harness.another();
    // The other hub has just read that nothing is frozen, and believes that for a second.
    await store(other, [event({ timestamp: NOON + 5 * HOUR })]);
    const { cells } = await cellsOf(events(3, () => ({ amount: 7 })));
    assertEquals(await harness.transfer.addPurged([{ tenant: TENANT, start: NOON, cells }]), ["added"]);
    await harness.transfer.refuseThrough(NOON);
    const [status] = await other.append([event({ timestamp: NOON + 1, amount: 1 })]);
    await harness.store.settle();
    const { count, sum } = await harness.store.count({ ...ALL, to: NOON + HOUR });
    assertEquals([count, sum], status === "stored" ? [4, 22n] : [3, 21n]);
    assertEquals(await harness.store.append([event({ timestamp: NOON + 2 })]), ["purged"]);
  },
);

/** Cells of events that are nowhere. */
async function cellsOf(all: readonly Event[]) {
  await using memory = new MemoryStore();
  await store(memory, all);
  const { groups } = await memory.transfer.cells("minute", { tenant: TENANT, from: 0, limit: 1 });
  return groups[0]!;
}
