/** Health, disposal, and what a store keeps when it is opened again. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { HubError } from "../../../src/errors.ts";
import { EVENT_TYPES_PER_TENANT_MAX } from "../../../src/limits.ts";
import type { StoreCase } from "../conformance.ts";
import { assertSameEvent, event, events, HOUR, idsOf, MINUTE, NOON, store, TENANT } from "./events.ts";
import { listAll, query } from "./model.ts";

const ALL = { tenant: TENANT, from: NOON - HOUR, to: NOON + HOUR };

/** Cases of the lifetime of a store. */
export const LIFETIME_CASES: readonly StoreCase[] = [
  {
    name: "health: an open store is well and says something about itself",
    run: async ({ store: driver }) => {
      const health = await driver.health();
      assertEquals(health.ok, true);
      assert(health.detail.length > 0 && driver.name.length > 0);
    },
  },
  {
    name: "dispose: twice is harmless, afterwards everything is unavailable and nothing hangs",
    run: async ({ store: driver }) => {
      await store(driver, [event({ id: "before" })]);
      await Promise.all([driver[Symbol.asyncDispose](), driver[Symbol.asyncDispose]()]);
      await driver[Symbol.asyncDispose]();
      assertEquals(await driver.append(events(3)), ["unavailable", "unavailable", "unavailable"]);
      const calls: Record<string, () => Promise<unknown>> = {
        get: () => driver.get(TENANT, "before"),
        list: () => driver.list({ tenant: TENANT }, { limit: 1, order: "asc" }),
        aggregate: () => driver.aggregate(query({ from: NOON, to: NOON + MINUTE })),
        count: () => driver.count(ALL),
        settle: () => driver.settle(),
        verify: () => driver.verify(ALL),
        rebuild: () => driver.rebuild(ALL),
        purge: () => driver.purge(NOON),
        erase: () => driver.erase(TENANT, "user-1"),
      };
      for (const [name, call] of Object.entries(calls)) {
        const error = await assertRejects(call, HubError);
        assertEquals(error.code, "unavailable", name);
      }
      assertEquals((await driver.health()).ok, false);
    },
  },
  {
    name: "dispose: while appends run, each is answered",
    run: async ({ store: driver }) => {
      const appending = Array.from({ length: 50 }, () => driver.append(events(20)));
      await driver[Symbol.asyncDispose]();
      for (const answer of await Promise.all(appending)) {
        assertEquals(answer.length, 20);
        assert(answer.every((status) => status === "stored" || status === "unavailable"), answer.join(" "));
      }
    },
  },
  {
    name: "reopen: everything that was answered is there, with its cells and its refusals",
    run: async (harness) => {
      const first = event({ id: "first", properties: '{"a":1}', timestampGiven: false });
      const purged = event({ timestamp: NOON - HOUR, receivedAt: NOON - HOUR + 1 });
      const typed = events(EVENT_TYPES_PER_TENANT_MAX, (i) => ({ tenant: "typed", eventType: `type-${i}` }));
      await store(harness.store, [purged]);
      await store(harness.store, [first, ...events(99, () => ({ userId: "ann" })), ...typed]);
      await harness.settle();
      await harness.store.purge(NOON - HOUR + 2);
      await harness.store.erase(TENANT, "ann");
      const counted = await harness.store.count(ALL);
      const appending = Array.from({ length: 30 }, (_, i) => harness.store.append([event({ id: `raced-${i}` })]));
      await harness.reopen();
      const answers = (await Promise.all(appending)).flat();
      await harness.settle();
      const { store: driver } = harness;
      assertSameEvent(await driver.get(TENANT, "first"), first);
      const raced = answers.map((answer, i) => `${i}:${answer}`);
      for (const [i, answer] of answers.entries()) {
        const found = await driver.get(TENANT, `raced-${i}`);
        if (answer === "stored") assert(found, `raced-${i} was answered and is gone: ${raced.join(" ")}`);
      }
      const listed = idsOf(await listAll(driver, { tenant: TENANT }, { limit: 7, order: "asc" }));
      const added = listed.filter((id) => id.startsWith("raced")).length;
      assertEquals(listed.length, added + 1);
      assertEquals((await driver.count(ALL)).count, counted.count + added);
      assertEquals((await driver.verify(ALL)).differing, 0);
      assertEquals(await driver.append([{ ...first, timestamp: NOON + 5 }, { ...purged, receivedAt: NOON }]), [
        "duplicate",
        "purged",
      ]);
      assertEquals(await driver.append([event({ tenant: "typed", eventType: "one-more" })]), ["too_many_event_types"]);
    },
  },
];
