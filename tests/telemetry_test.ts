/** Metrics and the log. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { getLogger, reset } from "@logtape/logtape";
import { HubError } from "../src/errors.ts";
import { configureLogging, Metrics, withMetrics } from "../src/telemetry.ts";
import type { StreamMeasures } from "../src/telemetry_stream.ts";
import { openTestHub } from "./harness.ts";

const EVENT = { user_id: "u1", event_type: "purchase", amount: 1 };
const REST = { tenant: "default", source: "rest" } as const;

/** The value of a sample, by its name and labels as they are printed. */
function sample(text: string, name: string): number {
  const line = text.split("\n").find((each) => each.startsWith(`${name} `));
  assert(line !== undefined, `there is no ${name} in\n${text}`);
  return Number(line.slice(name.length + 1));
}

Deno.test("telemetry: what happens to events is counted by protocol and outcome", async () => {
  await using test = openTestHub();
  const metrics = new Metrics({ thread: "http", load: () => test.hub.load });
  const hub = withMetrics(test.hub, metrics);
  await hub.publish({ ...EVENT, id: "a" }, REST);
  await hub.publish({ ...EVENT, id: "a" }, REST);
  await assertRejects(() => hub.publish({ ...EVENT, id: "a", amount: 2 }, REST), HubError);
  await assertRejects(() => hub.publish({}, REST), HubError);
  await hub.publishBatch([EVENT, EVENT, {}], { tenant: "default", source: "graphql" });
  const text = await metrics.text();
  const events = (source: string, status: string) =>
    sample(text, `eventhub_events_total{source="${source}",status="${status}",thread="http"}`);
  assertEquals(["stored", "duplicate", "conflict", "invalid"].map((status) => events("rest", status)), [1, 1, 1, 1]);
  assertEquals(["stored", "invalid"].map((status) => events("graphql", status)), [2, 1]);
  assertEquals(sample(text, 'eventhub_ingest_duration_seconds_count{kind="single",thread="http"}'), 2);
  assertEquals(sample(text, 'eventhub_ingest_duration_seconds_count{kind="batch",thread="http"}'), 1);
});

Deno.test("telemetry: subscribers, deliveries, and who was ended by the hub", async () => {
  await using test = openTestHub();
  const metrics = new Metrics({ thread: "http", load: () => test.hub.load });
  const hub = withMetrics(test.hub, metrics);
  const start = { tenant: "default", start: { at: "earliest" }, filter: {} } as const;
  const ended = await hub.subscribe(start);
  const closed = await hub.subscribe(start);
  await hub.publishBatch([EVENT, EVENT, EVENT], REST);
  await ended.next();
  await ended.next();
  assertEquals(sample(await metrics.text(), 'eventhub_live_subscribers{thread="http"}'), 2);
  closed.close();
  test.hub.endSubscriptions();
  const text = await metrics.text();
  assertEquals(sample(text, 'eventhub_live_subscribers{thread="http"}'), 0);
  assertEquals(sample(text, 'eventhub_delivered_total{kind="events",thread="http"}'), 3);
  assertEquals(sample(text, 'eventhub_subscriptions_ended_total{reason="shutdown",thread="http"}'), 1);
  assertEquals((await ended.next()).kind, "end");
});

Deno.test("telemetry: durations fall into buckets by their upper bounds", async () => {
  const metrics = new Metrics({
    thread: "http",
    load: () => ({ subscribers: 0, windowSubscribers: 0, eventsInFlight: 0 }),
  });
  for (const seconds of [0.0001, 0.001, 0.0011, 60]) metrics.observeRequest("GET /events", 200, seconds);
  const text = await metrics.text();
  const bucket = (le: string) =>
    sample(
      text,
      `eventhub_http_request_duration_seconds_bucket{le="${le}",route="GET /events",status="200",thread="http"}`,
    );
  assertEquals(["0.0005", "0.001", "0.0025", "30", "+Inf"].map(bucket), [1, 2, 3, 3, 4]);
});

Deno.test("telemetry: the metrics of all threads are one text, of the process once", async () => {
  const load = () => ({ subscribers: 1, windowSubscribers: 2, eventsInFlight: 3 });
  const http = new Metrics({ thread: "http", load });
  const grpc = new Metrics({ thread: "grpc", load });
  http.countEvent("rest", "stored");
  grpc.countEvent("grpc", "stored");
  const text = await http.text([structuredClone(await grpc.snapshot()), []]);
  assertEquals(sample(text, 'eventhub_events_total{source="rest",status="stored",thread="http"}'), 1);
  assertEquals(sample(text, 'eventhub_events_total{source="grpc",status="stored",thread="grpc"}'), 1);
  assertEquals(sample(text, 'eventhub_live_subscribers{thread="grpc"}'), 3);
  assertEquals(text.match(/^process_resident_memory_bytes/gm)?.length, 1);
  assertMatch(text, /^eventhub_build_info\{version="[^"]+",thread="http"\} 1$/m);
  const families = text.match(/^# TYPE \S+/gm)!;
  assertEquals(new Set(families).size, families.length);
});

Deno.test("telemetry: of a stream what is known has a sample, and what is not has none", async () => {
  const load = () => ({ subscribers: 0, windowSubscribers: 0, eventsInFlight: 0 });
  const known: StreamMeasures = {
    server: {
      entries: { live: 7, inbound: 2 },
      groups: [{ group: "rollup", pending: 3, lag: 4 }, { group: "ingest", pending: 1, lag: null }],
    },
    workers: { lost: { rollup: 5, ingest: 0 }, overruns: { rollup: 8 }, swept: 6, uncountedAgeMs: 1_500 },
  };
  let now: StreamMeasures = known;
  const metrics = new Metrics({ thread: "http", load, stream: () => Promise.resolve(now) });
  const samples = async () =>
    (await metrics.text()).split("\n").filter((line) =>
      /^eventhub_(stream_(up|entries|group)|swept|uncounted)/.test(line)
    );
  // Asked twice: nothing adds up.
  await samples();
  assertEquals((await samples()).toSorted(), [
    'eventhub_stream_entries_lost_total{group="ingest",thread="http"} 0',
    'eventhub_stream_entries_lost_total{group="rollup",thread="http"} 5',
    'eventhub_stream_entries{stream="inbound",thread="http"} 2',
    'eventhub_stream_entries{stream="live",thread="http"} 7',
    'eventhub_stream_group_lag{group="rollup",thread="http"} 4',
    'eventhub_stream_group_overruns_total{group="rollup",thread="http"} 8',
    'eventhub_stream_group_pending{group="ingest",thread="http"} 1',
    'eventhub_stream_group_pending{group="rollup",thread="http"} 3',
    'eventhub_stream_up{thread="http"} 1',
    'eventhub_swept_events_total{thread="http"} 6',
    'eventhub_uncounted_age_seconds{thread="http"} 1.5',
  ]);
  now = { server: null, workers: { ...known.workers!, uncountedAgeMs: null } };
  assertEquals((await samples()).toSorted(), [
    'eventhub_stream_entries_lost_total{group="ingest",thread="http"} 0',
    'eventhub_stream_entries_lost_total{group="rollup",thread="http"} 5',
    'eventhub_stream_group_overruns_total{group="rollup",thread="http"} 8',
    'eventhub_stream_up{thread="http"} 0',
    'eventhub_swept_events_total{thread="http"} 6',
  ]);
  now = { server: null, workers: null };
  assertEquals(await samples(), ['eventhub_stream_up{thread="http"} 0']);
});

Deno.test("telemetry: the log is JSON lines, or text with what the message leaves out", async () => {
  const original = console.info;
  const lines: string[] = [];
  console.info = (line: string) => lines.push(line);
  try {
    await configureLogging({ logLevel: "info", logFormat: "json" });
    const logger = getLogger(["eventhub", "test"]);
    logger.info("Stored {count} events", { count: 3, cause: new Error("why") });
    logger.debug("not this");
    await configureLogging({ logLevel: "info", logFormat: "pretty" });
    logger.info("Stored {count} events", { count: 3, tenant: "default" });
  } finally {
    console.info = original;
    await reset();
  }
  assertEquals(lines.length, 2);
  const record = JSON.parse(lines[0]!);
  assertEquals([record.level, record.logger, record.message], ["INFO", "eventhub.test", "Stored 3 events"]);
  assertEquals([record.properties.count, record.properties.cause.message], [3, "why"]);
  assertStringIncludes(lines[1]!, "test");
  assertStringIncludes(lines[1]!, "tenant=default");
  assert(!lines[1]!.includes("count="));
});
