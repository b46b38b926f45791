/** Exact decimals: an amount is an integer of 1/10,000, held in a number that is always a safe integer. */
import type { FieldErrorCode } from "./errors.ts";

/** An amount in units of 1/10,000; an integer, at most 10^13 in absolute value, never -0. */
export type Amount = number;

/** Units in 1. */
export const AMOUNT_UNITS = 10_000;

/** Reads a JSON number or a decimal string. */
export function parseAmount(
  _value: unknown,
): { ok: true; amount: Amount } | { ok: false; code: FieldErrorCode; detail: string } {
  throw new Error("unwritten");
}

/** Canonical decimal text of an amount or a sum: no exponent, no trailing zeros, `-0` is `0`. */
export function formatAmount(_units: Amount | bigint): string {
  throw new Error("unwritten");
}

/** The double nearest to the amount; its shortest text is the canonical text. */
export function amountToNumber(_units: Amount): number {
  throw new Error("unwritten");
}
