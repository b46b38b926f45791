/** Cells and rows: the laws of folding, exact sums of any size, and rows as the contract describes them. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { HubError } from "../src/errors.ts";
import { Histogram } from "../src/histogram.ts";
import { AGGREGATE_ROWS_MAX } from "../src/limits.ts";
import {
  type AggregateQuery,
  type AggregateRow,
  type Cell,
  emptyCell,
  foldAmount,
  type KeyedCell,
  mergeCell,
  spansOf,
  summarise,
} from "../src/rollup.ts";
import { HOUR_MS, MINUTE_MS } from "../src/window.ts";

const UNITS_MAX = 10 ** 13;
const DAY_MS = 24 * HOUR_MS;
const START = Date.UTC(2025, 6, 15);
const amounts = fc.oneof(
  fc.integer({ min: -1_000_000, max: 1_000_000 }),
  fc.maxSafeInteger().map((n) => n % (UNITS_MAX + 1) + 0),
);

function cellOf(list: Iterable<number>): Cell {
  const cell = emptyCell();
  for (const amount of list) foldAmount(cell, amount);
  return cell;
}

function stored(start: number, eventType: string, list: readonly number[]): KeyedCell {
  const histogram = new Histogram();
  for (const amount of list) histogram.add(amount);
  return { start, eventType, histogram, ...cellOf(list) };
}

function queryOf(overrides: Partial<AggregateQuery> = {}): AggregateQuery {
  return {
    tenant: "default",
    from: START,
    to: START + HOUR_MS,
    window: "1m",
    groupByType: false,
    eventTypes: null,
    fill: false,
    zone: "UTC",
    percentiles: false,
    ...overrides,
  };
}

/** The row without what a test does not look at. */
function brief(row: AggregateRow): [number, string | null, number, bigint] {
  return [(row.start - START) / MINUTE_MS, row.eventType, row.count, row.total];
}

Deno.test("rollup: a cell is what BigInt says, in any order and any grouping", () => {
  const cuts = fc.array(fc.nat({ max: 60 }), { maxLength: 10 });
  fc.assert(fc.property(fc.array(amounts, { maxLength: 60 }), cuts, (list, cuts) => {
    const expected: Cell = {
      count: list.length,
      sum: list.reduce((sum, amount) => sum + BigInt(amount), 0n),
      min: list.length === 0 ? 0 : Math.min(...list),
      max: list.length === 0 ? 0 : Math.max(...list),
    };
    assertEquals(cellOf(list), expected);
    assertEquals(cellOf(list.toReversed()), expected);
    const edges = [0, ...cuts.map((cut) => Math.min(cut, list.length)).sort((a, b) => a - b), list.length];
    const cells = edges.slice(1).map((edge, i) => cellOf(list.slice(edges[i], edge)));
    const fromLeft = emptyCell();
    for (const cell of cells) mergeCell(fromLeft, cell);
    assertEquals(fromLeft, expected);
    const fromRight = emptyCell();
    for (const cell of cells.toReversed()) mergeCell(fromRight, cell);
    assertEquals(fromRight, expected);
  }));
});

Deno.test("rollup: 1,000,000 random amounts in random groupings sum up exactly", () => {
  let seed = 42;
  const random = () => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
  const groups = [emptyCell()];
  let sum = 0n;
  for (let i = 0; i < 1_000_000; i++) {
    const amount = Math.trunc((random() - 0.5) * 2 * UNITS_MAX) + 0;
    sum += BigInt(amount);
    if (random() < 0.001) groups.push(emptyCell());
    foldAmount(groups[Math.floor(random() * groups.length)]!, amount);
  }
  while (groups.length > 1) {
    const [from] = groups.splice(Math.floor(random() * groups.length), 1);
    mergeCell(groups[Math.floor(random() * groups.length)]!, from!);
  }
  assertEquals(groups[0]!.count, 1_000_000);
  assertEquals(groups[0]!.sum, sum);
});

Deno.test("rollup: 2,000,000 amounts of a billion in one cell pass 64 bits", () => {
  const cell = emptyCell();
  for (let i = 0; i < 2_000_000; i++) foldAmount(cell, UNITS_MAX);
  assertEquals(cell, { count: 2_000_000, sum: 20_000_000_000_000_000_000n, min: UNITS_MAX, max: UNITS_MAX });
  assert(cell.sum > 2n ** 64n);
  const [row] = summarise([{ ...cell, start: START, eventType: "refund", histogram: null }], queryOf());
  assertEquals(row?.total, cell.sum);
  assertEquals(row?.net, -cell.sum);
  assertEquals(row?.average, BigInt(UNITS_MAX));
});

Deno.test("rollup: a row has sums, net, extremes, a rounded mean and percentiles", () => {
  // Below 99 units every amount is a bucket of its own, so that these percentiles are exact.
  const cells = [
    stored(START, "purchase", [10, 20, 31]),
    stored(START, "return", [5]),
    stored(START, "refund", [-1]),
    stored(START, "exchange", [0]),
  ];
  assertEquals(summarise(cells, queryOf({ percentiles: true })), [{
    start: START,
    end: START + MINUTE_MS,
    eventType: null,
    count: 6,
    total: 65n,
    net: 57n,
    min: -1,
    max: 31,
    average: 11n,
    percentiles: { p50: 5, p95: 31, p99: 31 },
  }]);
  assertEquals(summarise(cells, queryOf())[0]?.percentiles, null);
  const unread = cells.map((cell) => ({ ...cell, histogram: null }));
  assertEquals(summarise(unread, queryOf({ percentiles: true }))[0]?.percentiles, null);
});

Deno.test("rollup: means are rounded half to even, to either side of zero", () => {
  const mean = (list: number[]) => summarise([stored(START, "t", list)], queryOf())[0]?.average;
  assertEquals([[1, 2], [3, 4], [-1, -2], [-3, -4], [0, 1], [0, -1]].map(mean), [2n, 4n, -2n, -4n, 0n, 0n]);
  assertEquals([[1, 1, 2], [1, 2, 2], [-1, -1, -2], [-1, -2, -2]].map(mean), [1n, 2n, -1n, -2n]);
});

Deno.test("rollup: rows come by start, then type; what was not asked for stays out", () => {
  const cells = [
    stored(START + 2 * MINUTE_MS, "b", [1]),
    stored(START, "b", [2]),
    stored(START + 2 * MINUTE_MS, "a", [3, 3]),
    stored(START, "c", [4]),
    stored(START - MINUTE_MS, "a", [5]),
    stored(START + HOUR_MS, "a", [6]),
    stored(START + MINUTE_MS, "a", []),
  ];
  assertEquals(summarise(cells, queryOf()).map(brief), [[0, null, 2, 6n], [2, null, 3, 7n]]);
  assertEquals(summarise(cells, queryOf({ groupByType: true })).map(brief), [
    [0, "b", 1, 2n],
    [0, "c", 1, 4n],
    [2, "a", 2, 6n],
    [2, "b", 1, 1n],
  ]);
  assertEquals(summarise(cells, queryOf({ eventTypes: ["b", "z"] })).map(brief), [[0, null, 1, 2n], [2, null, 1, 1n]]);
});

Deno.test("rollup: filled, every window has a row for each type seen in the range", () => {
  const cells = [stored(START + MINUTE_MS, "b", [7]), stored(START + 3 * MINUTE_MS, "a", [8])];
  const query = queryOf({ to: START + 4 * MINUTE_MS, fill: true });
  assertEquals(summarise(cells, query).map(brief), [[0, null, 0, 0n], [1, null, 1, 7n], [2, null, 0, 0n], [
    3,
    null,
    1,
    8n,
  ]]);
  const grouped = summarise(cells, { ...query, groupByType: true });
  assertEquals(grouped.map(brief).slice(0, 4), [[0, "a", 0, 0n], [0, "b", 0, 0n], [1, "a", 0, 0n], [1, "b", 1, 7n]]);
  assertEquals(grouped.length, 8);
  assertEquals(summarise([], query).length, 4);
  assertEquals(summarise([], { ...query, groupByType: true }), []);
  const empty = summarise([], { ...query, percentiles: true })[0];
  assertEquals([empty?.min, empty?.max, empty?.average, empty?.percentiles], [null, null, null, null]);
  assertEquals([empty?.total, empty?.net], [0n, 0n]);
});

Deno.test("rollup: windows of every size hold exactly their cells", () => {
  const list = fc.array(fc.tuple(fc.nat({ max: 3 * 1440 - 1 }), fc.constantFrom("a", "b"), amounts), { maxLength: 80 });
  const sizes = fc.constantFrom("1m" as const, "5m" as const, "15m" as const, "1h" as const, "1d" as const);
  fc.assert(fc.property(list, sizes, fc.boolean(), fc.boolean(), (list, window, fill, groupByType) => {
    const cells = list.map(([minute, type, amount]) => stored(START + minute * MINUTE_MS, type, [amount]));
    const rows = summarise(
      cells,
      queryOf({ to: START + 3 * DAY_MS, window, fill: fill && window !== "1m", groupByType }),
    );
    assertEquals(rows.reduce((sum, row) => sum + row.total, 0n), list.reduce((sum, [, , a]) => sum + BigInt(a), 0n));
    for (const row of rows) {
      const inside = list.filter(([minute, type]) => {
        const start = START + minute * MINUTE_MS;
        return start >= row.start && start < row.end && (row.eventType === null || row.eventType === type);
      });
      assertEquals(row.count, inside.length);
      assertEquals(row.total, inside.reduce((sum, [, , amount]) => sum + BigInt(amount), 0n));
    }
  }));
});

Deno.test("rollup: days of a zone, from hours where they fit and from minutes elsewhere", () => {
  const spans = (given: Pick<AggregateQuery, "window" | "zone">, from: number, to: number) =>
    [...spansOf({ ...given, from, to })].map(({ span, start, end }) => [
      span,
      (start - from) / HOUR_MS,
      (end - from) / HOUR_MS,
    ]);
  const days = (zone: string, from: number, to: number) => spans({ window: "1d", zone }, from, to);
  assertEquals(days("UTC", START, START + DAY_MS), [["hour", 0, 24]]);
  assertEquals(days("Europe/Berlin", START - 2 * HOUR_MS, START + 22 * HOUR_MS), [["hour", 0, 24]]);
  assertEquals(days("Asia/Kolkata", START - 5.5 * HOUR_MS, START + 42.5 * HOUR_MS), [
    ["minute", 0, 0.5],
    ["hour", 0.5, 23.5],
    ["minute", 23.5, 24.5],
    ["hour", 24.5, 47.5],
    ["minute", 47.5, 48],
  ]);
  // Lord Howe Island is 11 hours ahead in summer and 10:30 in winter.
  assertEquals(days("Australia/Lord_Howe", Date.UTC(2025, 0, 1, 13), Date.UTC(2025, 0, 3, 13)), [["hour", 0, 48]]);
  assertEquals(spans({ window: "1h", zone: "Asia/Kolkata" }, START, START + HOUR_MS), [["hour", 0, 1]]);
  assertEquals(spans({ window: "15m", zone: "UTC" }, START, START + HOUR_MS), [["minute", 0, 1]]);
  assertEquals(days("Asia/Kolkata", START, START), []);

  const from = Date.parse("2025-10-25T22:00:00Z");
  const hours = Array.from({ length: 25 + 24 }, (_, i) => stored(from + i * HOUR_MS, "t", [i]));
  const rows = summarise(hours, queryOf({ from, to: from + 49 * HOUR_MS, window: "1d", zone: "Europe/Berlin" }));
  assertEquals(rows.map((row) => [(row.end - row.start) / HOUR_MS, row.count]), [[25, 25], [24, 24]]);
});

Deno.test("rollup: percentiles of a row are within 1 % of all its amounts", () => {
  const groups = fc.array(fc.array(amounts, { minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 6 });
  fc.assert(fc.property(groups, (groups) => {
    const cells = groups.map((list, i) => stored(START + i * MINUTE_MS, "t", list));
    const [row] = summarise(cells, queryOf({ window: "1h", percentiles: true }));
    const sorted = groups.flat().sort((a, b) => a - b);
    for (
      const [percent, found] of [[50, row?.percentiles?.p50], [95, row?.percentiles?.p95], [99, row?.percentiles?.p99]]
    ) {
      const expected = sorted[Math.ceil((percent! * sorted.length) / 100) - 1]!;
      assert(Math.abs(found! - expected) * 100 <= Math.abs(expected), `p${percent}: ${found}, not ${expected}`);
    }
  }));
});

Deno.test("rollup: more than 10,000 rows are refused, 10,000 are not", () => {
  const cells = Array.from({ length: AGGREGATE_ROWS_MAX }, (_, i) => stored(START + i * MINUTE_MS, "t", [1]));
  const query = queryOf({ to: START + 20_000 * MINUTE_MS });
  assertEquals(summarise(cells, query).length, AGGREGATE_ROWS_MAX);
  const more = [...cells, stored(START + AGGREGATE_ROWS_MAX * MINUTE_MS, "t", [1])];
  const refused = [
    () => summarise(more, query),
    () => summarise([], { ...query, fill: true }),
    () => summarise([], { ...query, from: 0, to: Date.UTC(9999, 0, 1), fill: true }),
    () =>
      summarise([], { ...query, from: 0, to: Date.UTC(9999, 0, 1), window: "1d", zone: "Europe/Berlin", fill: true }),
    () =>
      summarise([stored(START, "a", [1]), stored(START, "b", [1])], {
        ...query,
        to: START + 5_001 * MINUTE_MS,
        fill: true,
        groupByType: true,
      }),
  ];
  for (const run of refused) assertEquals(assertThrows(run, HubError).code, "range_too_large");
  const filled = { ...query, to: START + AGGREGATE_ROWS_MAX * MINUTE_MS, fill: true };
  assertEquals(summarise([], filled).length, AGGREGATE_ROWS_MAX);
});
