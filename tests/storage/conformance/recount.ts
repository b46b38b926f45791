/** Verify and rebuild: the stored cells against a recount of the events. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { RECOUNT_DIFFERENCES_MAX } from "../../../src/limits.ts";
import type { CellKey, StoreCase, StoreHarness } from "../conformance.ts";
import { anyDetails, event, events, HOUR, MINUTE, NOON, store, TENANT } from "./events.ts";
import { query, rowsOf, totalOf } from "./model.ts";

const ALL = { tenant: TENANT, from: NOON - 24 * HOUR, to: NOON + 24 * HOUR };

function cellAt(start: number, given: Partial<CellKey> = {}): CellKey {
  return { tenant: TENANT, span: "minute", start, eventType: "purchase", ...given };
}

async function assertClean(harness: StoreHarness): Promise<void> {
  const report = await harness.store.verify(ALL);
  assertEquals([report.differing, report.differences], [0, []]);
}

/** A corrupted cell is found, told and mended; afterwards answers are as if nothing had been. */
async function assertMended(harness: StoreHarness, span: CellKey["span"]): Promise<void> {
  const stored = events(120, (i) => ({
    timestamp: NOON + i * MINUTE,
    eventType: i % 2 === 0 ? "purchase" : "return",
    amount: i,
  }));
  await store(harness.store, stored);
  await harness.settle();
  await assertClean(harness);
  const cell = cellAt(NOON + HOUR, { span });
  await harness.corrupt(cell);
  const found = await harness.store.verify(ALL);
  assertEquals(found.differing, 1);
  const [difference] = found.differences;
  assertEquals([difference!.start, difference!.span, difference!.eventType], [cell.start, span, "purchase"]);
  const length = span === "minute" ? MINUTE : HOUR;
  const ofType = stored.filter((one) => one.eventType === "purchase");
  const counted = totalOf(ofType, { tenant: TENANT, from: cell.start, to: cell.start + length });
  assertEquals(difference!.counted, counted);
  assert(difference!.stored?.count !== counted.count, "the difference does not show");
  assertEquals(await harness.store.verify(ALL), found, "verify changed something");
  assertEquals((await harness.store.rebuild(ALL)).differing, 1);
  await assertClean(harness);
  for (const window of ["1m", "1h"] as const) {
    const asked = query({ from: NOON, to: NOON + 2 * HOUR, window, groupByType: true });
    assertEquals(await harness.store.aggregate(asked), rowsOf(stored, asked));
  }
}

const FOUND: readonly StoreCase[] = [
  {
    name: "verify: clean after random appends, late ones too",
    run: async (harness) => {
      const details = fc.sample(anyDetails(), { numRuns: 2_000, seed: 11 });
      const stored = details.map((one, i) => event({ ...one, tenant: i % 3 === 0 ? "other" : TENANT }));
      for (let i = 0; i < stored.length; i += 311) await store(harness.store, stored.slice(i, i + 311));
      await harness.settle();
      await assertClean(harness);
      const report = await harness.store.verify(ALL);
      assertEquals(report.events, stored.filter((one) => one.tenant === TENANT).length);
      assert(report.cells > 100, `only ${report.cells} cells were compared`);
      assertEquals(report.frozenMinutes, 0);
      assertEquals((await harness.store.rebuild(ALL)).differing, 0);
      await assertClean(harness);
    },
  },
  {
    name: "verify: a wrong minute cell is found, and rebuild mends it",
    run: (harness) => assertMended(harness, "minute"),
  },
  {
    name: "verify: a wrong hour cell is found, and rebuild mends it",
    run: (harness) => assertMended(harness, "hour"),
  },
  {
    name: "verify: looks at its range, widened to hours, and at its tenant",
    run: async (harness) => {
      await store(harness.store, events(180, (i) => ({ timestamp: NOON + i * MINUTE })));
      await store(harness.store, events(180, (i) => ({ timestamp: NOON + i * MINUTE, tenant: "other" })));
      await harness.settle();
      await harness.corrupt(cellAt(NOON + HOUR + 59 * MINUTE));
      await harness.corrupt(cellAt(NOON + 2 * HOUR, { tenant: "other" }));
      const differing = async (from: number, to: number, tenant = TENANT) =>
        (await harness.store.verify({ tenant, from: NOON + from, to: NOON + to })).differing;
      assertEquals(await differing(0, HOUR), 0);
      assertEquals(await differing(0, HOUR + 1), 1);
      assertEquals(await differing(HOUR + MINUTE, HOUR + 2 * MINUTE), 1);
      assertEquals(await differing(2 * HOUR, 3 * HOUR), 0);
      assertEquals(await differing(2 * HOUR, 3 * HOUR, "other"), 1);
      assertEquals((await harness.store.verify({ tenant: TENANT, from: NOON, to: NOON + 1 })).events, 60);
      await harness.store.rebuild({ tenant: TENANT, from: NOON, to: NOON + HOUR });
      assertEquals(await differing(HOUR, 2 * HOUR), 1, "rebuild went beyond its range");
    },
  },
  {
    name: "verify: counts all differences and tells the first hundred",
    run: async (harness) => {
      const wrong = RECOUNT_DIFFERENCES_MAX + 1;
      await store(harness.store, events(wrong, (i) => ({ timestamp: NOON + i * MINUTE })));
      await harness.settle();
      for (let i = 0; i < wrong; i++) await harness.corrupt(cellAt(NOON + i * MINUTE));
      const report = await harness.store.verify(ALL);
      assertEquals([report.differing, report.differences.length], [wrong, RECOUNT_DIFFERENCES_MAX]);
      await harness.store.rebuild(ALL);
      await assertClean(harness);
    },
  },
];

const BESIDE: readonly StoreCase[] = [
  {
    name: "verify: finds nothing wrong while appends run beside it, and rebuild loses none of them",
    run: async (harness) => {
      const stored = events(6_000, (i) => ({ timestamp: NOON + (i * 7919) % (2 * HOUR), amount: i }));
      let pending = true;
      const appending = (async () => {
        for (let i = 0; i < stored.length; i += 100) await store(harness.store, stored.slice(i, i + 100));
        pending = false;
      })();
      let rounds = 0;
      while (pending || rounds < 2) {
        rounds += 1;
        const report = rounds % 2 === 0 ? await harness.store.rebuild(ALL) : await harness.store.verify(ALL);
        if (harness.store.settlesOnAppend) assertEquals(report.differences, []);
      }
      await appending;
      await harness.settle();
      await assertClean(harness);
      assertEquals(await harness.store.count(ALL), totalOf(stored, ALL));
    },
  },
  {
    name: "settle: nothing is left to count afterwards, however often and from wherever it is called",
    run: async (harness) => {
      const stored = events(500, (i) => ({ timestamp: NOON + i * 1_000 }));
      await store(harness.store, stored);
      await Promise.all([harness.store.settle(), harness.store.settle(), harness.store.settle()]);
      await harness.settle();
      assertEquals(await harness.store.settle(), 0);
      assertEquals(await harness.store.count(ALL), totalOf(stored, ALL));
      await assertClean(harness);
    },
  },
];

/** Cases of verify, rebuild and settle. */
export const RECOUNT_CASES: readonly StoreCase[] = [...FOUND, ...BESIDE];
