/** Aggregate: windows of fixed length, their totals, and what late events do to them. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { HubError } from "../../../src/errors.ts";
import type { Event } from "../../../src/event.ts";
import { AGGREGATE_ROWS_MAX } from "../../../src/limits.ts";
import type { AggregateQuery } from "../../../src/rollup.ts";
import type { StoreCase, StoreHarness } from "../conformance.ts";
import { anyEvents, event, events, HOUR, MINUTE, NOON, ONE, SECOND, store, TENANT } from "./events.ts";
import { query, rowOf, rowsOf } from "./model.ts";

const WINDOWS = ["1m", "5m", "15m", "1h", "1d"] as const;
const DAY_START = Date.UTC(2026, 0, 15);
const DAY_END = DAY_START + 24 * HOUR;

/** The amount at a nearest rank. */
function atRank(amounts: readonly number[], p: number): number {
  return amounts.toSorted((a, b) => a - b)[Math.max(1, Math.ceil(p * amounts.length)) - 1]!;
}

async function assertRows(harness: StoreHarness, stored: readonly Event[], asked: AggregateQuery): Promise<void> {
  const what = `${asked.window}${asked.groupByType ? " by type" : ""}${asked.fill ? " filled" : ""}`;
  assertEquals(await harness.store.aggregate(asked), rowsOf(stored, asked), what);
}

/** Appends amounts to one minute and answers its row. */
async function rowOfAmounts(harness: StoreHarness, amounts: readonly number[], percentiles = false) {
  const tenant = `amounts-${crypto.randomUUID()}`;
  await store(harness.store, amounts.map((amount) => event({ tenant, amount })));
  await harness.settle();
  const asked = query({ tenant, from: NOON, to: NOON + MINUTE, percentiles });
  const rows = await harness.store.aggregate(asked);
  assertEquals(rows.length, 1);
  return rows[0]!;
}

const ROWS: readonly StoreCase[] = [
  {
    name: "aggregate: every window size, by type or not, filled or not, equals a plain computation",
    run: async (harness) => {
      let runs = 0;
      const property = fc.asyncProperty(anyEvents({ max: 80 }), async (all) => {
        const tenant = `rows-${runs += 1}`;
        const stored = all.map((one): Event => ({ ...one, tenant }));
        await store(harness.store, stored);
        await harness.settle();
        for (const window of WINDOWS) {
          for (const groupByType of [false, true]) {
            for (const fill of [false, true]) {
              const range = window === "1d" ? { from: DAY_START, to: DAY_END } : { from: NOON, to: NOON + 3 * HOUR };
              await assertRows(harness, stored, query({ tenant, ...range, window, groupByType, fill }));
            }
          }
        }
      });
      await fc.assert(property, { numRuns: 10 });
    },
  },
  {
    name: "aggregate: only the range, the tenant and the types asked for",
    run: async (harness) => {
      const stored = [
        ...events(30, (i) => ({ timestamp: NOON + i * 20 * SECOND, eventType: ["purchase", "return", "x"][i % 3] })),
        ...events(30, (i) => ({ timestamp: NOON + i * 20 * SECOND, tenant: "other", amount: 1 })),
      ];
      await store(harness.store, stored);
      await harness.settle();
      for (const eventTypes of [["purchase"], ["x", "return"], ["unheard"], ["unheard", "x"], null]) {
        for (const groupByType of [false, true]) {
          const asked = query({ from: NOON + 2 * MINUTE, to: NOON + 7 * MINUTE, eventTypes, groupByType });
          await assertRows(harness, stored, asked);
          await assertRows(harness, stored, { ...asked, fill: true });
        }
      }
      await assertRows(harness, stored, query({ tenant: "other", from: NOON, to: NOON + HOUR, window: "5m" }));
      assertEquals(await harness.store.aggregate(query({ tenant: "nobody", from: NOON, to: NOON + HOUR })), []);
      assertEquals(await harness.store.aggregate(query({ from: NOON + HOUR, to: NOON + 2 * HOUR })), []);
    },
  },
  {
    name: "aggregate: net is purchases less returns and refunds, with signs as sent",
    run: async (harness) => {
      const amounts = { purchase: 100, return: 30, refund: -5, exchange: 1_000, Purchase: 10_000 };
      const stored = Object.entries(amounts).map(([eventType, amount]) => event({ eventType, amount }));
      await store(harness.store, stored);
      await harness.settle();
      const asked = query({ from: NOON, to: NOON + MINUTE });
      const [row] = await harness.store.aggregate(asked);
      assertEquals([row!.net, row!.total, row!.count], [75n, 11_125n, 5]);
      const byType = await harness.store.aggregate({ ...asked, groupByType: true });
      const nets = Object.fromEntries(byType.map((one) => [one.eventType, one.net]));
      assertEquals(nets, { Purchase: 0n, exchange: 0n, purchase: 100n, refund: 5n, return: -30n });
    },
  },
  {
    name: "aggregate: the average has four digits and rounds half to even",
    run: async (harness) => {
      const averages: [number[], bigint][] = [
        [[0, 1], 0n],
        [[1, 2], 2n],
        [[2, 3], 2n],
        [[3, 4], 4n],
        [[0, -1], 0n],
        [[-1, -2], -2n],
        [[-2, -3], -2n],
        [[1, 1, 2], 1n],
        [[1, 2, 2], 2n],
        [[-1, -1, -2], -1n],
        [[1, 1, 1, 7], 2n],
        [[1_000_000_000 * ONE, -1_000_000_000 * ONE, 1], 0n],
      ];
      for (const [amounts, average] of averages) {
        assertEquals((await rowOfAmounts(harness, amounts)).average, average, amounts.join(" "));
      }
    },
  },
  {
    name: "aggregate: a late event changes its old window, and the revision grows",
    run: async (harness) => {
      const stored = events(50, (i) => ({ timestamp: NOON + i * 6 * SECOND }));
      await store(harness.store, stored);
      await harness.settle();
      const asked = query({ from: NOON, to: NOON + 5 * MINUTE });
      await assertRows(harness, stored, asked);
      const late = event({ timestamp: NOON + MINUTE + 1, amount: -3 });
      await store(harness.store, [late]);
      await harness.settle();
      await assertRows(harness, [...stored, late], asked);
      await assertRows(harness, [...stored, late], { ...asked, to: NOON + HOUR, window: "1h" });
      const [, row] = await harness.store.aggregate(asked);
      assertEquals([row!.count, row!.min], [11, -3]);
    },
  },
  {
    name: "aggregate: more rows than the limit are refused",
    run: async (harness) => {
      await store(harness.store, [event()]);
      await harness.settle();
      const asked = query({ from: NOON, to: NOON + AGGREGATE_ROWS_MAX * MINUTE, fill: true });
      assertEquals((await harness.store.aggregate(asked)).length, AGGREGATE_ROWS_MAX);
      const more = () => harness.store.aggregate({ ...asked, to: asked.to + MINUTE });
      assertEquals((await assertRejects(more, HubError)).code, "range_too_large");
    },
  },
];

const PERCENTILES: readonly StoreCase[] = [
  {
    name: "aggregate: percentiles are within 1 % of the nearest rank, small, negative and zero amounts too",
    run: async (harness) => {
      const amount = fc.oneof(
        fc.integer({ min: -200, max: 200 }),
        fc.integer({ min: -1_000_000, max: 1_000_000 }),
        fc.integer({ min: -1_000_000_000 * ONE, max: 1_000_000_000 * ONE }),
      );
      const property = fc.asyncProperty(
        fc.array(amount, { minLength: 1, maxLength: 150, size: "max" }),
        async (amounts) => {
          const row = await rowOfAmounts(harness, amounts, true);
          for (const [p, name] of [[0.5, "p50"], [0.95, "p95"], [0.99, "p99"]] as const) {
            const [exact, given] = [atRank(amounts, p), row.percentiles![name]];
            assert(Number.isSafeInteger(given), `${name} is ${given}`);
            assert(Math.abs(given - exact) * 100 <= Math.abs(exact), `${name} is ${given}, exactly ${exact}`);
            assert(given >= row.min! && given <= row.max!, `${name} is ${given}, not in [${row.min}, ${row.max}]`);
          }
        },
      );
      await fc.assert(property, { numRuns: 30 });
    },
  },
  {
    name: "aggregate: percentiles merge over windows and types, and are absent unless asked for",
    run: async (harness) => {
      const stored = events(3_000, (i) => ({
        timestamp: NOON + (i * 7919) % (2 * HOUR),
        amount: (i * 104_729) % 1_000_003,
        eventType: i % 2 === 0 ? "purchase" : "return",
      }));
      await store(harness.store, stored.slice(0, 1_000));
      await store(harness.store, stored.slice(1_000));
      await harness.settle();
      for (const window of WINDOWS.slice(0, 4)) {
        for (const groupByType of [false, true]) {
          const asked = query({ from: NOON, to: NOON + 2 * HOUR, window, groupByType });
          await assertRows(harness, stored, asked);
          for (const row of await harness.store.aggregate({ ...asked, percentiles: true })) {
            const inRow = stored.filter((one) => {
              const isInWindow = one.timestamp >= row.start && one.timestamp < row.end;
              return isInWindow && (row.eventType === null || row.eventType === one.eventType);
            });
            assertEquals({ ...row, percentiles: null }, rowOf(inRow, row));
            const exact = atRank(inRow.map((one) => one.amount), 0.95);
            assert(Math.abs(row.percentiles!.p95 - exact) * 100 <= exact, `${row.percentiles!.p95}, exactly ${exact}`);
          }
        }
      }
    },
  },
  {
    name: "aggregate: a filled row without events has no percentiles",
    run: async (harness) => {
      await store(harness.store, [event({ tenant: TENANT })]);
      await harness.settle();
      const asked = query({ from: NOON, to: NOON + 2 * MINUTE, fill: true, percentiles: true });
      const [full, empty] = await harness.store.aggregate(asked);
      assertEquals(full!.percentiles, { p50: 10 * ONE, p95: 10 * ONE, p99: 10 * ONE });
      assertEquals([empty!.count, empty!.percentiles, empty!.average, empty!.min], [0, null, null, null]);
    },
  },
];

/** Cases of aggregate but for time zones. */
export const AGGREGATE_CASES: readonly StoreCase[] = [...ROWS, ...PERCENTILES];
