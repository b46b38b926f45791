/**
 * `deno task bench --seconds 20 --runs 5 --only single,ndjson`: measures the hub beside its peers on this machine, prints
 * a table and writes it to bench/results/. Every figure is the median of the runs.
 */
import { type HubProcess, startHub } from "../tests/soak/process.ts";
import { benchDistributed } from "./distributed.ts";
import { fanOutHub, fanOutRedis } from "./fan_out.ts";
import { benchGrpcBatch, benchGrpcStream, benchNdjson, benchSingle, type Effort } from "./ingest.ts";
import { measureQueries } from "./queries.ts";
import { redisMissing } from "./redis.ts";
import { median, printTable, type Row, writeResults } from "./table.ts";

const STORED_EVENTS = 1_000_000;
const QUESTIONS = 300;
const SUBSCRIBERS = 200;
/** A steady stream that every subscriber takes in time, and one at the limit of two cores. */
const FAN_OUT_RATES = [2_000, 10_000];
const READY_STARTS = 10;
const READY_MAX_MS = 1_500;
const RSS_MAX_MIB = 300;
/** p99 asked of each question, in the order they are asked; the last is `/livez` meanwhile, of which nothing is asked. */
const QUESTION_MAX_MS = [10, 10, 60, 50];

/** The parts of the run by the names of `--only`. */
const PARTS: Record<string, (effort: Effort) => Promise<Row[]>> = {
  "single": async (effort) => [await benchSingle(effort)],
  "ndjson": async (effort) => [await benchNdjson(effort, { spread: false })],
  "ndjson-spread": async (effort) => [await benchNdjson(effort, { spread: true })],
  "grpc-batch": async (effort) => [await benchGrpcBatch(effort)],
  "grpc-stream": async (effort) => [await benchGrpcStream(effort)],
  "distributed": benchDistributed,
  "fan-out": benchFanOut,
  "queries": benchQueries,
  "ready": benchReady,
};

async function benchFanOut(effort: Effort): Promise<Row[]> {
  const rows: Row[] = [];
  for (const eventsPerSecond of FAN_OUT_RATES) {
    const size = { subscribers: SUBSCRIBERS, eventsPerSecond, seconds: effort.seconds };
    const hub = [];
    const peer = [];
    for (let run = 0; run < effort.runs; run++) {
      hub.push(await fanOutHub(size));
      if (redisMissing() === null) peer.push(await fanOutRedis(size));
    }
    const row = {
      name: `live, 1 → ${SUBSCRIBERS} SSE at ${eventsPerSecond} events/s`,
      unit: "deliveries/s",
      hub: median(hub.map((run) => run.deliveriesPerSecond)),
      p99Ms: median(hub.map((run) => run.p99Ms)),
      note: hub.every((run) => run.fewest >= run.sent) ? "" : "some had not got everything a second after the end",
      runs: [{ hub, peer }],
    };
    const rate = median(peer.map((run) => run.deliveriesPerSecond));
    const compared = { peer: rate, peerName: "PUBLISH (not durable)", peerP99Ms: median(peer.map((run) => run.p99Ms)) };
    rows.push(peer.length === 0 ? row : { ...row, ...compared, ratio: row.hub / rate });
  }
  return rows;
}

async function benchQueries(): Promise<Row[]> {
  const { events, fillSeconds, rssMib, queries } = await measureQueries({
    events: STORED_EVENTS,
    questions: QUESTIONS,
  });
  if (events < STORED_EVENTS) throw new Error(`${events} events of ${STORED_EVENTS} are stored`);
  const note = `${(STORED_EVENTS / 1e6)} million stored over a day, filled in ${fillSeconds.toFixed(1)} s`;
  const rows: Row[] = queries.map(({ name, p50Ms, p99Ms }, index) => {
    const maximum = QUESTION_MAX_MS[index];
    const asked = maximum === undefined ? {} : { target: `p99 < ${maximum} ms`, met: p99Ms < maximum };
    return { name, unit: "ms (p50)", hub: p50Ms, p99Ms, ...asked };
  });
  const target = `< ${RSS_MAX_MIB} MiB`;
  return [...rows, { name: "memory after them", unit: "MiB", hub: rssMib, target, met: rssMib < RSS_MAX_MIB, note }];
}

async function benchReady(): Promise<Row[]> {
  const times: number[] = [];
  for (let start = 0; start < READY_STARTS; start++) {
    await using hub: HubProcess = await startHub();
    times.push(hub.readyMs);
  }
  const hub = median(times);
  const target = `< ${READY_MAX_MS} ms`;
  return [{ name: "time to ready", unit: "ms", hub, target, met: hub < READY_MAX_MS, runs: times }];
}

function readFlags(args: readonly string[]): Effort & { only: string[] } {
  const flags = { seconds: 20, runs: 5, only: Object.keys(PARTS) };
  const words = args.flatMap((word) => word.split("=", 2));
  for (let index = 0; index < words.length; index += 2) {
    const value = words[index + 1] ?? "";
    if (words[index] === "--seconds" && Number(value) > 0) flags.seconds = Number(value);
    else if (words[index] === "--runs" && Number(value) > 0) flags.runs = Number(value);
    else if (words[index] === "--only" && value.split(",").every((name) => name in PARTS)) {
      flags.only = value.split(",");
    } else {throw new Error(
        `Cannot read ${words[index]} ${value}: known are --seconds 20 --runs 5 --only ${flags.only}`,
      );}
  }
  return flags;
}

if (import.meta.main) {
  const { only, ...effort } = readFlags(Deno.args);
  const rows: Row[] = [];
  for (const name of only) {
    console.error(`${name} …`);
    try {
      rows.push(...await PARTS[name]!(effort));
    } catch (error) {
      rows.push({ name, unit: "", hub: NaN, note: `failed: ${error}`, met: false });
    }
  }
  printTable(rows);
  console.log(`\n${await writeResults(rows, { ...effort, only })}`);
  Deno.exit(rows.some((row) => Number.isNaN(row.hub)) ? 1 : 0);
}
