/** Windows of event time: half-open, UTC, except days, which may follow a time zone. */
import { AGGREGATE_ROWS_MAX } from "./limits.ts";
import { dayStart, localDayOf } from "./time_zone.ts";

export { isTimeZone } from "./time_zone.ts";

/** Length of a window as the contract names it. */
export type WindowSize = "1m" | "5m" | "15m" | "1h" | "1d";

/** Milliseconds of a minute, the span of the smallest cell. */
export const MINUTE_MS = 60_000;
/** Milliseconds of an hour, the span of the larger cell. */
export const HOUR_MS = 3_600_000;

const DAY_MS = 24 * HOUR_MS;
/** Days beyond which {@link countWindows} does not look for those that a zone skipped: no answer may be so long. */
const EXACT_DAYS = 2 * AGGREGATE_ROWS_MAX;

/** Milliseconds of a window of each size; a day in a zone may be an hour shorter or longer. */
export const WINDOW_MS: Readonly<Record<WindowSize, number>> = {
  "1m": MINUTE_MS,
  "5m": 5 * MINUTE_MS,
  "15m": 15 * MINUTE_MS,
  "1h": HOUR_MS,
  "1d": DAY_MS,
};

/** A half-open range of milliseconds since the epoch. */
export interface Window {
  readonly start: number;
  readonly end: number;
}

/** Start of the minute of a time. */
export function minuteOf(timestamp: number): number {
  return Math.floor(timestamp / MINUTE_MS) * MINUTE_MS;
}

/** Start of the hour of a time. */
export function hourOf(timestamp: number): number {
  return Math.floor(timestamp / HOUR_MS) * HOUR_MS;
}

/** The window of a size that holds a time. `zone` (IANA) matters for `1d` alone; such a day may have 23 or 25 hours. */
export function windowOf(timestamp: number, size: WindowSize, zone = "UTC"): Window {
  if (size === "1d" && zone !== "UTC") {
    const day = zonedDayOf(timestamp, zone);
    return { start: dayStart(day, zone), end: nextStart(day, zone) };
  }
  const length = WINDOW_MS[size];
  const start = Math.floor(timestamp / length) * length;
  return { start, end: start + length };
}

/** All windows of a size that touch the half-open range, in order: `from` is floored and `to` is ceiled. */
export function* windowsIn(range: Window, size: WindowSize, zone = "UTC"): Iterable<Window> {
  if (range.start >= range.end) return;
  let window = windowOf(range.start, size, zone);
  yield window;
  while (window.end < range.end) {
    window = windowOf(window.end, size, zone);
    yield window;
  }
}

/**
 * How many windows {@link windowsIn} gives, without making them. Very many days of a zone are counted by
 * the calendar, and so may be one too many where the zone skipped a day.
 */
export function countWindows(range: Window, size: WindowSize, zone = "UTC"): number {
  if (range.start >= range.end) return 0;
  if (size === "1d" && zone !== "UTC") {
    const first = zonedDayOf(range.start, zone);
    const last = zonedDayOf(range.end - 1, zone);
    let count = last - first + 1;
    if (count > EXACT_DAYS) return count;
    for (let day = first + 1; day <= last; day++) {
      if (dayStart(day, zone) === dayStart(day - 1, zone)) count--;
    }
    return count;
  }
  const length = WINDOW_MS[size];
  return Math.ceil(range.end / length) - Math.floor(range.start / length);
}

/**
 * The day whose [start, next start) holds a time. It is the calendar's day but for minutes that a clock change around
 * midnight gives back to the day before: windows tile the line, so these stay in the day that had begun.
 */
function zonedDayOf(timestamp: number, zone: string): number {
  let day = localDayOf(timestamp, zone);
  while (dayStart(day, zone) > timestamp) day--;
  while (dayStart(day + 1, zone) <= timestamp) day++;
  return day;
}

/** Where the day ends: at the start of the next, or of the one after where the next was skipped. */
function nextStart(day: number, zone: string): number {
  const start = dayStart(day, zone);
  let next = day + 1;
  while (dayStart(next, zone) <= start) next++;
  return dayStart(next, zone);
}
