/** Moving what a store holds: what it gives, and what becomes of it in another. */
import { assert, assertEquals } from "@std/assert";
import type { Event } from "../../../src/event.ts";
import { MemoryStore } from "../../../src/storage/memory.ts";
import type { CellGroup, CellPage, StoreTransfer } from "../../../src/transfer.ts";
import type { StoreCase, StoreHarness } from "../conformance.ts";
import { assertSameEvent, event, events, HOUR, idsOf, MINUTE, NOON, ONE, store, tally, TENANT } from "./events.ts";
import { listAll } from "./model.ts";

const BORDER = NOON + 10 * HOUR;
const ALL = { tenant: TENANT, from: NOON - HOUR, to: NOON + 30 * HOUR };
const TYPES = ["purchase", "refund", "return"];

/** What lies in a store before it is moved: purged, left in frozen minutes, late, erased, of other tenants. */
function historyOf(): { purged: Event[]; kept: Event[] } {
  const some = (count: number, given: (i: number) => Partial<Event>) =>
    events(count, (i) => ({
      eventType: TYPES[i % TYPES.length]!,
      amount: (i % 7 - 3) * ONE * 1_000 + i,
      userId: `user-${i % 4}`,
      ...given(i),
    }));
  const purged = some(60, (i) => ({
    tenant: i % 10 === 0 ? "other" : TENANT,
    timestamp: NOON + i * MINUTE / 2,
    receivedAt: BORDER - 1,
  }));
  const kept = [
    ...some(12, (i) => ({ timestamp: NOON + 5 * MINUTE + i * MINUTE, receivedAt: BORDER + i })),
    ...some(12, (i) => ({ timestamp: NOON + 3 * HOUR, receivedAt: BORDER + 100, tenant: i % 2 ? "other" : TENANT })),
    ...some(5, (i) => ({
      timestamp: NOON + 4 * HOUR + i,
      timestampGiven: i % 2 === 0,
      receivedAt: BORDER + 200,
      source: (["rest", "graphql", "grpc", "redis", "import"] as const)[i]!,
      properties: JSON.stringify({ text: "ü\n".repeat(1 + i * 500), n: [i, null, { deep: true }] }),
    })),
    ...some(3, () => ({ timestamp: NOON + 2 * HOUR, receivedAt: BORDER + 300 })),
  ];
  return { purged, kept };
}

/** A store of which retention took a part. */
async function withHistory(harness: Pick<StoreHarness, "store" | "settle">): Promise<Event[]> {
  const { purged, kept } = historyOf();
  await store(harness.store, purged);
  await store(harness.store, kept);
  await harness.settle();
  assertEquals(await harness.store.purge(BORDER), purged.length);
  assertEquals(await harness.store.erase(TENANT, "user-2") > 0, true);
  return kept.map((one) =>
    one.tenant === TENANT && one.userId === "user-2" ? { ...one, userId: "", properties: null } : one
  );
}

async function allEvents(transfer: StoreTransfer, limit = 7): Promise<Event[]> {
  const all: Event[] = [];
  for (let after: string | null = null;;) {
    const page = await transfer.events({ after, limit });
    all.push(...page.events);
    if (page.next === null) return all;
    after = page.next;
  }
}

async function allPages(read: (from: number) => Promise<CellPage>): Promise<CellGroup[]> {
  const groups: CellGroup[] = [];
  for (let from: number | null = 0; from !== null;) {
    const page: CellPage = await read(from);
    groups.push(...page.groups);
    from = page.next;
  }
  return groups;
}

async function allPurged(transfer: StoreTransfer): Promise<CellGroup[]> {
  const tenants = await transfer.tenants();
  const groups = tenants.map((tenant) => allPages((from) => transfer.purgedCells({ tenant, from, limit: 3 })));
  return (await Promise.all(groups)).flat();
}

/** Everything a store counts, as plain values that can be compared. */
async function cellsOf(transfer: StoreTransfer): Promise<unknown[]> {
  const cells: unknown[] = [];
  for (const tenant of await transfer.tenants()) {
    for (const span of ["minute", "hour"] as const) {
      for (const group of await allPages((from) => transfer.cells(span, { tenant, from, limit: 4 }))) {
        cells.push([span, ...plain(group)]);
      }
    }
  }
  return cells;
}

function plain({ tenant, start, cells }: CellGroup): unknown[] {
  const sorted = [...cells].sort(([a], [b]) => a < b ? -1 : 1);
  return [
    tenant,
    start,
    ...sorted.map(([type, { histogram, ...cell }]) => [type, { ...cell, histogram: [...histogram.encode()] }]),
  ];
}

/** The events without what a driver may write differently. */
function comparable(all: readonly Event[]): unknown[] {
  return all.map((one) => ({ ...one, properties: one.properties && JSON.parse(one.properties) }));
}

/** Moves what a store holds to another, in the order that docs/design.md gives. */
async function move(from: StoreTransfer, to: StoreTransfer): Promise<void> {
  await to.begin();
  const purged = await allPurged(from);
  assertEquals(new Set(await to.addPurged(purged)), new Set(["added"]));
  const all = await allEvents(from);
  for (let i = 0; i < all.length; i += 11) {
    assertEquals(new Set(await to.append(all.slice(i, i + 11))), new Set(["stored"]));
  }
  await to.refuseThrough((await from.refusedThrough())!);
}

const GIVING: readonly StoreCase[] = [
  {
    name: "transfer: a store that holds nothing gives nothing",
    run: async ({ transfer }) => {
      await transfer.begin();
      assertEquals([await transfer.tenants(), await transfer.refusedThrough(), await allEvents(transfer)], [
        [],
        null,
        [],
      ]);
      assertEquals((await transfer.cells("minute", { tenant: TENANT, from: 0, limit: 10 })).groups, []);
      assertEquals((await transfer.purgedCells({ tenant: TENANT, from: 0, limit: 10 })).groups, []);
    },
  },
  {
    name: "transfer: every event comes once, as it is, in the order of the log, and erased ones come without a user",
    run: async (harness) => {
      const kept = await withHistory(harness);
      await harness.transfer.begin();
      for (const limit of [1, 7, 1_000]) {
        assertEquals(comparable(await allEvents(harness.transfer, limit)), comparable(kept), `pages of ${limit}`);
      }
      assertEquals(await harness.transfer.tenants(), ["default", "other"]);
    },
  },
  {
    name: "transfer: what is counted is the events and the cells of purged ones, and each once",
    run: async (harness) => {
      await withHistory(harness);
      await harness.transfer.begin();
      const counted = (groups: readonly CellGroup[]) =>
        groups.flatMap(({ cells }) => [...cells.values()]).reduce((sum, { count }) => sum + count, 0);
      const purged = await allPurged(harness.transfer);
      assertEquals([counted(purged), (await allEvents(harness.transfer)).length], [60, 32]);
      for (const group of purged) {
        for (const cell of group.cells.values()) assertEquals(cell.histogram.count, cell.count);
      }
      for (const span of ["minute", "hour"] as const) {
        let count = 0;
        for (const tenant of ["default", "other"]) {
          count += counted(await allPages((from) => harness.transfer.cells(span, { tenant, from, limit: 2 })));
        }
        assertEquals(count, 92, span);
      }
    },
  },
];

const TAKING: readonly StoreCase[] = [
  {
    name: "transfer: a moved store is as the one it came from: events, order, every cell, what is frozen and refused",
    run: async (harness) => {
      await using source = new MemoryStore();
      const kept = await withHistory({ store: source, settle: () => Promise.resolve() });
      await move(source.transfer, harness.transfer);
      await harness.settle();
      assertEquals(comparable(await allEvents(harness.transfer)), comparable(kept));
      assertEquals(await cellsOf(harness.transfer), await cellsOf(source.transfer));
      const [before, after] = [await source.verify(ALL), await harness.store.verify(ALL)];
      assertEquals([after.differing, after.frozenMinutes, after.events], [
        0,
        before.frozenMinutes,
        before.events,
      ]);
      const list = async (one: StoreHarness["store"]) =>
        idsOf(await listAll(one, { tenant: TENANT }, { limit: 5, order: "asc" }));
      assertEquals(await list(harness.store), await list(source));
      assertEquals(await harness.store.count(ALL), await source.count(ALL));
      assertEquals(await harness.store.append([event({ timestamp: NOON }), event({ timestamp: BORDER })]), [
        "purged",
        "stored",
      ]);
      const [first] = kept;
      assertEquals(await harness.store.append([first!, { ...first!, amount: 1 }]), ["duplicate", "conflict"]);
    },
  },
  {
    name: "transfer: an erased event stays hidden, counted, and is compared without its user",
    run: async (harness) => {
      const erased = event({ userId: "", properties: null, amount: 5 });
      assertEquals(await harness.transfer.append([erased, event()]), ["stored", "stored"]);
      await harness.settle();
      assertEquals(await harness.store.get(TENANT, erased.id), null);
      assertEquals((await listAll(harness.store, { tenant: TENANT }, { limit: 5, order: "asc" })).length, 1);
      assertEquals((await harness.store.count(ALL)).count, 2);
      assertEquals(await harness.store.append([{ ...erased, userId: "who" }, { ...erased, amount: 6 }]), [
        "duplicate",
        "conflict",
      ]);
    },
  },
  {
    name: "transfer: done again, at any place, it changes nothing",
    run: async (harness) => {
      await using source = new MemoryStore();
      await withHistory({ store: source, settle: () => Promise.resolve() });
      const purged = await allPurged(source.transfer);
      const half = Math.ceil(purged.length / 2);
      assertEquals(new Set(await harness.transfer.addPurged(purged, { check: true })), new Set(["added"]));
      assertEquals(await harness.transfer.tenants(), []);
      assertEquals(new Set(await harness.transfer.addPurged(purged.slice(0, half))), new Set(["added"]));
      const statuses = await harness.transfer.addPurged(purged);
      assertEquals(statuses, purged.map((_, i) => i < half ? "there" : "added"));
      const all = await allEvents(source.transfer);
      await harness.transfer.append(all.slice(0, 10));
      assertEquals(new Set(await harness.transfer.addPurged(purged)), new Set(["there"]));
      assertEquals(tally(await harness.transfer.append(all)), { duplicate: 10, stored: all.length - 10 });
      await harness.transfer.refuseThrough((await source.transfer.refusedThrough())!);
      await harness.transfer.refuseThrough(0);
      await harness.settle();
      assertEquals(tally(await harness.transfer.append(all)), { duplicate: all.length });
      assertEquals(new Set(await harness.transfer.addPurged(purged)), new Set(["there"]));
      assertEquals(await cellsOf(harness.transfer), await cellsOf(source.transfer));
      assertEquals((await harness.store.verify(ALL)).differing, 0);
    },
  },
  {
    name: "transfer: cells of purged events where something else is counted are a conflict, and nothing changes",
    run: async (harness) => {
      await using source = new MemoryStore();
      await store(source, events(4, () => ({ receivedAt: BORDER - 1 })));
      await source.purge(BORDER);
      const purged = await allPurged(source.transfer);
      const own = event({ timestamp: NOON + 1 });
      await store(harness.store, [own]);
      await harness.settle();
      const before = await cellsOf(harness.transfer);
      assertEquals(await harness.transfer.addPurged(purged, { check: true }), ["conflict"]);
      assertEquals(await harness.transfer.addPurged(purged), ["conflict"]);
      assertEquals(await cellsOf(harness.transfer), before);
      await harness.store.purge(Date.now() * 2);
      assertEquals(await harness.transfer.addPurged(purged), ["conflict"], "another's purged events");
      assertEquals(await cellsOf(harness.transfer), before);
    },
  },
  {
    name: "transfer: a store that is given its own cells back knows them",
    run: async (harness) => {
      await withHistory(harness);
      await harness.transfer.begin();
      const before = await cellsOf(harness.transfer);
      const purged = await allPurged(harness.transfer);
      assert(purged.length > 20);
      assertEquals(new Set(await harness.transfer.addPurged(purged)), new Set(["there"]));
      assertEquals(await cellsOf(harness.transfer), before);
    },
  },
  {
    name: "transfer: the types of purged events count among those a tenant may have",
    run: async (harness) => {
      await using source = new MemoryStore();
      const one = (eventType: string, given: Partial<Event> = {}) => event({ eventType, ...given });
      await store(source, [one("other-1", { receivedAt: BORDER - 1 }), one("other-2", { receivedAt: BORDER - 1 })]);
      await source.purge(BORDER);
      const purged = await allPurged(source.transfer);
      await store(harness.store, events(199, (i) => ({ eventType: `type-${i}` })));
      assertEquals(await harness.transfer.addPurged(purged, { check: true }), ["too_many_event_types"]);
      assertEquals(await harness.transfer.addPurged(purged), ["too_many_event_types"]);
      const [{ cells, ...of }] = purged as [CellGroup];
      const first = { ...of, cells: new Map([...cells].slice(0, 1)) };
      assertEquals(await harness.transfer.addPurged([first]), ["added"]);
      assertEquals(await harness.store.append([one("another")]), ["too_many_event_types"]);
    },
  },
  {
    name: "transfer: nothing is purged until an import is complete, whatever became of it",
    run: async (harness) => {
      await store(harness.store, [event({ receivedAt: BORDER - 1 })]);
      await harness.transfer.endImport();
      await harness.transfer.beginImport();
      await harness.transfer.beginImport();
      assertEquals(await harness.store.purge(BORDER), 0);
      await harness.transfer.endImport();
      assertEquals(await harness.store.purge(BORDER), 1);
    },
  },
  {
    name: "transfer: events of a moved frozen minute and cells of it, in two parts",
    run: async (harness) => {
      await using source = new MemoryStore();
      const late = event({ receivedAt: BORDER, eventType: "refund" });
      await store(source, [
        ...TYPES.map((eventType) => event({ eventType, receivedAt: BORDER - 1 })),
        late,
      ]);
      await source.purge(BORDER);
      const [{ cells, ...of }] = await allPurged(source.transfer) as [CellGroup];
      for (const one of cells) {
        assertEquals(await harness.transfer.addPurged([{ ...of, cells: new Map([one]) }]), ["added"]);
      }
      await harness.transfer.append([late]);
      await harness.transfer.refuseThrough(NOON);
      await harness.settle();
      assertEquals(await cellsOf(harness.transfer), await cellsOf(source.transfer));
      assertSameEvent(await harness.store.get(TENANT, late.id), late);
    },
  },
];

/** Cases of moving. */
export const TRANSFER_CASES: readonly StoreCase[] = [...GIVING, ...TAKING];
