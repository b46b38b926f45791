/** Times as text: RFC 3339 in, and one fixed form out. Inside the hub a time is milliseconds since the epoch, UTC. */
import { TIMESTAMP_YEAR_MAX, TIMESTAMP_YEAR_MIN } from "./limits.ts";
import { zonedToUtc } from "./time_zone.ts";

/** A time in milliseconds, or a sentence that says what was expected. */
export type ParsedTimestamp =
  | { readonly ok: true; readonly timestamp: number }
  | { readonly ok: false; readonly detail: string };

const DAY_MS = 86_400_000;
const FRACTION_DIGITS_MAX = 9;
/** The first millisecond that a time may have. */
export const TIMESTAMP_MIN = Date.UTC(TIMESTAMP_YEAR_MIN, 0, 1);
/** The last one: behind it a year has more than four digits, which RFC 3339 does not know. */
export const TIMESTAMP_MAX = Date.UTC(TIMESTAMP_YEAR_MAX + 1, 0, 1) - 1;

const FORM = {
  ok: false,
  detail: "must be an RFC 3339 time such as 2025-07-15T12:34:56.789Z, or the same without a zone",
} as const;
const CALENDAR = {
  ok: false,
  detail: "must be a time that exists: a day of that month, 00:00:00 to 23:59:59",
} as const;
const YEARS = { ok: false, detail: `must lie in the years ${TIMESTAMP_YEAR_MIN} to ${TIMESTAMP_YEAR_MAX}` } as const;

const MINUS = 45;
const PLUS = 43;
const POINT = 46;
const ZERO = 48;
const NINE = 57;
const COLON = 58;
const UPPER_T = 84;
const UPPER_Z = 90;
/** Turns an ASCII capital into its small letter's code. */
const SMALL = 32;

/**
 * Reads an RFC 3339 time (`t` and `z` may be small), or the same without a zone, which is then local time in
 * `naiveZone` (see `time_zone.ts` for the hours around a clock change). Up to nine fraction digits, cut to milliseconds.
 * Leap seconds (`:60`) and `24:00` are refused; the years 1970 to 9999 are counted in UTC.
 */
export function parseTimestamp(text: string, naiveZone: string): ParsedTimestamp {
  if (
    text.length < 19 || text.charCodeAt(4) !== MINUS || text.charCodeAt(7) !== MINUS ||
    (text.charCodeAt(10) | SMALL) !== (UPPER_T | SMALL) ||
    text.charCodeAt(13) !== COLON || text.charCodeAt(16) !== COLON
  ) return FORM;
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2);
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  const hour = twoDigits(text, 11);
  const minute = twoDigits(text, 14);
  const second = twoDigits(text, 17);
  // NaN anywhere makes the sum NaN: one test for twelve digits.
  if (Number.isNaN(year + month + day + hour + minute + second)) return FORM;

  let at = 19;
  let milliseconds = 0;
  if (text.charCodeAt(at) === POINT) {
    const start = ++at;
    for (; isDigit(text.charCodeAt(at)); at++) {
      if (at < start + 3) milliseconds = milliseconds * 10 + text.charCodeAt(at) - ZERO;
    }
    const digits = at - start;
    if (digits === 0 || digits > FRACTION_DIGITS_MAX) return FORM;
    if (digits === 1) milliseconds *= 100;
    else if (digits === 2) milliseconds *= 10;
  }
  const offset = offsetMinutes(text, at);
  if (offset === undefined) return FORM;
  if (
    month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59
  ) return CALENDAR;

  const local = daysSinceEpoch(year, month, day) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + milliseconds;
  const timestamp = offset === null ? zonedToUtc(local, naiveZone) : local - offset * 60_000;
  return timestamp >= TIMESTAMP_MIN && timestamp <= TIMESTAMP_MAX ? { ok: true, timestamp } : YEARS;
}

/** The day (`YYYY-MM-DDT`) that was formatted last, by number: events come in the order of time, or nearly so. */
let lastDay = Number.NaN;
let lastDayText = "";

/** The text of a time in the years 1970–9999: `YYYY-MM-DDTHH:mm:ss.SSSZ`. */
export function formatTimestamp(timestamp: number): string {
  const day = Math.floor(timestamp / DAY_MS);
  if (day !== lastDay) {
    lastDayText = new Date(timestamp).toISOString().slice(0, -13);
    lastDay = day;
  }
  const rest = timestamp - day * DAY_MS;
  const seconds = Math.floor(rest / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  return lastDayText + TWO_DIGITS[hours] + ":" + TWO_DIGITS[minutes - hours * 60] + ":" +
    TWO_DIGITS[seconds - minutes * 60] + THREE_DIGITS_Z[rest - seconds * 1000];
}

const TWO_DIGITS = Array.from({ length: 60 }, (_, i) => String(i).padStart(2, "0"));
const THREE_DIGITS_Z = Array.from({ length: 1000 }, (_, i) => "." + String(i).padStart(3, "0") + "Z");

/** Minutes east of UTC of the zone that ends the text; `null` when none is given, `undefined` when it is not one. */
function offsetMinutes(text: string, at: number): number | null | undefined {
  if (at === text.length) return null;
  const sign = text.charCodeAt(at);
  if ((sign | SMALL) === (UPPER_Z | SMALL)) return at + 1 === text.length ? 0 : undefined;
  if (sign !== PLUS && sign !== MINUS) return undefined;
  if (text.length !== at + 6 || text.charCodeAt(at + 3) !== COLON) return undefined;
  const hours = twoDigits(text, at + 1);
  const minutes = twoDigits(text, at + 4);
  if (!(hours <= 23 && minutes <= 59)) return undefined;
  return sign === MINUS ? -(hours * 60 + minutes) : hours * 60 + minutes;
}

function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at);
  const ones = text.charCodeAt(at + 1);
  return isDigit(tens) && isDigit(ones) ? (tens - ZERO) * 10 + ones - ZERO : Number.NaN;
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Days from 1970-01-01 in the Gregorian calendar; after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
function daysSinceEpoch(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}
