/** Windows: they tile the line without gaps, in every zone, and agree with the zone's calendar. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { dayStart, localDayOf } from "../src/time_zone.ts";
import {
  countWindows,
  HOUR_MS,
  hourOf,
  isTimeZone,
  MINUTE_MS,
  minuteOf,
  WINDOW_MS,
  windowOf,
  windowsIn,
  type WindowSize,
} from "../src/window.ts";

const DAY_MS = 24 * HOUR_MS;
const SIZES: WindowSize[] = ["1m", "5m", "15m", "1h", "1d"];
/** Zones with everything that occurs: half and quarter hours, changes at midnight, skipped days, offsets with seconds. */
const ZONES = [
  "UTC",
  "Europe/Berlin",
  "America/New_York",
  "America/St_Johns",
  "America/Sao_Paulo",
  "America/Havana",
  "Asia/Kolkata",
  "Asia/Kathmandu",
  "Australia/Lord_Howe",
  "Pacific/Apia",
  "Pacific/Chatham",
  "Pacific/Kiritimati",
  "Africa/Monrovia",
  "Africa/Cairo",
];
const zones = fc.constantFrom(...ZONES);
const sizes = fc.constantFrom(...SIZES);
const times = fc.oneof(
  fc.integer({ min: 0, max: Date.UTC(2100, 0, 1) }),
  fc.integer({ min: Date.UTC(1971, 0, 1), max: Date.UTC(1973, 0, 1) }),
  fc.integer({ min: Date.UTC(2011, 11, 28), max: Date.UTC(2012, 0, 2) }),
);

function iso(window: { start: number; end: number }): [string, string] {
  return [new Date(window.start).toISOString(), new Date(window.end).toISOString()];
}

Deno.test("window: holds its time, and touches its neighbours", () => {
  fc.assert(
    fc.property(times, sizes, zones, (time, size, zone) => {
      const window = windowOf(time, size, zone);
      assert(window.start <= time && time < window.end);
      assert(Number.isInteger(window.start / MINUTE_MS));
      assertEquals(windowOf(window.start, size, zone), window);
      assertEquals(windowOf(window.end - 1, size, zone), window);
      assertEquals(windowOf(window.end, size, zone).start, window.end);
      assertEquals(windowOf(window.start - 1, size, zone).end, window.start);
    }),
    { numRuns: 500 },
  );
});

Deno.test("window: those in a range tile it, and are as many as counted", () => {
  const span = fc.integer({ min: 0, max: 400 });
  fc.assert(fc.property(times, span, fc.nat(1_000), sizes, zones, (start, count, extra, size, zone) => {
    const range = { start, end: start + count * WINDOW_MS[size] + extra };
    const windows = [...windowsIn(range, size, zone)];
    assertEquals(windows.length, countWindows(range, size, zone));
    if (range.start === range.end) {
      assertEquals(windows, []);
      return;
    }
    assert(windows[0]!.start <= range.start && range.start < windows[0]!.end);
    assert(windows.at(-1)!.start < range.end && range.end <= windows.at(-1)!.end);
    for (let i = 1; i < windows.length; i++) assertEquals(windows[i]!.start, windows[i - 1]!.end);
  }));
});

Deno.test("window: an empty or a reversed range has none", () => {
  assertEquals([...windowsIn({ start: 60_000, end: 60_000 }, "1m")], []);
  assertEquals([...windowsIn({ start: 60_001, end: 60_000 }, "1d", "Europe/Berlin")], []);
  assertEquals(countWindows({ start: 60_001, end: 60_000 }, "1d", "Europe/Berlin"), 0);
  assertEquals(countWindows({ start: 60_001, end: 60_000 }, "1m"), 0);
});

Deno.test("window: days of a zone have 23, 24 or 25 hours", () => {
  const day = (text: string, zone: string) => iso(windowOf(Date.parse(text), "1d", zone));
  assertEquals(day("2025-03-30T12:00:00Z", "Europe/Berlin"), ["2025-03-29T23:00:00.000Z", "2025-03-30T22:00:00.000Z"]);
  assertEquals(day("2025-10-26T12:00:00Z", "Europe/Berlin"), ["2025-10-25T22:00:00.000Z", "2025-10-26T23:00:00.000Z"]);
  assertEquals(day("2025-07-15T20:00:00Z", "Asia/Kolkata"), ["2025-07-15T18:30:00.000Z", "2025-07-16T18:30:00.000Z"]);
  assertEquals(day("2025-07-15T20:00:00Z", "UTC"), ["2025-07-15T00:00:00.000Z", "2025-07-16T00:00:00.000Z"]);
});

Deno.test("window: a day that begins at one o'clock, one that was skipped, and a clock set back over midnight", () => {
  const day = (text: string, zone: string) => iso(windowOf(Date.parse(text), "1d", zone));
  // Clocks went from 00:00 to 01:00.
  assertEquals(day("2018-11-04T12:00:00Z", "America/Sao_Paulo"), [
    "2018-11-04T03:00:00.000Z",
    "2018-11-05T02:00:00.000Z",
  ]);
  // There was no 30 December 2011.
  assertEquals(day("2011-12-30T09:59:59Z", "Pacific/Apia"), ["2011-12-29T10:00:00.000Z", "2011-12-30T10:00:00.000Z"]);
  assertEquals(day("2011-12-30T10:00:00Z", "Pacific/Apia"), ["2011-12-30T10:00:00.000Z", "2011-12-31T10:00:00.000Z"]);
  const range = { start: Date.UTC(2011, 11, 28, 12), end: Date.UTC(2012, 0, 1, 12) };
  assertEquals(countWindows(range, "1d", "Pacific/Apia"), [...windowsIn(range, "1d", "Pacific/Apia")].length);
  // At 00:01 clocks went back to 23:01 of the day before: the day that had begun goes on.
  const twice = Date.parse("2010-11-07T03:00:00Z");
  assertEquals(localDayOf(twice, "America/St_Johns"), localDayOf(twice - 3 * HOUR_MS, "America/St_Johns"));
  assertEquals(iso(windowOf(twice, "1d", "America/St_Johns")), [
    "2010-11-07T02:30:00.000Z",
    "2010-11-08T03:30:00.000Z",
  ]);
});

Deno.test("window: days of a zone are those its calendar shows", () => {
  const calendars = new Map(ZONES.map((zone) => [
    zone,
    new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short" }),
  ]));
  const settled = ZONES.filter((zone) => !["America/St_Johns", "Africa/Monrovia"].includes(zone));
  fc.assert(fc.property(fc.constantFrom(...settled), times, (zone, time) => {
    const calendar = calendars.get(zone)!;
    const window = windowOf(time, "1d", zone);
    assertEquals(calendar.format(window.start), calendar.format(time));
    assertEquals(calendar.format(window.end - 1), calendar.format(time));
    assert(calendar.format(window.end) !== calendar.format(time));
    assert(calendar.format(window.start - 1) !== calendar.format(time));
  }));
});

Deno.test("window: the starts of days never decrease, whatever a zone did", () => {
  for (const zone of ZONES) {
    let before = -Infinity;
    for (let day = -1; day < 20_000; day++) {
      const start = dayStart(day, zone);
      assert(start >= before && Number.isInteger(start / MINUTE_MS), `${zone} ${day}`);
      before = start;
    }
  }
});

Deno.test("window: a day begins when the platform says, in every zone there is", () => {
  const all = fc.constantFrom(...Intl.supportedValuesOf("timeZone"));
  fc.assert(
    fc.property(all, fc.integer({ min: 0, max: 47_000 }), (zone, day) => {
      const start = new Temporal.PlainDate(1970, 1, 1).add({ days: day }).toZonedDateTime(zone).epochMilliseconds;
      assertEquals(dayStart(day, zone), start - start % MINUTE_MS);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("window: sizes other than a day do not heed the zone", () => {
  fc.assert(fc.property(times, zones, (time, zone) => {
    for (const size of SIZES.slice(0, 4)) assertEquals(windowOf(time, size, zone), windowOf(time, size));
  }));
  assertEquals(minuteOf(119_999), 60_000);
  assertEquals(hourOf(-1), -HOUR_MS);
});

Deno.test("window: a range of millennia is counted at once", () => {
  const range = { start: 0, end: Date.UTC(9999, 11, 31) };
  assertEquals(countWindows(range, "1m"), range.end / MINUTE_MS);
  assert(countWindows(range, "1d", "Europe/Berlin") >= range.end / DAY_MS);
});

Deno.test("window: time zones are known by their IANA names", () => {
  for (const name of ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"]) assert(isTimeZone(name));
  for (const name of ["", "Mars/Olympus", "+02:00", "-05:30", "Europe/Berlin ", "Europe", "local", "\u0000"]) {
    assert(!isTimeZone(name), name);
  }
});
