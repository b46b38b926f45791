/**
 * The distributed profile, one process of role `http` and one of role `rollup`, beside `insertMany` of the same documents
 * with the same indexes, each in turn on an empty database.
 */
import { distributedLacking, mongoKind, openServers, type TestServers } from "../tests/services/distributed.ts";
import { mongo } from "../tests/services/mongo.ts";
import { getJson } from "../tests/soak/api.ts";
import { Freshness } from "../tests/soak/freshness.ts";
import { Ledger } from "../tests/soak/ledger.ts";
import { percentile } from "../tests/soak/options.ts";
import { type HubProcess, startHub } from "../tests/soak/process.ts";
import { ndjsonSender } from "../tests/soak/send.ts";
import { untilSettled } from "../tests/soak/settled.ts";
import { SteadyLoad } from "../tests/soak/steady_load.ts";
import { httpGenerator, loadHttp } from "./http_load.ts";
import type { Effort } from "./ingest.ts";
import type { MongoLoad, MongoLoadResult } from "./mongo_load.ts";
import { runJson } from "./programs.ts";
import { median, type Row } from "./table.ts";

const CONNECTIONS = 64;
const BATCH_CONNECTIONS = 16;
const BATCH_EVENTS = 500;
/** Shorter than this, counting that falls behind would not show. */
const SETTLED_SECONDS_MIN = 60;
/** The load under which the freshness of the metrics is measured, and how often it is. */
const FRESH_EVENTS_PER_SECOND = 2_000;
const FRESH_SENDERS = 4;
const FRESH_PROBES_PER_SECOND = 10;
const FRESH_P99_MAX_MS = 2_000;
const FRESH_TIMEOUT_MS = 30_000;
/** Asked where it is MongoDB itself that answers. */
const ACKNOWLEDGED_RATIO_MIN = 0.5;
const SETTLED_RATIO_MIN = 0.25;

/** What a run found. */
interface Run {
  readonly acknowledged: number;
  readonly counted: number;
  readonly p99Ms: number;
}

/** Batches of 500, acknowledged and counted, and single events at 64 connections. */
export async function benchDistributed(effort: Effort): Promise<Row[]> {
  const missing = distributedLacking();
  if (missing !== "") throw new Error(missing);
  const batches = { connections: BATCH_CONNECTIONS, eventsPerRequest: BATCH_EVENTS };
  const singles = { connections: CONNECTIONS, eventsPerRequest: 1 };
  const lasting = { ...effort, seconds: Math.max(effort.seconds, SETTLED_SECONDS_MIN) };
  const batched = await inTurn(lasting, batches);
  const single = await inTurn(effort, singles);
  const row = (name: string, runs: Runs, figure: "acknowledged" | "counted", ratioMin?: number): Row => {
    const hub = median(runs.hub.map((run) => run[figure]));
    const peer = median(runs.peer.map((run) => run.acknowledged));
    const ratio = hub / peer;
    const isAsked = ratioMin !== undefined && mongo.url !== undefined && mongo.isReal;
    return {
      name,
      unit: "events/s",
      hub,
      peer,
      peerName: "insertMany",
      ratio,
      p99Ms: median(runs.hub.map(({ p99Ms }) => p99Ms)),
      peerP99Ms: median(runs.peer.map(({ p99Ms }) => p99Ms)),
      ...(isAsked && { target: `ratio ≥ ${ratioMin}`, met: ratio >= ratioMin }),
      note: `on ${mongoKind}${figure === "acknowledged" ? `, ${httpGenerator()}` : ""}`,
      runs: [runs],
    };
  };
  const lastingName = `NDJSON batches of ${BATCH_EVENTS} for ${lasting.seconds} s`;
  return [
    row(`distributed, ${lastingName}`, batched, "acknowledged", ACKNOWLEDGED_RATIO_MIN),
    row("distributed, of these counted by its end", batched, "counted", SETTLED_RATIO_MIN),
    row(`distributed, single POST /events, ${CONNECTIONS} connections`, single, "acknowledged"),
    await benchFreshness(effort),
  ];
}

/** From the acknowledgement of an event to the answer of `GET /aggregates` that shows it, under a steady load. */
async function benchFreshness({ seconds }: Effort): Promise<Row> {
  await using servers = await openServers();
  await using app = await startRole(servers, "http");
  await using _rollup = await startRole(servers, "rollup");
  const ledger = new Ledger();
  const senders = Array.from({ length: FRESH_SENDERS }, () => ndjsonSender(app.httpUrl, BATCH_EVENTS));
  const load = new SteadyLoad({ senders, eventsPerSecond: FRESH_EVENTS_PER_SECOND, ledger, prefix: "bench" });
  const freshness = new Freshness({ httpUrl: app.httpUrl, ledger, probesPerSecond: FRESH_PROBES_PER_SECOND });
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  await load.stop();
  const unseen = await freshness.stop(FRESH_TIMEOUT_MS);
  if (unseen > 0) throw new Error(`${unseen} events are not in the metrics after ${FRESH_TIMEOUT_MS} ms`);
  const p99Ms = percentile(freshness.samples, 0.99);
  return {
    name: `distributed, metrics show an event, at ${FRESH_EVENTS_PER_SECOND} events/s`,
    unit: "ms (p50)",
    hub: percentile(freshness.samples, 0.5),
    p99Ms,
    target: `p99 < ${FRESH_P99_MAX_MS} ms`,
    met: p99Ms < FRESH_P99_MAX_MS,
    note: `on ${mongoKind}; ${freshness.samples.length} events asked for`,
    runs: [freshness.samples],
  };
}

/** Runs of the hub and of the driver alone. */
interface Runs {
  readonly hub: readonly Run[];
  readonly peer: readonly Run[];
}

async function inTurn(
  effort: Effort,
  load: { connections: number; eventsPerRequest: number },
): Promise<Runs> {
  const runs = { hub: [] as Run[], peer: [] as Run[] };
  for (let run = 0; run < effort.runs; run++) {
    runs.hub.push(await onFreshHub({ ...load, seconds: effort.seconds }));
    runs.peer.push(await insertMany({ ...load, seconds: effort.seconds }));
  }
  return runs;
}

async function onFreshHub(load: { connections: number; eventsPerRequest: number; seconds: number }): Promise<Run> {
  await using servers = await openServers();
  await using app = await startRole(servers, "http");
  await using _rollup = await startRole(servers, "rollup");
  const from = Date.now();
  const result = await loadHttp({ httpUrl: app.httpUrl, ...load, spreadSeconds: 0 });
  const counted = await countedSince(app, from);
  if (result.errors > 0) throw new Error(`${result.errors} of ${result.requests} requests failed`);
  const events = result.requests * load.eventsPerRequest;
  await untilSettled(servers);
  const settled = await countedSince(app, from);
  if (settled < events) throw new Error(`${events} events were acknowledged and ${settled} are counted in the end`);
  return { acknowledged: events / result.seconds, counted: counted / result.seconds, p99Ms: result.p99Ms };
}

function startRole(servers: TestServers, role: string): Promise<HubProcess> {
  return startHub({ env: { ...servers.env, EVENTHUB_ROLES: role } });
}

async function insertMany(
  { connections, eventsPerRequest, seconds }: { connections: number; eventsPerRequest: number; seconds: number },
): Promise<Run> {
  await using servers = await openServers();
  const load: MongoLoad = {
    url: servers.env.EVENTHUB_STORE_URL!,
    connections,
    eventsPerCommand: eventsPerRequest,
    seconds,
  };
  const script = new URL("mongo_load.ts", import.meta.url).pathname;
  const result: MongoLoadResult = await runJson(Deno.execPath(), ["run", "-A", script, JSON.stringify(load)]);
  return { acknowledged: result.events / result.seconds, counted: 0, p99Ms: result.p99Ms };
}

async function countedSince(hub: HubProcess, from: number): Promise<number> {
  const range = `from=${new Date(from).toISOString()}&to=${new Date(Date.now() + 60_000).toISOString()}`;
  const { rows } = await getJson<{ rows: { count: number }[] }>(`${hub.httpUrl}/aggregates?${range}&window=1h`);
  return rows.reduce((sum, row) => sum + row.count, 0);
}
