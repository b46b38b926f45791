/** Purge: events go by their time of receipt, their cells stay, and no id is counted twice afterwards. */
import { assertEquals } from "@std/assert";
import type { Event } from "../../../src/event.ts";
import type { StoreCase } from "../conformance.ts";
import { assertSameEvent, event, events, HOUR, idsOf, MINUTE, NOON, store, TENANT } from "./events.ts";
import { listAll, query, rowsOf } from "./model.ts";

const ALL = { tenant: TENANT, from: NOON - 24 * HOUR, to: NOON + 24 * HOUR };
/** A time of receipt between "early" and "late" events. */
const BORDER = NOON + 10 * HOUR;

/** Received before the border, and so purged. */
function early(given: Partial<Event> = {}): Event {
  return event({ receivedAt: BORDER - 1, ...given });
}

/** Received at the border, and so kept. */
function late(given: Partial<Event> = {}): Event {
  return event({ receivedAt: BORDER, ...given });
}

const GONE: readonly StoreCase[] = [
  {
    name: "purge: deletes what was received before a time, and says how much",
    run: async ({ store: driver }) => {
      const gone = [early(), early({ timestamp: NOON + HOUR }), early({ tenant: "other" })];
      const kept = [late(), late({ timestamp: NOON - HOUR }), late({ tenant: "other" })];
      await store(driver, gone);
      await store(driver, kept);
      assertEquals(await driver.purge(NOON), 0);
      assertEquals(await driver.purge(BORDER), gone.length);
      assertEquals(await driver.purge(BORDER), 0);
      for (const one of gone) assertEquals(await driver.get(one.tenant, one.id), null);
      for (const one of kept) assertSameEvent(await driver.get(one.tenant, one.id), one);
      const listed = await listAll(driver, { tenant: TENANT }, { limit: 1, order: "asc" });
      assertEquals(idsOf(listed), [kept[1]!.id, kept[0]!.id]);
      assertEquals(await driver.purge(BORDER + 1), kept.length);
      assertEquals(await listAll(driver, { tenant: TENANT }, { limit: 1, order: "desc" }), []);
    },
  },
  {
    name: "purge: many events go in one call",
    run: async (harness) => {
      await store(harness.store, events(10_000, (i) => ({ timestamp: NOON + i, receivedAt: BORDER - 1 })));
      await store(harness.store, [late()]);
      await harness.settle();
      assertEquals(await harness.store.purge(BORDER), 10_000);
      assertEquals((await harness.store.count({ tenant: TENANT, from: NOON, to: NOON + MINUTE })).count, 10_001);
    },
  },
  {
    name: "purge: cells stay, and count whole minutes as before",
    run: async (harness) => {
      const gone = events(240, (i) => ({ timestamp: NOON + i * 30_000, amount: i, receivedAt: BORDER - 1 }));
      const kept = [late({ timestamp: NOON + 3 * HOUR }), late({ timestamp: NOON })];
      await store(harness.store, gone);
      await store(harness.store, kept);
      await harness.settle();
      const before = await harness.store.count(ALL);
      assertEquals(await harness.store.purge(BORDER), gone.length);
      assertEquals(await harness.store.count(ALL), before);
      for (const window of ["1m", "15m", "1h"] as const) {
        const asked = query({ from: NOON, to: NOON + 4 * HOUR, window, groupByType: true });
        assertEquals(await harness.store.aggregate(asked), rowsOf([...gone, ...kept], asked));
      }
    },
  },
];

const AFTERWARDS: readonly StoreCase[] = [
  {
    name: "purge: an event not newer than one ever purged is refused, a newer one is stored",
    run: async (harness) => {
      const newest = NOON + HOUR - 1;
      await store(harness.store, [early({ timestamp: newest }), early({ timestamp: NOON })]);
      await harness.settle();
      assertEquals(await harness.store.purge(BORDER), 2);
      const sent = [
        late({ timestamp: newest }),
        late({ timestamp: newest + 1 }),
        late({ timestamp: newest - 1 }),
        late({ timestamp: 0 }),
      ];
      assertEquals(await harness.store.append(sent), ["purged", "stored", "purged", "purged"]);
      assertEquals(await harness.store.get(TENANT, sent[0]!.id), null);
      await harness.settle();
      assertEquals((await harness.store.count(ALL)).count, 3);
      assertEquals(await harness.store.purge(BORDER), 0);
      assertEquals(await harness.store.append([late({ timestamp: newest })]), ["purged"]);
    },
  },
  {
    name: "purge: a purged id sent again is refused with its old time, and a new event with a newer one",
    run: async (harness) => {
      const first = early({ id: "again" });
      await store(harness.store, [first]);
      await harness.settle();
      await harness.store.purge(BORDER);
      assertEquals(await harness.store.append([first]), ["purged"]);
      const second = late({ id: "again", timestamp: NOON + MINUTE, amount: 7 });
      assertEquals(await harness.store.append([second, second, { ...second, amount: 8 }]), [
        "stored",
        "duplicate",
        "conflict",
      ]);
      assertSameEvent(await harness.store.get(TENANT, "again"), second);
      await harness.settle();
      const total = await harness.store.count(ALL);
      assertEquals(total, { count: 2, sum: BigInt(first.amount + 7) });
    },
  },
  {
    name: "purge: of kept events a copy is still a duplicate, and other content a conflict",
    run: async ({ store: driver }) => {
      const kept = late({ timestamp: NOON - HOUR });
      await store(driver, [early({ timestamp: NOON })]);
      await store(driver, [kept]);
      assertEquals(await driver.purge(BORDER), 1);
      assertEquals(await driver.append([kept, { ...kept, amount: 1 }]), ["duplicate", "conflict"]);
    },
  },
  {
    name: "purge: minutes that lost events are frozen for verify and rebuild, later ones are not",
    run: async (harness) => {
      const minutes = (from: number, count: number, receivedAt: number) =>
        events(count, (i) => ({ timestamp: NOON + (from + i) * MINUTE, receivedAt }));
      await store(harness.store, minutes(0, 30, BORDER - 1));
      await store(harness.store, minutes(29, 151, BORDER));
      await harness.settle();
      const before = await harness.store.count(ALL);
      assertEquals(await harness.store.purge(BORDER), 30);
      for (const recount of [harness.store.verify(ALL), harness.store.rebuild(ALL)]) {
        const report = await recount;
        assertEquals([report.differing, report.frozenMinutes, report.events], [0, 30, 150]);
      }
      assertEquals(await harness.store.count(ALL), before, "rebuild took what was purged out of the cells");
      await harness.corrupt({ tenant: TENANT, span: "minute", start: NOON + 30 * MINUTE, eventType: "purchase" });
      assertEquals((await harness.store.verify(ALL)).differing, 1, "the minute behind the frozen ones");
      assertEquals((await harness.store.rebuild(ALL)).differing, 1);
      assertEquals((await harness.store.verify(ALL)).differing, 0);
      assertEquals(await harness.store.count(ALL), before);
    },
  },
  {
    name: "purge: of erased events too, and appends beside it are neither lost nor refused",
    run: async (harness) => {
      await store(
        harness.store,
        events(5_000, (i) => ({ timestamp: NOON + i, receivedAt: BORDER - 1, userId: `u${i % 2}` })),
      );
      await harness.settle();
      assertEquals(await harness.store.erase(TENANT, "u1"), 2_500);
      const newer = events(2_000, (i) => ({ timestamp: NOON + HOUR + i, receivedAt: BORDER }));
      const appending = [];
      for (let i = 0; i < newer.length; i += 50) appending.push(store(harness.store, newer.slice(i, i + 50)));
      assertEquals(await harness.store.purge(BORDER), 5_000);
      await Promise.all(appending);
      await harness.settle();
      assertEquals((await harness.store.count(ALL)).count, 7_000);
      assertEquals((await listAll(harness.store, { tenant: TENANT }, { limit: 500, order: "asc" })).length, 2_000);
      assertEquals((await harness.store.verify(ALL)).differing, 0);
    },
  },
];

const DAY = 24 * HOUR;

const CLOCKS: readonly StoreCase[] = [
  {
    name: "purge: an event whose timestamp lies ahead stays until its time has come, and refuses nobody's events",
    run: async (harness) => {
      const before = early();
      const far = early({ timestamp: BORDER + 300 * DAY });
      await store(harness.store, [before, far]);
      await store(harness.store, [early({ timestamp: BORDER })]);
      await harness.settle();
      assertEquals(await harness.store.purge(BORDER), 1);
      assertEquals(await harness.store.get(TENANT, before.id), null);
      assertSameEvent(await harness.store.get(TENANT, far.id), far);
      assertEquals(await harness.store.append([late({ timestamp: NOON + MINUTE }), far, { ...far, amount: 1 }]), [
        "stored",
        "duplicate",
        "conflict",
      ]);
      await harness.settle();
      assertEquals(await harness.store.purge(far.timestamp), 0, "not yet");
      assertEquals(await harness.store.purge(far.timestamp + 1), 3, "its time has come");
      assertEquals(await harness.store.get(TENANT, far.id), null);
    },
  },
  {
    name: "purge: events received while the clock was ahead keep nothing behind them",
    run: async (harness) => {
      const now = BORDER + 26 * HOUR;
      const ahead = (count: number) => events(count, () => ({ receivedAt: now + 3_650 * DAY }));
      const [first, stuck, second, last] = [early(), ahead(2_500), early({ timestamp: NOON + 1 }), ahead(1)];
      for (const group of [[first], stuck, [second], last, [late()]]) await store(harness.store, group);
      await harness.settle();
      await harness.store.purge(BORDER, { now });
      for (const { id } of [first, second]) assertEquals(await harness.store.get(TENANT, id), null);
      // Nothing behind it is due, so how old it is cannot be told.
      assertSameEvent(await harness.store.get(TENANT, last[0]!.id), last[0]!);
      assertEquals(await harness.store.purge(BORDER, { now }), 0);
      assertEquals((await harness.store.count(ALL)).count, 2_504);
      assertEquals((await harness.store.verify(ALL)).differing, 0);
    },
  },
];

/** Cases of purge. */
export const PURGE_CASES: readonly StoreCase[] = [...GONE, ...AFTERWARDS, ...CLOCKS];
