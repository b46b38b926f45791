/** Amounts: what is read, what is refused, and that no digit is lost on the way. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { AMOUNT_UNITS, amountToNumber, formatAmount, parseAmount } from "../src/amount.ts";

const UNITS_MAX = 10 ** 13;

/** An amount within the limits, in units. */
const amounts = fc.oneof(
  fc.integer({ min: -2_000_000, max: 2_000_000 }),
  fc.maxSafeInteger().map((n) => n % (UNITS_MAX + 1)),
).map((units) => units + 0);

/** The decimal text of units, by BigInt and nothing else: what the code under test must agree with. */
function textOf(units: bigint): string {
  const digits = String(units < 0n ? -units : units).padStart(5, "0");
  const fraction = digits.slice(-4).replace(/0+$/, "");
  return (units < 0n ? "-" : "") + digits.slice(0, -4) + (fraction === "" ? "" : "." + fraction);
}

function unitsOf(value: unknown): number | string {
  const parsed = parseAmount(value);
  return parsed.ok ? parsed.amount : parsed.code;
}

Deno.test("amount: numbers and decimal strings are read exactly", () => {
  const cases: [unknown, number][] = [
    [0, 0],
    [-0, 0],
    [0.1, 1_000],
    [1.5, 15_000],
    [-12.34, -123_400],
    [0.0001, 1],
    [1_000_000_000, UNITS_MAX],
    [-1_000_000_000, -UNITS_MAX],
    [999_999_999.9999, UNITS_MAX - 1],
    ["0", 0],
    ["-0", 0],
    ["-0.0000", 0],
    ["+1.5", 15_000],
    ["1.50000", 15_000],
    ["007", 70_000],
    ["1000000000.0000000", UNITS_MAX],
    ["-999999999.9999", -(UNITS_MAX - 1)],
  ];
  for (const [value, units] of cases) {
    assertEquals(unitsOf(value), units, `${JSON.stringify(value)}`);
    assertEquals(Object.is(unitsOf(value), -0), false);
  }
});

Deno.test("amount: what is not an exact amount is refused with its code", () => {
  const cases: [unknown, string][] = [
    [Number.NaN, "invalid_value"],
    [Number.POSITIVE_INFINITY, "out_of_range"],
    [-Infinity, "out_of_range"],
    [1e308, "out_of_range"],
    [1e21, "out_of_range"],
    [1_000_000_000.0001, "out_of_range"],
    [1e-7, "too_precise"],
    [Number.MIN_VALUE, "too_precise"],
    [0.1 + 0.2, "too_precise"],
    [1.00001, "too_precise"],
    [999_999_999.99995, "too_precise"],
    ["1.00001", "too_precise"],
    ["1000000000.00001", "out_of_range"],
    ["1000000000.0001", "out_of_range"],
    ["9".repeat(64), "out_of_range"],
    ["1".repeat(65), "too_long"],
    ["", "invalid_format"],
    [" 1", "invalid_format"],
    ["1 ", "invalid_format"],
    ["1\n", "invalid_format"],
    ["1e3", "invalid_format"],
    ["1.", "invalid_format"],
    [".5", "invalid_format"],
    ["+", "invalid_format"],
    ["--1", "invalid_format"],
    ["1,5", "invalid_format"],
    ["1_000", "invalid_format"],
    ["0x10", "invalid_format"],
    ["NaN", "invalid_format"],
    ["Infinity", "invalid_format"],
    ["١", "invalid_format"],
    [null, "invalid_type"],
    [undefined, "invalid_type"],
    [true, "invalid_type"],
    [[1], "invalid_type"],
    [{}, "invalid_type"],
    [12n, "invalid_type"],
  ];
  for (const [value, code] of cases) assertEquals(unitsOf(value), code, `${typeof value} ${String(value)}`);
});

Deno.test("amount: text and number go back to the same amount, and agree with BigInt", () => {
  fc.assert(fc.property(amounts, (units) => {
    const text = formatAmount(units);
    assertEquals(text, textOf(BigInt(units)));
    assertEquals(unitsOf(text), units);
    assertEquals(unitsOf(text.includes(".") ? text + "000" : text + ".000"), units);
    const number = amountToNumber(units);
    assertEquals(unitsOf(number), units);
    assertEquals(JSON.stringify(number), text);
  }));
});

Deno.test("amount: a fifth digit by value is refused, whatever the amount", () => {
  fc.assert(fc.property(amounts, fc.integer({ min: 1, max: 9 }), (units, digit) => {
    const text = textOf(BigInt(units));
    const [whole, fraction = ""] = text.split(".");
    const expected = Math.abs(units) === UNITS_MAX ? "out_of_range" : "too_precise";
    assertEquals(unitsOf(`${whole}.${fraction.padEnd(4, "0")}${digit}`), expected);
  }));
});

Deno.test("amount: sums of any size are written digit by digit", () => {
  fc.assert(fc.property(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), (units) => {
    assertEquals(formatAmount(units), textOf(units));
  }));
  assertEquals(formatAmount(2_000_000n * 10n ** 13n), "2000000000000000");
  assertEquals(formatAmount(-1n), "-0.0001");
  assertEquals(formatAmount(10n ** 15n + 1n), "100000000000.0001");
});

Deno.test("amount: any JSON number is read as its own text would be, or refused", () => {
  fc.assert(fc.property(fc.double({ noNaN: true, min: -2e9, max: 2e9 }), (number) => {
    const text = String(number + 0);
    // A text with an exponent is a number below 10^-6, and so too precise.
    const expected = text.includes("e") ? "too_precise" : unitsOf(text);
    assertEquals(unitsOf(number), expected);
  }));
  assertEquals(AMOUNT_UNITS, 10_000);
});
