/** Durable ingest: each way into the hub, in turn with Redis that syncs its log before every answer. */
import { getJson } from "../tests/soak/api.ts";
import { type HubProcess, startHub } from "../tests/soak/process.ts";
import type { GrpcLoad, GrpcLoadResult } from "./grpc_load.ts";
import { httpGenerator, loadHttp, type LoadResult } from "./http_load.ts";
import { runJson } from "./programs.ts";
import { redisMissing, type RedisResult, RedisServer } from "./redis.ts";
import { median, type Row } from "./table.ts";

/** Length and number of runs. */
export interface Effort {
  readonly seconds: number;
  readonly runs: number;
}

const CONNECTIONS = 64;
/** Enough to keep the hub busy with batches; more would only wait longer. */
const BATCH_CONNECTIONS = 16;
const BATCH_EVENTS = 500;
const PIPELINE = 64;
const SPREAD_SECONDS = 3_600;
const GRPC_CONNECTIONS = 8;
const STREAMS = 4;
const STREAM_WINDOW = 512;
const P99_MAX_MS = 30;

/** What one run of a way into the hub found. */
interface Ingested {
  readonly eventsPerSecond: number;
  readonly p99Ms?: number;
  readonly note?: string;
}

/** `POST /events` at 64 connections beside XADD at 64 clients. */
export async function benchSingle(effort: Effort): Promise<Row> {
  const load = { connections: CONNECTIONS, eventsPerRequest: 1, spreadSeconds: 0 };
  const runs = await inTurn(effort, { hub: (hub) => overHttp(hub, { ...load, ...effort }), pipeline: 1 });
  const row = rowOf("single POST /events, 64 connections", runs, { ratio: 0.45, peerName: "XADD always" });
  const p99Met = row.p99Ms !== undefined && row.p99Ms < P99_MAX_MS;
  return { ...row, target: `${row.target}, p99 < ${P99_MAX_MS} ms`, met: row.met && p99Met };
}

/** NDJSON batches of 500 beside pipelined XADD; timestamps of now, or spread over an hour. */
export async function benchNdjson(effort: Effort, { spread }: { spread: boolean }): Promise<Row> {
  const spreadSeconds = spread ? SPREAD_SECONDS : 0;
  const load = { connections: BATCH_CONNECTIONS, eventsPerRequest: BATCH_EVENTS, spreadSeconds };
  const runs = await inTurn(effort, { hub: (hub) => overHttp(hub, { ...load, ...effort }), pipeline: PIPELINE });
  const name = `NDJSON batches of ${BATCH_EVENTS}${spread ? ", timestamps over an hour" : ""}`;
  return rowOf(name, runs, { ratio: spread ? 0.15 : 0.30, peerName: "XADD -P 64" });
}

/** gRPC `PublishBatch` of 500, beside this run's NDJSON rate, measured in turn too. */
export async function benchGrpcBatch(effort: Effort): Promise<Row> {
  const http = { connections: BATCH_CONNECTIONS, eventsPerRequest: BATCH_EVENTS, spreadSeconds: 0 };
  const runs = await inTurn(effort, {
    hub: (hub) => overGrpc(hub, { kind: "batch", connections: GRPC_CONNECTIONS, ...effort }),
    peer: (hub) => overHttp(hub, { ...http, ...effort }),
  });
  return rowOf(`gRPC PublishBatch(${BATCH_EVENTS})`, runs, { ratio: 0.5, peerName: "hub NDJSON" });
}

/** gRPC `PublishStream`, beside this run's rate of single POSTs, measured in turn too. */
export async function benchGrpcStream(effort: Effort): Promise<Row> {
  const http = { connections: CONNECTIONS, eventsPerRequest: 1, spreadSeconds: 0 };
  const runs = await inTurn(effort, {
    hub: (hub) => overGrpc(hub, { kind: "stream", connections: STREAMS, ...effort }),
    peer: (hub) => overHttp(hub, { ...http, ...effort }),
  });
  return rowOf(`gRPC PublishStream, ${STREAMS} streams`, runs, { ratio: 0.4, peerName: "hub single POST" });
}

/** Runs of the hub and of its peer. */
interface Runs {
  readonly hub: readonly Ingested[];
  readonly peer: readonly Ingested[];
  /** Why there is no peer. */
  readonly missing: string | null;
}

/** Hub, peer, hub, peer …, each on a fresh store. The peer is Redis, or another way into the hub. */
async function inTurn(
  effort: Effort,
  options: {
    hub: (hub: HubProcess) => Promise<Ingested>;
    peer?: (hub: HubProcess) => Promise<Ingested>;
    pipeline?: number;
  },
): Promise<Runs> {
  const missing = options.peer === undefined ? redisMissing() : null;
  const runs = { hub: [] as Ingested[], peer: [] as Ingested[], missing };
  for (let run = 0; run < effort.runs; run++) {
    runs.hub.push(await onFreshHub(options.hub));
    if (options.peer !== undefined) runs.peer.push(await onFreshHub(options.peer));
    else if (missing === null) runs.peer.push(await onFreshRedis({ ...effort, pipeline: options.pipeline! }));
  }
  return runs;
}

async function onFreshHub(load: (hub: HubProcess) => Promise<Ingested>): Promise<Ingested> {
  await using hub = await startHub();
  return await load(hub);
}

async function onFreshRedis(options: { seconds: number; pipeline: number }): Promise<Ingested> {
  await using redis = await RedisServer.start();
  const { perSecond, p99Ms }: RedisResult = await redis.load(options);
  return { eventsPerSecond: perSecond, p99Ms };
}

async function overHttp(
  hub: HubProcess,
  options: { connections: number; seconds: number; eventsPerRequest: number; spreadSeconds: number },
): Promise<Ingested> {
  const from = Date.now() - 2 * SPREAD_SECONDS * 1_000;
  const result: LoadResult = await loadHttp({ httpUrl: hub.httpUrl, ...options });
  if (result.errors > 0) throw new Error(`${result.errors} of ${result.requests} requests failed`);
  const events = result.requests * options.eventsPerRequest;
  const stored = await countStored(hub, from);
  if (stored < events) throw new Error(`${events} events were acknowledged and ${stored} are stored`);
  return { eventsPerSecond: events / result.seconds, p99Ms: result.p99Ms, note: httpGenerator() };
}

async function overGrpc(
  hub: HubProcess,
  options: { kind: "batch" | "stream"; connections: number; seconds: number },
): Promise<Ingested> {
  const load: GrpcLoad = {
    ...options,
    address: hub.grpcAddress,
    eventsPerBatch: BATCH_EVENTS,
    window: STREAM_WINDOW,
  };
  const script = new URL("grpc_load.ts", import.meta.url).pathname;
  const { events, seconds, cpuShare }: GrpcLoadResult = await runJson(Deno.execPath(), [
    ...["run", "-A", script],
    JSON.stringify(load),
  ]);
  return { eventsPerSecond: events / seconds, note: `the client used ${Math.round(cpuShare * 100)} % of a core` };
}

async function countStored(hub: HubProcess, from: number): Promise<number> {
  const range = `from=${new Date(from).toISOString()}&to=${new Date(Date.now() + 60_000).toISOString()}`;
  const { rows } = await getJson<{ rows: { count: number }[] }>(`${hub.httpUrl}/aggregates?${range}&window=1h`);
  return rows.reduce((sum, row) => sum + row.count, 0);
}

function rowOf(name: string, runs: Runs, asked: { ratio: number; peerName: string }): Row {
  const hub = median(runs.hub.map((run) => run.eventsPerSecond));
  const p99 = (all: readonly Ingested[]) => {
    const values = all.map((run) => run.p99Ms).filter((value) => value !== undefined);
    return values.length === 0 ? undefined : median(values);
  };
  const row = { name, unit: "events/s", hub, p99Ms: p99(runs.hub), target: `ratio ≥ ${asked.ratio}`, runs: [runs] };
  if (runs.missing !== null) return { ...row, note: runs.missing };
  const peer = median(runs.peer.map((run) => run.eventsPerSecond));
  const ratio = hub / peer;
  const compared = { peer, peerName: asked.peerName, peerP99Ms: p99(runs.peer), ratio, met: ratio >= asked.ratio };
  return { ...row, ...compared, note: runs.hub.at(-1)?.note };
}
