/**
 * Time zones by IANA name, over the platform's `Temporal` (and so its time zone database).
 *
 * A local time that a clock change skips is read with the offset before the change (02:30 becomes 03:30), one that
 * happens twice is the first of the two: the rule of RFC 5545 and Temporal's "compatible". No time is refused for it,
 * since a producer that reads a wall clock cannot do better.
 */
import { ZONE_CACHE_ENTRIES, ZONES_CACHED } from "./limits.ts";

/** A local quarter of an hour: no zone changes its offset twice within one. */
const QUARTER_MS = 900_000;
const DAY_MS = 86_400_000;

/** A day this far from any change of the clock begins where the offset says. */
const QUIET_MS = 2 * DAY_MS;

/** A time without a change of the clock: half-open, milliseconds since the epoch. */
interface Stretch {
  readonly from: number;
  readonly until: number;
  /** Milliseconds east of UTC. */
  readonly offset: number;
}

const offsets = new Map<string, Map<number, number>>();
const days = new Map<string, Map<number, number>>();
/** The stretch that was asked for last, by zone: days are mostly asked for in order. */
const stretches = new Map<string, Stretch>();

/** Whether an IANA time zone of that name is known. Bare offsets such as `+02:00` are no names. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** The time (milliseconds since the epoch) at which clocks of a zone show a local time, given as if it were UTC. */
export function zonedToUtc(local: number, zone: string): number {
  if (zone === "UTC") return local;
  const known = cacheOf(offsets, zone);
  const quarter = Math.floor(local / QUARTER_MS);
  const offset = known.get(quarter);
  if (offset !== undefined) return local - offset;
  const first = offsetOf(quarter * QUARTER_MS, zone);
  const last = offsetOf((quarter + 1) * QUARTER_MS - 1, zone);
  if (first !== last) return local - offsetOf(local, zone);
  if (known.size >= ZONE_CACHE_ENTRIES) known.clear();
  known.set(quarter, first);
  return local - first;
}

/** The number of the local day (0 is 1970-01-01) that a zone's calendar shows at a time. */
export function localDayOf(timestamp: number, zone: string): number {
  if (zone === "UTC") return Math.floor(timestamp / DAY_MS);
  return Math.floor((timestamp + stretchAt(timestamp, zone).offset) / DAY_MS);
}

/**
 * The time at which a local day begins, floored to the minute because cells are minutes (a few zones had offsets with
 * seconds until 1972). Never decreases from one day to the next; a day that a zone skipped begins where the next does.
 */
export function dayStart(day: number, zone: string): number {
  if (zone === "UTC") return day * DAY_MS;
  const stretch = stretchAt(day * DAY_MS, zone);
  const quiet = day * DAY_MS - stretch.offset;
  if (quiet - QUIET_MS >= stretch.from && quiet + QUIET_MS < stretch.until) return floorToMinute(quiet);
  const known = cacheOf(days, zone);
  const cached = known.get(day);
  if (cached !== undefined) return cached;
  const date = new Temporal.PlainDate(1970, 1, 1).add({ days: day });
  const start = floorToMinute(date.toZonedDateTime(zone).epochMilliseconds);
  if (known.size >= ZONE_CACHE_ENTRIES) known.clear();
  known.set(day, start);
  return start;
}

function offsetOf(local: number, zone: string): number {
  const plain = Temporal.Instant.fromEpochMilliseconds(local).toZonedDateTimeISO("UTC").toPlainDateTime();
  return local - plain.toZonedDateTime(zone, { disambiguation: "compatible" }).epochMilliseconds;
}

function stretchAt(timestamp: number, zone: string): Stretch {
  const last = stretches.get(zone);
  if (last !== undefined && timestamp >= last.from && timestamp < last.until) return last;
  const local = Temporal.Instant.fromEpochMilliseconds(timestamp).toZonedDateTimeISO(zone);
  const stretch: Stretch = {
    // "previous" is strictly before, and a change at this very millisecond belongs to the stretch.
    from: local.add({ nanoseconds: 1 }).getTimeZoneTransition("previous")?.epochMilliseconds ?? -Infinity,
    until: local.getTimeZoneTransition("next")?.epochMilliseconds ?? Infinity,
    offset: local.offsetNanoseconds / 1e6,
  };
  if (stretches.size >= ZONES_CACHED) stretches.clear();
  stretches.set(zone, stretch);
  return stretch;
}

function floorToMinute(timestamp: number): number {
  return Math.floor(timestamp / 60_000) * 60_000;
}

function cacheOf<V>(caches: Map<string, Map<number, V>>, zone: string): Map<number, V> {
  let cache = caches.get(zone);
  if (cache === undefined) {
    if (caches.size >= ZONES_CACHED) caches.clear();
    cache = new Map();
    caches.set(zone, cache);
  }
  return cache;
}
