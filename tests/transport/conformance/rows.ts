/** Windows of metrics. */
import { assert, assertEquals } from "@std/assert";
import { assertRefused, type Client, type Row, type RowsQuery } from "../clients.ts";
import { type Behaviour, DAY, type Harness, HOUR, iso, labOf, MINUTE, sale } from "./behaviour.ts";
import { expectedRows, unitsOf } from "./row_model.ts";

/** Events by their time in the day (milliseconds), type and amount; some lie exactly on edges of windows. */
const EVENTS: readonly [at: number, eventType: string, amount: string][] = [
  [0, "purchase", "10"],
  [1, "purchase", "0.0001"],
  [MINUTE - 1, "refund", "3.33"],
  [MINUTE, "purchase", "-5"],
  [MINUTE + 30_000, "return", "2.5"],
  [5 * MINUTE, "exchange", "7"],
  [5 * MINUTE, "purchase", "1000000000"],
  [5 * MINUTE + 1, "purchase", "999999999.9999"],
  [14 * MINUTE, "signup", "0"],
  [15 * MINUTE, "purchase", "0.0001"],
  [15 * MINUTE + 1, "purchase", "0.0002"],
  [59 * MINUTE, "refund", "-1.5"],
  [HOUR, "purchase", "1"],
  [HOUR + 1, "purchase", "1"],
  [HOUR + 2, "purchase", "2"],
  [26 * HOUR, "purchase", "4"],
];

async function store(harness: Harness): Promise<ReturnType<typeof sale>[]> {
  const events = EVENTS.map(([at, eventType, amount], index) =>
    sale(harness, index, { timestamp: iso(harness.day + at), eventType, amount })
  );
  assertEquals((await harness.client.publishBatch(events)).accepted, events.length);
  await harness.settled();
  return events;
}

/** Questions about these events; the range is that of the day and the next unless it says so. */
const QUERIES: readonly ((day: number) => RowsQuery)[] = [
  ...(["1m", "5m", "15m", "1h", "1d"] as const).flatMap((window) => [
    () => ({ window }),
    () => ({ window, byType: true }),
    () => ({ window, byType: true, eventTypes: ["purchase", "refund", "nothing"] }),
    () => ({ window, eventTypes: ["return", "exchange"] }),
  ]),
  (day) => ({ window: "5m", zeros: true, to: iso(day + 2 * HOUR) }),
  (day) => ({ window: "15m", zeros: true, byType: true, to: iso(day + 2 * HOUR) }),
  (day) => ({ window: "1h", zeros: true, eventTypes: ["refund"], to: iso(day + 3 * HOUR) }),
  (day) => ({ window: "1m", from: iso(day + 30_000), to: iso(day + 5 * MINUTE + 1) }),
  (day) => ({ window: "15m", from: iso(day + 16 * MINUTE), to: iso(day + HOUR) }),
  (day) => ({ window: "1m", from: iso(day + MINUTE), to: iso(day + MINUTE) }),
];

/** Asks all questions and compares with the model. */
async function ask(client: Client, { day }: Harness, events: readonly ReturnType<typeof sale>[]): Promise<void> {
  for (const make of QUERIES) {
    const query = { from: iso(day), to: iso(day + 2 * DAY), ...make(day) };
    assertEquals(await client.rows(query), expectedRows(events, query), JSON.stringify(query));
  }
}

/** Whether a percentile lies within one percent of an amount. */
function isNear(text: string | null, amount: string): boolean {
  const wanted = Number(unitsOf(amount));
  return text !== null && Math.abs(Number(unitsOf(text)) - wanted) <= Math.max(1, Math.abs(wanted) / 100);
}

/** The cases. */
export const ROWS: readonly Behaviour[] = [
  {
    name: "windows count and sum exactly what was stored, by any size, type and range",
    run: async (harness) => await ask(harness.client, harness, await store(harness)),
  },
  {
    name: "percentiles come when asked for, within one percent",
    run: async (harness) => {
      const { client, day } = harness;
      const amounts = Array.from({ length: 100 }, (_, index) => String(index + 1));
      await client.publishBatch(amounts.map((amount, index) => sale(harness, index, { amount, timestamp: iso(day) })));
      await harness.settled();
      const query = { from: iso(day), to: iso(day + MINUTE) };
      const [plain] = await client.rows(query);
      assertEquals([plain!.p50, plain!.p95, plain!.p99], [null, null, null]);
      const [row] = await client.rows({ ...query, percentiles: true });
      assert(isNear(row!.p50, "50") && isNear(row!.p95, "95") && isNear(row!.p99, "99"), JSON.stringify(row));
    },
  },
  {
    name: "days follow the time zone asked for",
    run: async (harness) => {
      const { client, day } = harness;
      // Berlin is one or two hours ahead of UTC, so half past eleven belongs to its next day.
      await client.publishBatch([
        sale(harness, 0, { timestamp: iso(day + 12 * HOUR) }),
        sale(harness, 1, { timestamp: iso(day + DAY - HOUR / 2), amount: "1" }),
      ]);
      await harness.settled();
      const rows = await client.rows({
        window: "1d",
        tz: "Europe/Berlin",
        from: iso(day + 12 * HOUR),
        to: iso(day + DAY),
      });
      assertEquals(rows.map(({ count, total }) => [count, total]), [[1, "12.5"], [1, "1"]]);
      assertEquals(rows[0]!.end, rows[1]!.start);
      const midnight = new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/Berlin", timeStyle: "medium" });
      assertEquals(rows.map(({ start }) => midnight.format(Date.parse(start))), ["00:00:00", "00:00:00"]);
    },
  },
  {
    name: "a window is closed five seconds after its end, and a late event still changes it",
    lab: "the clock is the test's",
    run: async (harness) => {
      const { client } = harness;
      const { clock } = labOf(harness);
      const start = Math.floor(clock.now() / MINUTE) * MINUTE;
      const query = { from: iso(start), to: iso(start + MINUTE) };
      const look = async (): Promise<Pick<Row, "closed" | "count" | "revision">[]> =>
        (await client.rows(query)).map(({ closed, count, revision }) => ({ closed, count, revision }));
      await client.publish(sale(harness, 0, { timestamp: iso(start) }));
      assertEquals(await look(), [{ closed: false, count: 1, revision: 1 }]);
      clock.advance(start + MINUTE + 4_999 - clock.now());
      assertEquals(await look(), [{ closed: false, count: 1, revision: 1 }]);
      clock.advance(1);
      assertEquals(await look(), [{ closed: true, count: 1, revision: 1 }]);
      await client.publish(sale(harness, 1, { timestamp: iso(start + 1) }));
      assertEquals(await look(), [{ closed: true, count: 2, revision: 2 }]);
    },
  },
  {
    name: "without a range the windows are those of the last hour",
    lab: "the clock is the test's",
    run: async (harness) => {
      const { client } = harness;
      const now = labOf(harness).clock.now();
      const ages = [0, 30 * MINUTE, 59 * MINUTE, 62 * MINUTE];
      await client.publishBatch(ages.map((age, index) => sale(harness, index, { timestamp: iso(now - age) })));
      const rows = await client.rows({});
      assertEquals(rows.reduce((sum, { count }) => sum + count, 0), 3);
    },
  },
  {
    name: "a range whose last window would end beyond the year 9999 is refused",
    run: async ({ client }) => {
      const refused = [{ window: "1m", to: "9999-12-31T23:59:30Z" }, { window: "1h", to: "9999-12-31T23:00:00.001Z" }, {
        window: "1d",
        tz: "America/New_York",
        to: "9999-12-31T12:00:00Z",
      }] as const;
      for (const query of refused) {
        const rows = () => client.rows({ ...query, from: "9999-12-31T06:00:00Z" });
        const { faults } = await assertRefused(client, rows, "invalid_argument");
        assertEquals(faults, [{ field: client.spelling.parameter("to"), code: "out_of_range" }], JSON.stringify(query));
      }
      const [row] = await client.rows({ zeros: true, from: "9999-12-31T23:57:00Z", to: "9999-12-31T23:59:00Z" });
      assertEquals(row?.start, "9999-12-31T23:57:00.000Z");
    },
  },
  {
    name: "a range of too many windows is refused, and one that ends before it begins",
    run: async ({ client, day }) => {
      const long = { from: iso(day), to: iso(day + 10_001 * MINUTE) };
      const { faults } = await assertRefused(client, () => client.rows(long), "range_too_large");
      assertEquals(faults.map(({ field }) => field), [client.spelling.parameter("from")]);
      const backwards = { from: iso(day + MINUTE), to: iso(day) };
      const refusal = await assertRefused(client, () => client.rows(backwards), "invalid_argument");
      assertEquals(refusal.faults, [{ field: client.spelling.parameter("from"), code: "out_of_range" }]);
      const nowhere = { from: iso(day), to: iso(day + HOUR), tz: "Middle/Earth" };
      const { faults: [fault] } = await assertRefused(client, () => client.rows(nowhere), "invalid_argument");
      assertEquals(fault, { field: client.spelling.parameter("tz"), code: "invalid_value" });
    },
  },
  {
    name: "the metrics of the last minutes are exact at both ends",
    lab: "the clock is the test's",
    run: async (harness) => {
      const { client } = harness;
      const now = labOf(harness).clock.now();
      const ages = [-1, 0, 1, MINUTE, MINUTE + 1, 5 * MINUTE, 5 * MINUTE + 1];
      const events = ages.map((age, i) => sale(harness, i, { timestamp: iso(now - age), amount: String(10 ** i) }));
      await client.publishBatch(events);
      assertEquals(await client.aggregatedMetrics!(1), { eventCount: 3, totalAmount: 1_110 });
      assertEquals(await client.aggregatedMetrics!(5), { eventCount: 5, totalAmount: 111_110 });
      assertEquals(await client.aggregatedMetrics!(1_440), { eventCount: 6, totalAmount: 1_111_110 });
      for (const minutes of [0, -1, 1_441]) {
        const metrics = () => client.aggregatedMetrics!(minutes);
        const { faults } = await assertRefused(client, metrics, "invalid_argument");
        assertEquals(faults, [{ field: "minutes", code: "out_of_range" }]);
      }
    },
  },
];

/** Between protocols. */
export const ROWS_ACROSS: readonly Behaviour[] = [
  {
    name: "rows are equal over all protocols",
    run: async (harness) => {
      const { clients, day } = harness;
      await store(harness);
      for (const make of QUERIES) {
        const query = { from: iso(day), to: iso(day + 2 * DAY), percentiles: true, ...make(day) };
        const rest = await clients.rest.rows(query);
        assertEquals(await clients.graphql.rows(query), rest, JSON.stringify(query));
        assertEquals(await clients.grpc.rows(query), rest, JSON.stringify(query));
      }
    },
  },
];
