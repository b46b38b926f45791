/** List: filters, both orders, and pages that cover everything once. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { HubError } from "../../../src/errors.ts";
import type { Event } from "../../../src/event.ts";
import { PAGE_EVENTS_MAX } from "../../../src/limits.ts";
import type { EventFilter, EventPage } from "../../../src/storage.ts";
import type { StoreCase } from "../conformance.ts";
import { anyEvents, event, events, HOUR, idsOf, MINUTE, NOON, SECOND, store, TENANT } from "./events.ts";
import { listAll, listed } from "./model.ts";

const ORDERS = ["asc", "desc"] as const;

/** Filters of which some match much, some little and some nothing of what `anyEvents` makes. */
function anyFilter(): fc.Arbitrary<Omit<EventFilter, "tenant">> {
  const time = fc.oneof(
    fc.integer({ min: -1, max: 181 }).map((minutes) => NOON + minutes * MINUTE),
    fc.integer({ min: -1, max: 6 }).map((seconds) => NOON + seconds * SECOND),
    fc.integer({ min: 0, max: 3 * HOUR }).map((offset) => NOON + offset),
  );
  return fc.record({
    userId: fc.constantFrom("ann", "bob", "Ünal", "nobody"),
    eventTypes: fc.subarray(["purchase", "return", "refund", "none"], { minLength: 1 }),
    from: time,
    to: time,
  }, { requiredKeys: [] });
}

const PAGES: readonly StoreCase[] = [
  {
    name: "list: newest or oldest first, equal timestamps in order of arrival",
    run: async ({ store: driver }) => {
      const times = [5, 3, 5, 1, 5, 3, 9];
      const all = times.map((seconds, i) => event({ id: `${i}`, timestamp: NOON + seconds * SECOND }));
      for (const one of all) await store(driver, [one]);
      const oldestFirst = ["3", "1", "5", "0", "2", "4", "6"];
      for (const limit of [1, 2, 3, 7, 100]) {
        const asc = await listAll(driver, { tenant: TENANT }, { limit, order: "asc" });
        assertEquals(idsOf(asc), oldestFirst, `asc by ${limit}`);
        const desc = await listAll(driver, { tenant: TENANT }, { limit, order: "desc" });
        assertEquals(idsOf(desc), oldestFirst.toReversed(), `desc by ${limit}`);
      }
    },
  },
  {
    name: "list: filters by user, types and a half-open range",
    run: async ({ store: driver }) => {
      const at = (seconds: number) => NOON + seconds * SECOND;
      await store(driver, [
        event({ id: "a", userId: "ann", eventType: "purchase", timestamp: at(0) }),
        event({ id: "b", userId: "bob", eventType: "purchase", timestamp: at(1) }),
        event({ id: "c", userId: "ann", eventType: "return", timestamp: at(2) }),
        event({ id: "d", userId: "bob", eventType: "exchange", timestamp: at(3) }),
      ]);
      const found = async (filter: Omit<EventFilter, "tenant">) =>
        idsOf(await listAll(driver, { tenant: TENANT, ...filter }, { limit: 10, order: "asc" })).join("");
      assertEquals(await found({}), "abcd");
      assertEquals(await found({ userId: "ann" }), "ac");
      assertEquals(await found({ userId: "An" }), "");
      assertEquals(await found({ eventTypes: ["return", "exchange"] }), "cd");
      assertEquals(await found({ eventTypes: ["return", "unheard"] }), "c");
      assertEquals(await found({ userId: "bob", eventTypes: ["purchase"] }), "b");
      assertEquals(await found({ from: at(1), to: at(3) }), "bc");
      assertEquals(await found({ from: at(1) + 1, to: at(3) + 1 }), "cd");
      assertEquals(await found({ from: at(2), to: at(2) }), "");
      assertEquals(await found({ from: at(3), to: at(1) }), "");
      assertEquals(await found({ userId: "bob", eventTypes: ["purchase", "exchange"], from: at(2) }), "d");
    },
  },
  {
    name: "list: nothing stored is one empty last page",
    run: async ({ store: driver }) => {
      for (const order of ORDERS) {
        assertEquals(await driver.list({ tenant: "nobody" }, { limit: 5, order }), {
          events: [],
          ties: [],
          next: null,
        });
      }
    },
  },
  {
    name: "list: random filters, limits and orders cover what matches exactly once",
    run: async ({ store: driver }) => {
      let runs = 0;
      const anyPage = fc.record({
        filter: fc.oneof(fc.constant({}), anyFilter()),
        limit: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 40 })),
        order: fc.constantFrom(...ORDERS),
      });
      const property = fc.asyncProperty(
        anyEvents({ max: 120 }),
        fc.array(anyPage, { minLength: 4, maxLength: 8 }),
        async (all, pages) => {
          const tenant = `paged-${runs += 1}`;
          const stored = all.map((one): Event => ({ ...one, tenant }));
          for (let i = 0; i < stored.length; i += 17) await store(driver, stored.slice(i, i + 17));
          for (const { filter, limit, order } of pages) {
            const found = await listAll(driver, { ...filter, tenant }, { limit, order });
            assertEquals(idsOf(found), idsOf(listed(stored, { ...filter, tenant }, order)));
          }
        },
      );
      await fc.assert(property, { numRuns: 25 });
    },
  },
  {
    name: "list: the tie of each event is the place right behind it",
    run: async ({ store: driver }) => {
      await store(driver, events(12, (i) => ({ timestamp: NOON + (i >> 2) * SECOND })));
      for (const order of ORDERS) {
        const { events: all, ties } = await driver.list({ tenant: TENANT }, { limit: 12, order });
        assertEquals(ties.length, all.length);
        for (let i = 0; i < all.length; i++) {
          const after = { timestamp: all[i]!.timestamp, tie: ties[i]! };
          const page = await driver.list({ tenant: TENANT }, { limit: 12, order, after });
          assertEquals(idsOf(page.events), idsOf(all.slice(i + 1)), `${order}: behind event ${i}`);
        }
      }
    },
  },
  {
    name: "list: a tie of another kind of store is an invalid cursor",
    run: async ({ store: driver }) => {
      await store(driver, events(3));
      for (const order of ORDERS) {
        const after = { timestamp: NOON, tie: "no tie of a store" };
        const error = await assertRejects(() => driver.list({ tenant: TENANT }, { limit: 1, order, after }), HubError);
        assertEquals(error.code, "invalid_cursor");
      }
    },
  },
];

const GROWING: readonly StoreCase[] = [
  {
    name: "list: pages stay right while events come in before and behind",
    run: async ({ store: driver }) => {
      for (const order of ORDERS) {
        const tenant = `growing-${order}`;
        const at = (place: number) => event({ tenant, timestamp: NOON + place * SECOND });
        const early = Array.from({ length: 60 }, (_, i) => at(2 * (i >> 1)));
        await store(driver, early);
        const seen: Event[] = [];
        const added: Event[] = [];
        let after: EventPage["next"] = null;
        do {
          const page: EventPage = await driver.list({ tenant }, { limit: 7, order, after: after ?? undefined });
          seen.push(...page.events);
          after = page.next;
          const place = after === null ? 30 : (after.timestamp - NOON) / SECOND;
          const more = [at(place - 1), at(place), at(place + 1)];
          added.push(...more);
          if (added.length < 60) await store(driver, more);
        } while (after !== null);
        assertEquals(new Set(idsOf(seen)).size, seen.length, `${order}: an event twice`);
        const missed = early.filter((one) => !seen.some((other) => other.id === one.id));
        assertEquals(idsOf(missed), [], `${order}: an event that was there from the start was skipped`);
        const sorted = seen.toSorted((a, b) => order === "asc" ? a.timestamp - b.timestamp : b.timestamp - a.timestamp);
        assertEquals(seen.map((one) => one.timestamp), sorted.map((one) => one.timestamp), `${order}: out of order`);
      }
    },
  },
  {
    name: "list: pages stay right while many appends run beside them",
    run: async ({ store: driver }) => {
      const early = events(2_000, (i) => ({ timestamp: NOON + (i * 7919) % (2 * HOUR) }));
      await store(driver, early);
      let pending = true;
      const appending = (async () => {
        for (let batch = 0; batch < 40; batch++) {
          await store(
            driver,
            events(100, (i) => ({ timestamp: NOON + ((i + 1) * (batch + 1) * 104_729) % (2 * HOUR) })),
          );
        }
        pending = false;
      })();
      let rounds = 0;
      while (pending || rounds < 2) {
        const order = ORDERS[rounds++ % 2]!;
        const found = await listAll(driver, { tenant: TENANT }, { limit: 333, order });
        const ids = new Set(idsOf(found));
        assertEquals(ids.size, found.length, `${order}: an event twice`);
        assertEquals(idsOf(early.filter((one) => !ids.has(one.id))), [], `${order}: an event was skipped`);
      }
      await appending;
      assertEquals((await listAll(driver, { tenant: TENANT }, { limit: 1_000, order: "desc" })).length, 6_000);
    },
  },
  {
    name: "list: a rare user is found among many events, the newest ones too",
    run: async ({ store: driver }) => {
      const rare = [100, 9_000, 19_998].map((place) => `rare-${place}`);
      const all = events(20_000, (i) => ({ userId: `user-${i % 500}`, timestamp: NOON + i * 100 }));
      for (const id of rare) {
        const place = Number(id.split("-")[1]);
        all[place] = { ...all[place]!, id, userId: "rare" };
      }
      for (let i = 0; i < all.length; i += 5_000) await store(driver, all.slice(i, i + 5_000));
      for (const order of ORDERS) {
        const found = await listAll(driver, { tenant: TENANT, userId: "rare" }, { limit: 2, order });
        assertEquals(idsOf(found), order === "asc" ? rare : rare.toReversed());
      }
      const last = event({ userId: "rare", timestamp: NOON + 50 });
      await store(driver, [last]);
      const found = await listAll(driver, { tenant: TENANT, userId: "rare" }, { limit: PAGE_EVENTS_MAX, order: "asc" });
      assertEquals(idsOf(found), [last.id, ...rare]);
      const often = await listAll(driver, { tenant: TENANT, userId: "user-7" }, { limit: 9, order: "desc" });
      assertEquals(idsOf(often), idsOf(listed(all, { tenant: TENANT, userId: "user-7" }, "desc")));
      assert(often.length >= 39);
    },
  },
];

/** Cases of list. */
export const LIST_CASES: readonly StoreCase[] = [...PAGES, ...GROWING];
