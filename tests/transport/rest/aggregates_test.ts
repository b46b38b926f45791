/** GET /aggregates and the recounts. */
import { assertEquals } from "@std/assert";
import type { RecountReport } from "../../../src/storage.ts";
import { assertProblem, assertShape, faults, openRest, type TestRest, withId } from "./rest_harness.ts";

const RANGE = "from=2025-07-15T12:30:00Z&to=2025-07-15T12:32:00Z";
const at = (time: string) => `2025-07-15T12:${time}Z`;

async function fill(test: TestRest): Promise<void> {
  const body = [
    withId("a", { timestamp: at("30:00"), event_type: "purchase", amount: 10 }),
    withId("b", { timestamp: at("30:59.999"), event_type: "purchase", amount: "0.0001" }),
    withId("c", { timestamp: at("30:10"), event_type: "refund", amount: 2.5 }),
    withId("d", { timestamp: at("32:00"), event_type: "purchase", amount: 1 }),
  ];
  assertEquals((await test.ask("/events/batch", { body })).status, 200);
}

Deno.test("rest aggregates: exact decimals as text, windows as RFC 3339", async () => {
  await using test = openRest();
  await fill(test);
  const answered = await test.ask(`/aggregates?${RANGE}`);
  assertShape("Aggregates", answered.json);
  assertEquals(answered.json, {
    from: "2025-07-15T12:30:00.000Z",
    to: "2025-07-15T12:32:00.000Z",
    window: "1m",
    rows: [{
      start: "2025-07-15T12:30:00.000Z",
      end: "2025-07-15T12:31:00.000Z",
      count: 3,
      total: "12.5001",
      net: "7.5001",
      min: "0.0001",
      max: "10",
      avg: "4.1667",
      revision: 3,
      closed: true,
    }],
  });
});

Deno.test("rest aggregates: grouped, filled, filtered, with percentiles", async () => {
  await using test = openRest();
  await fill(test);
  const grouped = await test.ask(`/aggregates?${RANGE}&group_by=event_type&fill=zero&percentiles=true`);
  assertShape("Aggregates", grouped.json);
  const rows = grouped.json.rows.map((row: Record<string, unknown>) => [row.event_type, row.count, row.avg, row.p50]);
  assertEquals(rows, [
    ["purchase", 2, "5.0000", "0.0001"],
    ["refund", 1, "2.5000", "2.5"],
    ["purchase", 0, null, null],
    ["refund", 0, null, null],
  ]);
  const filtered = await test.ask(`/aggregates?${RANGE}&event_type=refund`);
  assertEquals(filtered.json.rows.map((row: { total: string }) => row.total), ["2.5"]);
  const hour = await test.ask(`/aggregates?${RANGE}&window=1h`);
  assertEquals([hour.json.from, hour.json.window, hour.json.rows[0].count], ["2025-07-15T12:00:00.000Z", "1h", 4]);
  const day = await test.ask(`/aggregates?${RANGE}&window=1d&tz=Europe/Berlin`);
  assertEquals([day.json.from, day.json.to], ["2025-07-14T22:00:00.000Z", "2025-07-15T22:00:00.000Z"]);
});

Deno.test("rest aggregates: the last hour when no range is given", async () => {
  await using test = openRest();
  const { json } = await test.ask("/aggregates");
  assertEquals([json.from, json.to, json.rows], ["2025-07-15T11:34:00.000Z", "2025-07-15T12:35:00.000Z", []]);
});

Deno.test("rest aggregates: CSV by Accept", async () => {
  await using test = openRest();
  await fill(test);
  const headers = { accept: "text/csv" };
  const plain = await test.ask(`/aggregates?${RANGE}`, { headers });
  assertEquals(plain.text.split("\r\n"), [
    "start,end,count,total,net,min,max,avg,revision,closed",
    "2025-07-15T12:30:00.000Z,2025-07-15T12:31:00.000Z,3,12.5001,7.5001,0.0001,10,4.1667,3,true",
    "",
  ]);
  const query = `${RANGE}&group_by=event_type&fill=zero&percentiles=true`;
  const { p95, p99 } = (await test.ask(`/aggregates?${query}`)).json.rows[0];
  const full = await test.ask(`/aggregates?${query}`, { headers });
  assertEquals(full.text.split("\r\n").slice(0, 4), [
    "start,end,event_type,count,total,net,min,max,avg,p50,p95,p99,revision,closed",
    `2025-07-15T12:30:00.000Z,2025-07-15T12:31:00.000Z,purchase,2,10.0001,10.0001,0.0001,10,5.0000,0.0001,${p95},${p99},2,true`,
    "2025-07-15T12:30:00.000Z,2025-07-15T12:31:00.000Z,refund,1,2.5,-2.5,2.5,2.5,2.5000,2.5,2.5,2.5,1,true",
    "2025-07-15T12:31:00.000Z,2025-07-15T12:32:00.000Z,purchase,0,0,0,,,,,,,0,true",
  ]);
});

Deno.test("rest aggregates: everything that is wrong is told at once", async () => {
  await using test = openRest();
  const query = "from=x&to=2025-01-01&window=2m&group_by=user_id&event_type=9&fill=null&tz=Mars&percentiles=1&limit=1";
  const answered = await test.ask(`/aggregates?${query}`);
  assertProblem(answered, 422, "invalid_argument");
  assertEquals(faults(answered), [
    "event_type invalid_format",
    "fill invalid_value",
    "from invalid_timestamp",
    "group_by invalid_value",
    "limit unknown_parameter",
    "percentiles invalid_value",
    "to invalid_timestamp",
    "tz invalid_value",
    "window invalid_value",
  ]);
  const backwards = await test.ask("/aggregates?from=2025-07-15T12:31:00Z&to=2025-07-15T12:30:00Z");
  assertEquals(faults(backwards), ["from out_of_range"]);
  const large = await test.ask("/aggregates?from=2025-01-01T00:00:00Z&to=2025-07-01T00:00:00Z");
  assertProblem(large, 422, "range_too_large");
});

Deno.test("rest recounts: verify finds nothing to say, rebuild the same", async () => {
  await using test = openRest();
  await fill(test);
  for (const name of ["verify", "rebuild"]) {
    for (const body of ["{}", { from: at("00:00"), to: null }]) {
      const answered = await test.ask(`/admin/rollups/${name}`, { body });
      assertEquals(answered.status, 200, answered.text);
      assertShape("RecountReport", answered.json);
      assertEquals([answered.json.events, answered.json.differing, answered.json.differences], [4, 0, []]);
    }
  }
});

Deno.test("rest recounts: differences are told with counts and totals", async () => {
  const report: RecountReport = {
    events: 2,
    cells: 1,
    differing: 1,
    differences: [{
      start: Date.UTC(2025, 6, 15),
      span: "hour",
      eventType: "purchase",
      stored: { count: 1, sum: 12_345n },
      counted: null,
    }],
    frozenMinutes: 3,
  };
  await using test = openRest({ replace: { verify: () => Promise.resolve(report) } });
  const answered = await test.ask("/admin/rollups/verify", { body: {} });
  assertShape("RecountReport", answered.json);
  assertEquals(answered.json.differences, [{
    start: "2025-07-15T00:00:00.000Z",
    span: "hour",
    event_type: "purchase",
    stored: { count: 1, total: "1.2345" },
    counted: null,
  }]);
  assertEquals(answered.json.frozen_minutes, 3);
});

Deno.test("rest recounts: the range is checked, and a form of another site cannot ask", async () => {
  await using test = openRest();
  const cases: [unknown, string[]][] = [
    ["[]", [" invalid_type"]],
    ["null", [" invalid_type"]],
    [{ from: 5, to: "x", until: 1 }, ["/from invalid_type", "/to invalid_timestamp", "/until unknown_field"]],
    [{ from: at("30:00"), to: at("30:00") }, ["/from out_of_range"]],
  ];
  for (const [body, expected] of cases) {
    const answered = await test.ask("/admin/rollups/rebuild", { body });
    assertProblem(answered, 422, "invalid_argument");
    assertEquals(faults(answered), expected);
  }
  const form = await test.ask("/admin/rollups/rebuild", { method: "POST" });
  assertProblem(form, 415, "unsupported_media_type");
});
