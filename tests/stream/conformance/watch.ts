/** Watch: who waits is told of every commit, and who follows misses nothing. */
import { assert, assertEquals } from "@std/assert";
import type { Event } from "../../../src/event.ts";
import type { ChangedCell, EventStream } from "../../../src/stream.ts";
import { event, events, HOUR, idsOf, MINUTE, NOON, store, TENANT } from "../../storage/conformance/events.ts";
import type { StreamCase } from "../conformance.ts";
import { follow, idsIn } from "./reading.ts";

/** Collects changed cells until all of the wanted ones were named. */
function whenNamed(stream: EventStream, wanted: readonly string[]): Promise<Set<string>> {
  const named = new Set<string>();
  const { promise, resolve } = Promise.withResolvers<Set<string>>();
  const unwatch = stream.watchCells((cells) => {
    // `all` says that any may have changed, and so names none.
    for (const cell of cells === "all" ? [] : cells) named.add(nameOf(cell));
    if (wanted.every((name) => named.has(name))) resolve(named);
  });
  return promise.finally(unwatch);
}

function nameOf(cell: ChangedCell): string {
  return `${cell.tenant} ${(cell.start - NOON) / MINUTE} ${cell.eventType}`;
}

const TOLD: readonly StreamCase[] = [
  {
    name: "watch: calls after a commit, when what was committed can be read",
    run: async ({ store: driver, stream }) => {
      for (let round = 0; round < 5; round++) {
        const after = await stream.head();
        const called = Promise.withResolvers<void>();
        const unwatch = stream.watch(() => called.resolve());
        const one = event();
        await store(driver, [one]);
        await called.promise;
        unwatch();
        const page = await stream.read({ after, limit: 5 });
        assertEquals([idsIn(page.entries), page.caughtUp], [[one.id], true]);
      }
    },
  },
  {
    name: "watch: who stopped watching is not called, who still watches is",
    run: async ({ store: driver, stream }) => {
      let stopped = 0;
      const listener = () => void (stopped += 1);
      const unwatch = stream.watch(listener);
      const still = stream.watch(listener);
      unwatch();
      unwatch();
      const told = Promise.withResolvers<void>();
      const unwatchTold = stream.watch(() => told.resolve());
      await store(driver, [event()]);
      await told.promise;
      assertEquals(stopped, 1, "of one listener that watched twice one watch was left");
      still();
      unwatchTold();
      const again = Promise.withResolvers<void>();
      const unwatchAgain = stream.watch(() => again.resolve());
      await store(driver, [event()]);
      await again.promise;
      unwatchAgain();
      assertEquals(stopped, 1);
    },
  },
  {
    name: "watchCells: names the cells that a commit changed, and no others",
    run: async ({ store: driver, stream }) => {
      const first = [
        event({ timestamp: NOON }),
        event({ timestamp: NOON + MINUTE - 1 }),
        event({ timestamp: NOON + MINUTE, eventType: "return" }),
        event({ timestamp: NOON - 24 * HOUR, tenant: "other", eventType: "a.b:c" }),
      ];
      const expected = [`${TENANT} 0 purchase`, `${TENANT} 1 return`, "other -1440 a.b:c"];
      const named = whenNamed(stream, expected);
      await store(driver, first);
      assertEquals([...await named].sort(), expected.toSorted());
      const second = whenNamed(stream, [`${TENANT} 2 refund`]);
      await driver.append([first[0]!, event({ timestamp: NOON + 2 * MINUTE, eventType: "refund" })]);
      assertEquals([...await second], [`${TENANT} 2 refund`], "a duplicate changes no cell");
    },
  },
  {
    name: "watchCells: the cells of many appends are all named",
    run: async ({ store: driver, stream }) => {
      const all = events(3_000, (i) => ({
        timestamp: NOON + (i % 500) * MINUTE,
        eventType: i % 2 === 0 ? "purchase" : "x",
      }));
      const wanted = new Set(
        all.map(({ tenant, timestamp: start, eventType }) => nameOf({ tenant, start, eventType })),
      );
      const named = whenNamed(stream, [...wanted]);
      const appending = [];
      for (let i = 0; i < all.length; i += 100) appending.push(store(driver, all.slice(i, i + 100)));
      await Promise.all(appending);
      assertEquals((await named).size, wanted.size);
    },
  },
];

const FOLLOWED: readonly StreamCase[] = [
  {
    name: "follow: readers beside many appends see every event once, in one order",
    run: async ({ store: driver, stream }) => {
      const early = events(200);
      await store(driver, early.slice(0, 150));
      const start = await stream.head();
      await store(driver, early.slice(150));
      const [clients, rounds, size] = [8, 25, 10];
      const count = 50 + clients * rounds * size;
      const following = [1, 7, 512].map((limit) => follow(stream, { after: start, count, limit }));
      const appending = Array.from({ length: clients }, async (_, client) => {
        const own: Event[] = [];
        for (let round = 0; round < rounds; round++) {
          const batch = events(size, (i) => ({ timestamp: NOON + ((client * 31 + i) * 7919) % HOUR }));
          await store(driver, batch);
          own.push(...batch);
        }
        return own;
      });
      const sent = await Promise.all(appending);
      const [first, ...others] = (await Promise.all(following)).map(idsIn);
      assertEquals(first!.slice(0, 50), idsOf(early.slice(150)));
      assertEquals(first!.toSorted(), idsOf([...early.slice(150), ...sent.flat()]).sort());
      for (const other of others) assertEquals(other, first);
      for (const own of sent) {
        // Who waits for one append before the next finds its events in that order.
        const places = own.map((one) => first!.indexOf(one.id));
        const batches = Array.from({ length: rounds }, (_, i) => places.slice(i * size, (i + 1) * size));
        const isInOrder = batches.every((batch, i) => i === 0 || Math.min(...batch) > Math.max(...batches[i - 1]!));
        assert(isInOrder, "appends of one client are out of order");
      }
    },
  },
  {
    name: "follow: two tenants on one log, each with its own events",
    run: async ({ store: driver, stream }) => {
      const after = await stream.head();
      const all = events(1_200, (i) => ({ tenant: i % 5 === 0 ? "few" : "many" }));
      const few = follow(stream, { after, tenant: "few", count: 240, limit: 9 });
      const many = follow(stream, { after, tenant: "many", count: 960, limit: 200 });
      for (let i = 0; i < all.length; i += 60) await store(driver, all.slice(i, i + 60));
      assertEquals(idsIn(await few), idsOf(all.filter((one) => one.tenant === "few")));
      assertEquals(idsIn(await many), idsOf(all.filter((one) => one.tenant === "many")));
    },
  },
  {
    name: "follow: cut anywhere and resumed by cursor, beside appends, still every event once",
    run: async ({ store: driver, stream }) => {
      const after = await stream.head();
      const all = events(600);
      const appending = (async () => {
        for (let i = 0; i < all.length; i += 6) await store(driver, all.slice(i, i + 6));
      })();
      const seen: string[] = [];
      let cursor = stream.cursor(TENANT, after);
      while (seen.length < all.length) {
        const { position, reset } = await stream.open(TENANT, { cursor });
        assertEquals(reset, null);
        const part = await follow(stream, { after: position, tenant: TENANT, count: 1, limit: 1 + seen.length % 13 });
        seen.push(...idsIn(part));
        cursor = stream.cursor(TENANT, part.at(-1)!.position);
      }
      await appending;
      assertEquals(seen, idsOf(all));
    },
  },
];

/** Cases of watching and following. */
export const WATCH_CASES: readonly StreamCase[] = [...TOLD, ...FOLLOWED];
