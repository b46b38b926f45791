/** Erase: a user's events become anonymous and hidden, and every count stays. */
import { assertEquals } from "@std/assert";
import type { Event } from "../../../src/event.ts";
import type { AppendStatus } from "../../../src/storage.ts";
import type { StoreCase } from "../conformance.ts";
import { assertSameEvent, event, events, HOUR, idsOf, MINUTE, NOON, store, TENANT } from "./events.ts";
import { listAll, query, rowsOf, totalOf } from "./model.ts";

const ALL = { tenant: TENANT, from: NOON - HOUR, to: NOON + 24 * HOUR };

/** Cases of erase. */
export const ERASE_CASES: readonly StoreCase[] = [
  {
    name: "erase: hides a user's events from get and list, and touches nobody else's",
    run: async ({ store: driver }) => {
      const mine = events(40, (i) => ({ userId: "ann", timestamp: NOON + i, properties: '{"a":1}' }));
      const others = [event({ userId: "Ann" }), event({ userId: "bob" }), event({ userId: "ann", tenant: "other" })];
      await store(driver, [...mine.slice(0, 20), ...others, ...mine.slice(20)]);
      assertEquals(await driver.erase(TENANT, "nobody"), 0);
      assertEquals(await driver.erase(TENANT, "ann"), 40);
      assertEquals(await driver.erase(TENANT, "ann"), 0);
      for (const one of mine) assertEquals(await driver.get(TENANT, one.id), null);
      for (const one of others) assertSameEvent(await driver.get(one.tenant, one.id), one);
      for (const order of ["asc", "desc"] as const) {
        assertEquals(await listAll(driver, { tenant: TENANT, userId: "ann" }, { limit: 3, order }), []);
        assertEquals(await listAll(driver, { tenant: TENANT, userId: "" }, { limit: 3, order }), []);
        const listed = idsOf(await listAll(driver, { tenant: TENANT }, { limit: 3, order }));
        assertEquals(listed.sort(), idsOf(others.slice(0, 2)).sort());
      }
    },
  },
  {
    name: "erase: counting is untouched, and a recount agrees",
    run: async (harness) => {
      const stored = events(300, (i) => ({ userId: `u${i % 3}`, timestamp: NOON + i * 20_000, amount: i }));
      await store(harness.store, stored);
      await harness.settle();
      assertEquals(await harness.store.erase(TENANT, "u1"), 100);
      await harness.settle();
      assertEquals(await harness.store.count(ALL), totalOf(stored, ALL));
      const inside = { tenant: TENANT, from: NOON + 12_345, to: NOON + HOUR + 1 };
      assertEquals(await harness.store.count(inside), totalOf(stored, inside));
      const asked = query({ from: NOON, to: NOON + 2 * HOUR, window: "5m", groupByType: true });
      assertEquals(await harness.store.aggregate(asked), rowsOf(stored, asked));
      assertEquals((await harness.store.verify(ALL)).differing, 0);
      assertEquals((await harness.store.rebuild(ALL)).differing, 0);
      assertEquals(await harness.store.count(ALL), totalOf(stored, ALL));
    },
  },
  {
    name: "erase: of an erased event only type, amount and a sent timestamp are compared",
    run: async (harness) => {
      const sent = event({ id: "sent", userId: "ann", properties: '{"a":1}' });
      const unsent = event({ id: "unsent", userId: "ann", timestampGiven: false });
      await store(harness.store, [sent, unsent]);
      await harness.settle();
      assertEquals(await harness.store.erase(TENANT, "ann"), 2);
      const resent: [Partial<Event>, AppendStatus][] = [
        [sent, "duplicate"],
        [{ ...sent, userId: "else", properties: null }, "duplicate"],
        [{ ...sent, timestampGiven: false, timestamp: NOON + 1 }, "duplicate"],
        [{ ...sent, timestamp: NOON + 1 }, "conflict"],
        [{ ...sent, amount: sent.amount + 1 }, "conflict"],
        [{ ...sent, eventType: "return" }, "conflict"],
        [{ ...unsent, timestamp: NOON + MINUTE, timestampGiven: true }, "duplicate"],
        [{ ...unsent, amount: 1 }, "conflict"],
      ];
      const answers = await harness.store.append(resent.map(([given]) => event(given)));
      assertEquals(answers, resent.map(([, answer]) => answer));
      assertEquals(await harness.store.get(TENANT, "sent"), null, "a resend brought an erased event back");
      await harness.settle();
      assertEquals((await harness.store.count(ALL)).count, 2);
    },
  },
  {
    name: "erase: a new event of the same user is stored and seen",
    run: async ({ store: driver }) => {
      await store(driver, events(3, () => ({ userId: "ann" })));
      assertEquals(await driver.erase(TENANT, "ann"), 3);
      const fresh = event({ userId: "ann" });
      await store(driver, [fresh]);
      const listed = await listAll(driver, { tenant: TENANT, userId: "ann" }, { limit: 5, order: "desc" });
      assertEquals(idsOf(listed), [fresh.id]);
      assertEquals(await driver.erase(TENANT, "ann"), 1);
    },
  },
  {
    name: "erase: reaches all of many events, old and new",
    run: async ({ store: driver }) => {
      for (let batch = 0; batch < 3; batch++) {
        await store(driver, events(5_000, (i) => ({ userId: i % 50 === 0 ? "ann" : "bob", timestamp: NOON + i })));
      }
      assertEquals(await driver.erase(TENANT, "ann"), 300);
      assertEquals(await listAll(driver, { tenant: TENANT, userId: "ann" }, { limit: 100, order: "asc" }), []);
      assertEquals((await listAll(driver, { tenant: TENANT }, { limit: 1_000, order: "asc" })).length, 14_700);
    },
  },
];
