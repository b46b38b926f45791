/** The histogram: its promise of 1 %, merging, and its stored form. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Histogram } from "../src/histogram.ts";

const UNITS_MAX = 10 ** 13;
const RANKS = [0.01, 0.07, 0.25, 0.5, 0.9, 0.95, 0.99, 1];

/** Amounts of every size, both signs, zero often. */
const amounts = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 4, arbitrary: fc.integer({ min: -5_000, max: 5_000 }) },
  { weight: 4, arbitrary: fc.tuple(fc.double({ min: 0, max: 13, noNaN: true }), fc.boolean()).map(ofSize) },
);

function ofSize([digits, negative]: [number, boolean]): number {
  const amount = Math.min(UNITS_MAX, Math.round(10 ** digits));
  return negative ? -amount : amount;
}

function histogramOf(list: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const amount of list) histogram.add(amount);
  return histogram;
}

function boundsOf(list: readonly number[]): { min: number; max: number } {
  return { min: list.reduce((a, b) => Math.min(a, b)), max: list.reduce((a, b) => Math.max(a, b)) };
}

/** The amount at the nearest rank, by sorting. `percent` is whole, so that no rounding can hide in the rank. */
function exact(list: readonly number[], percent: number): number {
  const sorted = Float64Array.from(list).sort();
  return sorted[Number((BigInt(percent) * BigInt(list.length) + 99n) / 100n) - 1]!;
}

function assertWithinOnePercent(actual: number, expected: number): void {
  assert(Number.isInteger(actual));
  // Integers only: |actual − expected| ≤ 1 % of |expected|.
  const distance = BigInt(Math.abs(actual - expected)) * 100n;
  assert(distance <= BigInt(Math.abs(expected)), `${actual} is more than 1 % away from ${expected}`);
}

Deno.test("histogram: what was added is taken out again, and what is not in it is noticed", () => {
  const amounts = fc.array(fc.integer({ min: -1_000_000, max: 1_000_000 }));
  fc.assert(fc.property(amounts, amounts, (kept, taken) => {
    const histogram = histogramOf([...kept, ...taken]);
    assert(histogram.subtract(histogramOf(taken)));
    assertEquals(histogram.encode(), histogramOf(kept).encode());
    assert(!histogram.subtract(histogramOf([...kept, 5])));
  }));
});

Deno.test("histogram: percentiles lie within 1 % of the exact nearest rank; negatives and zero too", () => {
  fc.assert(
    fc.property(fc.array(amounts, { minLength: 1, maxLength: 300 }), (list) => {
      const histogram = histogramOf(list);
      for (const p of RANKS) {
        assertWithinOnePercent(histogram.percentile(p, boundsOf(list)), exact(list, Math.round(p * 100)));
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("histogram: every amount alone is within 1 % of itself, also where buckets begin and end", () => {
  const check = (amount: number) => {
    const histogram = new Histogram();
    histogram.add(amount);
    const found = histogram.percentile(0.5, { min: -UNITS_MAX, max: UNITS_MAX });
    assertWithinOnePercent(found, amount);
    if (amount < 99) assertEquals(found, amount);
  };
  for (let amount = 0; amount <= 50_000; amount++) check(amount);
  for (let amount = 1; amount < UNITS_MAX; amount = Math.ceil(amount * 1.0007)) {
    check(amount - 1);
    check(amount);
  }
  for (const amount of [UNITS_MAX - 1, UNITS_MAX]) check(amount);
});

Deno.test("histogram: a million amounts, as they occur", () => {
  const list = new Float64Array(1_000_000);
  let seed = 1;
  for (let i = 0; i < list.length; i++) {
    seed = Math.imul(seed, 1_664_525) + 1_013_904_223;
    const size = Math.exp(((seed >>> 0) / 2 ** 32) * 16);
    list[i] = (i % 10 === 0 ? -1 : 1) * Math.floor(size);
  }
  const histogram = new Histogram();
  for (const amount of list) histogram.add(amount);
  assertEquals(histogram.count, list.length);
  const sorted = list.toSorted();
  const bounds = { min: sorted[0]!, max: sorted[sorted.length - 1]! };
  for (let percent = 1; percent <= 100; percent++) {
    const rank = Math.ceil((percent * list.length) / 100);
    assertWithinOnePercent(histogram.percentile(percent / 100, bounds), sorted[rank - 1]!);
  }
});

Deno.test("histogram: merging in any grouping is adding everything to one", () => {
  const groups = fc.array(fc.array(amounts, { maxLength: 50 }), { maxLength: 8 });
  fc.assert(fc.property(groups, (groups) => {
    const whole = histogramOf(groups.flat());
    const merged = new Histogram();
    for (const group of groups) merged.merge(histogramOf(group));
    assert(merged.equals(whole));
    assertEquals(merged.encode(), whole.encode());
    const stored = new Histogram();
    for (const group of groups.toReversed()) stored.merge(Histogram.decode(histogramOf(group).encode()));
    assert(stored.equals(whole));
    const direct = new Histogram();
    for (const group of groups) Histogram.decode(histogramOf(group).encode(), direct);
    assert(direct.equals(whole));
    assertEquals(direct.count, groups.flat().length);
  }));
});

Deno.test("histogram: what is stored comes back, and can be added to", () => {
  fc.assert(fc.property(fc.array(amounts, { maxLength: 100 }), amounts, (list, more) => {
    const original = histogramOf(list);
    const back = Histogram.decode(original.encode());
    assert(back.equals(original) && original.equals(back));
    assertEquals(back.count, list.length);
    back.add(more);
    assert(!back.equals(original));
    assert(back.equals(histogramOf([...list, more])));
  }));
  const large = new Histogram();
  large.add(-UNITS_MAX, 2 ** 40);
  large.add(0, 300);
  large.add(UNITS_MAX, 2_000_000_000);
  assert(Histogram.decode(large.encode()).equals(large));
});

Deno.test("histogram: a cleared one is empty and can be used again", () => {
  const histogram = histogramOf([1, -2, 0, 500_000]);
  histogram.clear();
  assertEquals(histogram.count, 0);
  assert(histogram.equals(new Histogram()));
  assertEquals(histogram.encode(), new Histogram().encode());
  histogram.add(7);
  assert(histogram.equals(histogramOf([7])));
  const read = Histogram.decode(histogramOf([3]).encode());
  read.clear();
  assertEquals(read.count, 0);
});

Deno.test("histogram: merged with itself it counts twice", () => {
  const histogram = histogramOf([1, 2, -3]);
  histogram.merge(histogram);
  assert(histogram.equals(histogramOf([1, 2, -3, 1, 2, -3])));
  const read = Histogram.decode(histogramOf([5, 0]).encode());
  read.merge(read);
  assert(read.equals(histogramOf([5, 0, 5, 0])));
});

Deno.test("histogram: damaged bytes are refused, never counted wrongly in silence beyond their end", () => {
  const bytes = histogramOf([-70_000, 0, 0, 12, 99_999_999]).encode();
  for (let length = 0; length < bytes.length; length++) {
    assertThrows(() => Histogram.decode(bytes.slice(0, length)).count, Error, "Cannot read the histogram");
  }
  assertThrows(() => Histogram.decode(Uint8Array.of(...bytes, 0)).count, Error, "bytes follow");
  assertThrows(() => Histogram.decode(Uint8Array.of(9, 0, 0, 0)), Error, "form is not known");
  assertThrows(() => Histogram.decode(Uint8Array.of(1, 0, 0, 1, 0xff, 0x7f, 0, 0, 1)).count, Error, "does not exist");
  assertThrows(() => Histogram.decode(Uint8Array.of(1, 0, 0, 1, 5, 0, 1, 1)).count, Error, "out of bounds");
  assertThrows(() => Histogram.decode(Uint8Array.of(1, ...new Array(20).fill(0xff))).count, Error, "damaged");
});

Deno.test("histogram: asking an empty one, or for a rank that does not exist, is an error", () => {
  assertThrows(() => new Histogram().percentile(0.5, { min: 0, max: 0 }), RangeError, "empty");
  for (const p of [0, -1, 1.01, Number.NaN]) {
    assertThrows(() => histogramOf([1]).percentile(p, { min: 0, max: 9 }), RangeError, "(0, 1]");
  }
  assertThrows(() => new Histogram().add(UNITS_MAX + 1), RangeError, "above");
});

Deno.test("histogram: answers never leave [min, max]", () => {
  const histogram = histogramOf([10_050, 10_051, 10_052]);
  assertEquals(histogram.percentile(0.5, { min: 10_052, max: 10_052 }), 10_052);
  assertEquals(histogram.percentile(0.5, { min: 1, max: 9_000 }), 9_000);
});
