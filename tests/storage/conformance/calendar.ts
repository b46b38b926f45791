/** Aggregate by days: time zones, half hours, and the days on which clocks are changed. */
import { assertEquals } from "@std/assert";
import type { StoreCase } from "../conformance.ts";
import { events, HOUR, MINUTE, store } from "./events.ts";
import { query, rowOf } from "./model.ts";

/** Days of a zone as the tz database has them: start of each and end of the last, UTC. */
const CALENDARS: readonly { zone: string; days: readonly string[]; hours: readonly number[] }[] = [
  { zone: "UTC", days: ["2026-03-01T00:00Z", "2026-03-02T00:00Z", "2026-03-03T00:00Z"], hours: [24, 24] },
  {
    zone: "Europe/Berlin", // 29 March: an hour less
    days: ["2026-03-27T23:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z", "2026-03-30T22:00Z"],
    hours: [24, 23, 24],
  },
  {
    zone: "Europe/Berlin", // 25 October: an hour more
    days: ["2026-10-23T22:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z", "2026-10-26T23:00Z"],
    hours: [24, 25, 24],
  },
  {
    zone: "Asia/Kolkata", // UTC+5:30
    days: ["2026-03-28T18:30Z", "2026-03-29T18:30Z", "2026-03-30T18:30Z"],
    hours: [24, 24],
  },
  {
    zone: "Asia/Kathmandu", // UTC+5:45
    days: ["2026-03-28T18:15Z", "2026-03-29T18:15Z"],
    hours: [24],
  },
  {
    zone: "Australia/Lord_Howe", // 5 April: clocks go back by half an hour, from UTC+11 to +10:30
    days: ["2026-04-03T13:00Z", "2026-04-04T13:00Z", "2026-04-05T13:30Z", "2026-04-06T13:30Z"],
    hours: [24, 24.5, 24],
  },
  {
    zone: "America/St_Johns", // 8 March: from UTC-3:30 to -2:30
    days: ["2026-03-07T03:30Z", "2026-03-08T03:30Z", "2026-03-09T02:30Z"],
    hours: [24, 23],
  },
  {
    zone: "America/Santiago", // 6 September: the hour after midnight does not exist
    days: ["2026-09-05T04:00Z", "2026-09-06T04:00Z", "2026-09-07T03:00Z"],
    hours: [24, 23],
  },
];

/** Cases of days. */
export const CALENDAR_CASES: readonly StoreCase[] = [
  {
    name: "aggregate: days follow their zone, also where clocks change and offsets are half hours",
    run: async (harness) => {
      for (const [at, { zone, days, hours }] of CALENDARS.entries()) {
        const tenant = `calendar-${at}`;
        const edges = days.map((day) => Date.parse(day));
        const [from, to] = [edges[0]!, edges.at(-1)!];
        assertEquals(edges.slice(1).map((edge, i) => (edge - edges[i]!) / HOUR), hours, zone);
        const stored = [
          ...events((to - from) / (30 * MINUTE), (i) => ({ tenant, timestamp: from + i * 30 * MINUTE, amount: i })),
          ...edges.flatMap((edge) => events(2, (i) => ({ tenant, timestamp: edge - i, amount: 1 }))),
        ];
        await store(harness.store, stored);
        await harness.settle();
        const expected = edges.slice(1).map((end, i) => {
          const inDay = stored.filter((one) => one.timestamp >= edges[i]! && one.timestamp < end);
          return rowOf(inDay, { start: edges[i]!, end, eventType: null });
        });
        assertEquals(await harness.store.aggregate(query({ tenant, from, to, window: "1d", zone })), expected, zone);
      }
    },
  },
  {
    name: "aggregate: days without events are filled, one row each, in their zone",
    run: async (harness) => {
      const edges = ["2026-03-27T23:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z", "2026-03-30T22:00Z"].map(
        Date.parse,
      );
      await store(harness.store, events(1, () => ({ timestamp: edges[2]! - 1 })));
      await harness.settle();
      const asked = query({ from: edges[0]!, to: edges[3]!, window: "1d", zone: "Europe/Berlin", fill: true });
      const rows = await harness.store.aggregate(asked);
      assertEquals(rows.map(({ start, end, count }) => [start, end, count]), [
        [edges[0], edges[1], 0],
        [edges[1], edges[2], 1],
        [edges[2], edges[3], 0],
      ]);
    },
  },
  {
    name: "aggregate: windows shorter than a day do not follow the zone",
    run: async (harness) => {
      const start = Date.parse("2026-03-29T00:00Z");
      const stored = events(12, (i) => ({ timestamp: start + i * 15 * MINUTE }));
      await store(harness.store, stored);
      await harness.settle();
      const asked = query({ from: start, to: start + 3 * HOUR, window: "1h", zone: "Asia/Kolkata" });
      const rows = await harness.store.aggregate(asked);
      assertEquals(rows.map((row) => [row.start - start, row.count]), [[0, 4], [HOUR, 4], [2 * HOUR, 4]]);
    },
  },
];
