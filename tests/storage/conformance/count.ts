/** Count: exact to the millisecond, and sums that no 64 bits hold. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Event } from "../../../src/event.ts";
import { BATCH_EVENTS_MAX } from "../../../src/limits.ts";
import type { StoreCase } from "../conformance.ts";
import { anyEvents, event, events, HOUR, MINUTE, NOON, ONE, SECOND, store, TENANT } from "./events.ts";
import { query, totalOf } from "./model.ts";

const BILLION = 1_000_000_000 * ONE;
const AMOUNTS = 2_000_000;
/** Appends between two purges: so many events the case keeps at most, or it would need a gigabyte. */
const APPENDS_KEPT = 25;

/** Cases of count. */
export const COUNT_CASES: readonly StoreCase[] = [
  {
    name: "count: random ranges, edges inside minutes, equal a plain computation",
    run: async (harness) => {
      let runs = 0;
      const edge = fc.oneof(
        fc.integer({ min: -HOUR, max: 4 * HOUR }).map((offset) => NOON + offset),
        fc.integer({ min: 0, max: 6 }).map((seconds) => NOON + seconds * SECOND),
        fc.integer({ min: -60, max: 240 }).map((minutes) => NOON + minutes * MINUTE),
      );
      const property = fc.asyncProperty(
        anyEvents({ max: 150 }),
        fc.array(fc.tuple(edge, edge), { minLength: 8, maxLength: 12 }),
        async (all, ranges) => {
          const tenant = `counted-${runs += 1}`;
          const stored = all.map((one): Event => ({ ...one, tenant }));
          await store(harness.store, stored);
          await harness.settle();
          for (const [from, to] of ranges) {
            const range = { tenant, from, to };
            assertEquals(await harness.store.count(range), totalOf(stored, range), `${from - NOON} to ${to - NOON}`);
          }
        },
      );
      await fc.assert(property, { numRuns: 25 });
    },
  },
  {
    name: "count: each edge is counted to the millisecond",
    run: async (harness) => {
      const offsets = [0, 1, MINUTE - 1, MINUTE, HOUR - 1, HOUR, 2 * HOUR, 2 * HOUR + 1, 25 * HOUR];
      const stored = offsets.map((offset) => event({ timestamp: NOON + offset, amount: 1 }));
      await store(harness.store, stored);
      await harness.settle();
      const edges = offsets.flatMap((offset) => [offset - 1, offset, offset + 1]);
      for (const from of edges) {
        for (const to of edges) {
          const range = { tenant: TENANT, from: NOON + from, to: NOON + to };
          assertEquals(await harness.store.count(range), totalOf(stored, range), `${from} to ${to}`);
        }
      }
      const { count } = await harness.store.count({ tenant: TENANT, from: 0, to: Date.UTC(9999, 0) });
      assertEquals(count, stored.length);
    },
  },
  {
    name: "count: an empty range, a reversed one and an unknown tenant count nothing",
    run: async (harness) => {
      await store(harness.store, events(3));
      await harness.settle();
      const none = { count: 0, sum: 0n };
      assertEquals(await harness.store.count({ tenant: TENANT, from: NOON, to: NOON }), none);
      assertEquals(await harness.store.count({ tenant: TENANT, from: NOON + HOUR, to: NOON - HOUR }), none);
      assertEquals(
        await harness.store.count({ tenant: TENANT, from: NOON + 30 * SECOND, to: NOON + 10 * SECOND }),
        none,
      );
      assertEquals(await harness.store.count({ tenant: "nobody", from: 0, to: NOON + HOUR }), none);
    },
  },
  {
    name: "count: of a minute that is cut, events that were purged are not counted, those kept are",
    run: async (harness) => {
      const border = NOON + HOUR;
      const gone = events(3, (i) => ({ timestamp: NOON + i * SECOND, receivedAt: border - 1, amount: 1 }));
      const kept = events(4, (i) => ({ timestamp: NOON + (3 + i) * SECOND, receivedAt: border, amount: 10 }));
      await store(harness.store, [...gone, ...kept]);
      await harness.settle();
      assertEquals(await harness.store.purge(border), 3);
      const cut = { tenant: TENANT, from: NOON, to: NOON + 5 * SECOND };
      assertEquals(await harness.store.count(cut), totalOf(kept, cut));
      const whole = { tenant: TENANT, from: NOON, to: NOON + MINUTE };
      assertEquals(await harness.store.count(whole), totalOf([...gone, ...kept], whole));
    },
  },
  {
    name: "count: over very many cells of small negative sums it is exact",
    run: async (harness) => {
      // Sums that are kept in parts have a large low part here, in each of 11,020 cells.
      const many = events(58 * 190, (i) => ({
        eventType: `type-${i % 190}`,
        amount: -1,
        timestamp: NOON + (1 + Math.floor(i / 190)) * MINUTE,
      }));
      await store(harness.store, many);
      await harness.settle();
      const range = { tenant: TENANT, from: NOON + MINUTE, to: NOON + 59 * MINUTE };
      assertEquals(await harness.store.count(range), totalOf(many, range));
      assertEquals(
        await harness.store.count({ ...range, from: range.from - 1, to: range.to + 1 }),
        totalOf(many, range),
      );
    },
  },
  {
    name: "count: two million amounts of a billion in one cell neither overflow nor lose the smallest one",
    run: async (harness) => {
      await store(harness.store, [event({ amount: 1, receivedAt: NOON })]);
      for (let batch = 0; batch < AMOUNTS / BATCH_EVENTS_MAX; batch++) {
        const timestamp = NOON + batch;
        await store(
          harness.store,
          events(BATCH_EVENTS_MAX, () => ({ timestamp, amount: BILLION, receivedAt: timestamp })),
        );
        if (batch % APPENDS_KEPT === APPENDS_KEPT - 1) {
          await harness.settle();
          await harness.store.purge(timestamp);
        }
      }
      await harness.settle();
      const expected = { count: AMOUNTS + 1, sum: BigInt(AMOUNTS) * BigInt(BILLION) + 1n };
      assertEquals(await harness.store.count({ tenant: TENANT, from: NOON, to: NOON + MINUTE }), expected);
      for (const [window, length] of [["1m", MINUTE], ["1h", HOUR]] as const) {
        const [row] = await harness.store.aggregate(query({ from: NOON, to: NOON + length, window }));
        assertEquals([row!.count, row!.total, row!.min, row!.max], [expected.count, expected.sum, 1, BILLION]);
      }
      const timestamp = NOON + AMOUNTS;
      const negative = events(BATCH_EVENTS_MAX, () => ({ tenant: "below", amount: -BILLION, timestamp }));
      await store(harness.store, negative);
      await harness.settle();
      const below = await harness.store.count({ tenant: "below", from: timestamp, to: timestamp + 1 });
      assertEquals(below.sum, -BigInt(BATCH_EVENTS_MAX) * BigInt(BILLION));
    },
  },
];
