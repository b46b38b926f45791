/** Exact decimals: an amount is an integer of 1/10,000, held in a number that is always a safe integer. */
import type { FieldErrorCode } from "./errors.ts";
import { AMOUNT_ABSOLUTE_MAX, AMOUNT_FRACTION_DIGITS_MAX, AMOUNT_TEXT_CHARACTERS_MAX } from "./limits.ts";

/** An amount in units of 1/10,000; an integer, at most 10^13 in absolute value, never -0. */
export type Amount = number;

/** Units in 1. */
export const AMOUNT_UNITS = 10 ** AMOUNT_FRACTION_DIGITS_MAX;

/** An amount, or what is wrong with it. */
export type ParsedAmount =
  | { readonly ok: true; readonly amount: Amount }
  | { readonly ok: false; readonly code: FieldErrorCode; readonly detail: string };

const UNITS_MAX = AMOUNT_ABSOLUTE_MAX * AMOUNT_UNITS;
/** Up to here units / 10,000 has at most 15 digits, so the double's shortest text is the decimal itself. */
const EXACT_TEXT_UNITS_MAX = 1e15;
const DECIMAL = /^([+-]?)([0-9]+)(?:\.([0-9]+))?$/;
const DIGIT_ZERO = 48;

const OUT_OF_RANGE = {
  ok: false,
  code: "out_of_range",
  detail: "must be at least -1000000000 and at most 1000000000",
} as const;
const TOO_PRECISE = {
  ok: false,
  code: "too_precise",
  detail: `must have at most ${AMOUNT_FRACTION_DIGITS_MAX} fraction digits`,
} as const;

/**
 * Reads a JSON number (by its shortest text) or a decimal string: an optional sign, digits, and, if wanted, a point and
 * digits; no exponent. Trailing zeros of the fraction do not count, so `1.50000` passes.
 */
export function parseAmount(value: unknown): ParsedAmount {
  if (typeof value === "number") return fromNumber(value);
  if (typeof value === "string") return fromText(value);
  return { ok: false, code: "invalid_type", detail: "must be a number or a decimal string" };
}

/** Canonical decimal text of an amount or a sum: no exponent, no trailing zeros, `-0` is `0`. */
export function formatAmount(units: Amount | bigint): string {
  if (typeof units === "number" && Math.abs(units) <= EXACT_TEXT_UNITS_MAX) return String(units / AMOUNT_UNITS);
  if (units >= -EXACT_TEXT_UNITS_MAX && units <= EXACT_TEXT_UNITS_MAX) return String(Number(units) / AMOUNT_UNITS);
  const sum = BigInt(units);
  const digits = String(sum < 0n ? -sum : sum);
  const whole = digits.slice(0, -AMOUNT_FRACTION_DIGITS_MAX);
  const fraction = digits.slice(-AMOUNT_FRACTION_DIGITS_MAX).replace(/0+$/, "");
  return (sum < 0n ? "-" : "") + whole + (fraction === "" ? "" : "." + fraction);
}

/** Decimal text of a mean, which always shows all its digits: it is rounded to them. */
export function formatAverage(units: bigint): string {
  const [whole, fraction = ""] = formatAmount(units).split(".");
  return `${whole}.${fraction.padEnd(AMOUNT_FRACTION_DIGITS_MAX, "0")}`;
}

/** The double nearest to the amount; its shortest text is the canonical text. */
export function amountToNumber(units: Amount): number {
  return units / AMOUNT_UNITS + 0;
}

/**
 * The shortest text of a double has at most four fraction digits exactly if the double is the one nearest to an integer
 * of 1/10,000: below 10^15 units no two such decimals share a double.
 */
function fromNumber(value: number): ParsedAmount {
  if (Number.isNaN(value)) return { ok: false, code: "invalid_value", detail: "must be a number, not NaN" };
  if (Math.abs(value) > AMOUNT_ABSOLUTE_MAX) return OUT_OF_RANGE;
  const units = Math.round(value * AMOUNT_UNITS) + 0;
  return units / AMOUNT_UNITS === value ? { ok: true, amount: units } : TOO_PRECISE;
}

function fromText(text: string): ParsedAmount {
  if (text.length > AMOUNT_TEXT_CHARACTERS_MAX) {
    return { ok: false, code: "too_long", detail: `must have at most ${AMOUNT_TEXT_CHARACTERS_MAX} characters` };
  }
  const match = DECIMAL.exec(text);
  if (match === null) {
    return { ok: false, code: "invalid_format", detail: "must be a decimal such as 12.5, without exponent or spaces" };
  }
  const whole = Number(match[2]);
  const fraction = match[3] ?? "";
  let units = whole * AMOUNT_UNITS;
  let scale = AMOUNT_UNITS;
  let precise = true;
  for (let i = 0; i < fraction.length; i++) {
    const digit = fraction.charCodeAt(i) - DIGIT_ZERO;
    scale /= 10;
    if (scale >= 1) units += digit * scale;
    else if (digit !== 0) precise = false;
  }
  if (units > UNITS_MAX || (units === UNITS_MAX && !precise)) return OUT_OF_RANGE;
  if (!precise) return TOO_PRECISE;
  return { ok: true, amount: match[1] === "-" ? -units + 0 : units };
}
