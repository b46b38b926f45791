/** Windows of event time: half-open, UTC, except days, which may follow a time zone. */

/** Length of a window as the contract names it. */
export type WindowSize = "1m" | "5m" | "15m" | "1h" | "1d";

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;

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
export function windowOf(_timestamp: number, _size: WindowSize, _zone = "UTC"): Window {
  throw new Error("unwritten");
}

/** All windows of a size that touch the half-open range, in order: `from` is floored and `to` is ceiled. */
export function windowsIn(_range: Window, _size: WindowSize, _zone = "UTC"): Iterable<Window> {
  throw new Error("unwritten");
}

/** How many windows {@link windowsIn} gives, without making them. */
export function countWindows(_range: Window, _size: WindowSize, _zone = "UTC"): number {
  throw new Error("unwritten");
}

/** Whether an IANA time zone of that name is known. */
export function isTimeZone(_name: string): boolean {
  throw new Error("unwritten");
}
