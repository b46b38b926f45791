/** Timestamps: RFC 3339 in all its forms, zone-less times around clock changes, and the one form that goes out. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { formatTimestamp, parseTimestamp } from "../src/timestamp.ts";

const YEAR_9999_END = Date.UTC(10_000, 0, 1) - 1;
const times = fc.integer({ min: 0, max: YEAR_9999_END });

function read(text: string, zone = "UTC"): string | null {
  const parsed = parseTimestamp(text, zone);
  return parsed.ok ? new Date(parsed.timestamp).toISOString() : null;
}

Deno.test("timestamp: every form of the contract is read, fractions are cut", () => {
  const cases: [string, string][] = [
    ["2025-07-15T12:34:56Z", "2025-07-15T12:34:56.000Z"],
    ["2025-07-15t12:34:56z", "2025-07-15T12:34:56.000Z"],
    ["2025-07-15T12:34:56.123456", "2025-07-15T12:34:56.123Z"],
    ["2025-07-15T12:34:56", "2025-07-15T12:34:56.000Z"],
    ["2025-07-15T12:34:56.9Z", "2025-07-15T12:34:56.900Z"],
    ["2025-07-15T12:34:56.99Z", "2025-07-15T12:34:56.990Z"],
    ["2025-07-15T12:34:56.999999999Z", "2025-07-15T12:34:56.999Z"],
    ["2025-07-15T12:34:56+02:00", "2025-07-15T10:34:56.000Z"],
    ["2025-07-15T12:34:56.5-05:30", "2025-07-15T18:04:56.500Z"],
    ["2025-07-15T12:34:56-00:00", "2025-07-15T12:34:56.000Z"],
    ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"],
    ["2000-02-29T23:59:59Z", "2000-02-29T23:59:59.000Z"],
    ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"],
    ["1969-12-31T23:00:00-02:00", "1970-01-01T01:00:00.000Z"],
    ["9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"],
  ];
  for (const [text, expected] of cases) assertEquals(read(text), expected, text);
});

Deno.test("timestamp: anything else is an error, never now", () => {
  const refused = [
    "",
    "now",
    "2025-07-15",
    "2025-07-15 12:34:56Z",
    "2025-07-15T12:34Z",
    "2025-07-15T24:00:00Z",
    "2025-07-15T12:60:00Z",
    "2025-07-15T12:34:60Z",
    "2025-13-01T00:00:00Z",
    "2025-00-01T00:00:00Z",
    "2025-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2025-04-31T00:00:00Z",
    "2025-01-00T00:00:00Z",
    "2025-07-15T12:34:56.Z",
    "2025-07-15T12:34:56,5Z",
    "2025-07-15T12:34:56.1234567890Z",
    "2025-07-15T12:34:56Z ",
    " 2025-07-15T12:34:56Z",
    "2025-07-15T12:34:56ZZ",
    "2025-07-15T12:34:56UTC",
    "2025-07-15T12:34:56+02",
    "2025-07-15T12:34:56+0200",
    "2025-07-15T12:34:56+24:00",
    "2025-07-15T12:34:56+02:60",
    "2025-07-15T12:34:56+02:00[Europe/Berlin]",
    "2025-7-15T12:34:56Z",
    "+002025-07-15T12:34:56Z",
    "20250715T123456Z",
    "1752582896",
    "1969-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-01:00",
    "2025-07-15T1２:34:56Z",
    "2025-07-15T12:34:5\u0000Z",
  ];
  for (const text of refused) assertEquals(read(text), null, text);
});

Deno.test("timestamp: what goes out comes back in, and is what the platform writes", () => {
  fc.assert(fc.property(times, (time) => {
    const text = formatTimestamp(time);
    assertEquals(text, new Date(time).toISOString());
    assertEquals(parseTimestamp(text, "UTC"), { ok: true, timestamp: time });
  }));
});

Deno.test("timestamp: an offset shifts, wherever it is", () => {
  fc.assert(fc.property(times, fc.integer({ min: -1439, max: 1439 }), (time, offset) => {
    const shown = new Date(time + offset * 60_000);
    if (shown.getUTCFullYear() < 0 || shown.getUTCFullYear() > 9999) return;
    const size = Math.abs(offset);
    const zone = [Math.floor(size / 60), size % 60].map((part) => String(part).padStart(2, "0")).join(":");
    const text = shown.toISOString().replace("Z", (offset < 0 ? "-" : "+") + zone);
    assertEquals(parseTimestamp(text, "UTC"), { ok: true, timestamp: time });
  }));
});

Deno.test("timestamp: no text is read that the platform would not read, or otherwise", () => {
  const digits = fc.integer({ min: 0, max: 99 }).map((n) => String(n).padStart(2, "0"));
  const text = fc.tuple(fc.constantFrom("1999", "2024", "2025"), digits, digits, digits, digits, digits)
    .map(([year, month, day, hour, minute, second]) => `${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  fc.assert(fc.property(text, (text) => {
    const time = Date.parse(text);
    // The platform takes 24:00:00 and the 31st of April; the contract does not.
    const exists = !Number.isNaN(time) && new Date(time).toISOString() === text.replace("Z", ".000Z");
    assertEquals(read(text) !== null, exists, text);
  }));
});

Deno.test("timestamp: a time without a zone is local time of the zone that is set", () => {
  assertEquals(read("2025-07-15T12:00:00", "Europe/Berlin"), "2025-07-15T10:00:00.000Z");
  assertEquals(read("2025-01-15T12:00:00", "Europe/Berlin"), "2025-01-15T11:00:00.000Z");
  assertEquals(read("2025-01-15T12:00:00.123456", "Asia/Kathmandu"), "2025-01-15T06:15:00.123Z");
  assertEquals(read("2025-07-15T12:00:00Z", "Europe/Berlin"), "2025-07-15T12:00:00.000Z");
});

Deno.test("timestamp: an hour that a clock change skips counts on, one that comes twice is the first", () => {
  assertEquals(read("2025-03-30T01:59:59", "Europe/Berlin"), "2025-03-30T00:59:59.000Z");
  assertEquals(read("2025-03-30T02:30:00", "Europe/Berlin"), "2025-03-30T01:30:00.000Z");
  assertEquals(read("2025-03-30T03:00:00", "Europe/Berlin"), "2025-03-30T01:00:00.000Z");
  assertEquals(read("2025-10-26T02:30:00", "Europe/Berlin"), "2025-10-26T00:30:00.000Z");
  assertEquals(read("2025-10-26T03:00:00", "Europe/Berlin"), "2025-10-26T02:00:00.000Z");
  assertEquals(read("2025-10-05T02:15:00", "Australia/Lord_Howe"), "2025-10-04T15:45:00.000Z");
});

Deno.test("timestamp: a zone's clock shows the time that was read from it", () => {
  const zones = ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"];
  const shown = new Map(zones.map((zone) => [
    zone,
    new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" }),
  ]));
  fc.assert(fc.property(fc.constantFrom(...zones), fc.integer({ min: 0, max: 4_000_000_000 }), (zone, second) => {
    const clock = shown.get(zone)!;
    // Only times that the clock really showed: a skipped one would come back as another.
    const local = clock.format(second * 1000).replace(" ", "T");
    const parsed = parseTimestamp(local, zone);
    assertEquals(parsed.ok && clock.format(parsed.timestamp).replace(" ", "T"), local);
    assertEquals(parsed.ok && parsed.timestamp <= second * 1000, true);
  }));
});
