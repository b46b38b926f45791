/**
 * Three processes of role `rollup` are ended and started again at random while events arrive, a tenth of them late by up
 * to a day. In the end every total is exact, and all the time the metrics are as fresh as promised: first with SIGTERM,
 * then with SIGKILL.
 *
 * `deno task soak:rollups --seconds 120 --rate 2000`
 */
import { distributedLacking, mongoKind, openServers } from "../services/distributed.ts";
import { getJson, verifyRollups } from "./api.ts";
import { Fleet } from "./fleet.ts";
import { Freshness } from "./freshness.ts";
import { Ledger } from "./ledger.ts";
import { conclude, percentile, readNumbers, type Report } from "./options.ts";
import { pause } from "./pace.ts";
import { ndjsonSender, type Sender } from "./send.ts";
import { untilSettled } from "./settled.ts";
import { SteadyLoad } from "./steady_load.ts";

/** Sizes of a run. */
export interface RollupsOptions {
  readonly signal: "SIGTERM" | "SIGKILL";
  readonly seconds: number;
  readonly eventsPerSecond: number;
  /** What 99 of 100 events may take from their acknowledgement to the metrics, and what any may, milliseconds. */
  readonly freshness: { readonly p99Ms: number; readonly maxMs: number };
  /** Entry module of the processes of role `rollup` in place of the hub's own. */
  readonly main?: string;
}

/** The promises: an event that the workers leave in order is counted at once, one that died with its worker is found. */
export const FRESHNESS = {
  SIGTERM: { p99Ms: 2_000, maxMs: 30_000 },
  SIGKILL: { p99Ms: 30_000, maxMs: 30_000 },
} as const;

const SENDERS = 4;
const BATCH_EVENTS = 100;
const PROBES_PER_SECOND = 10;
const DAY_MS = 86_400_000;
/** Between two ends or starts of processes. */
const CHANGE_MS_MIN = 200;
const CHANGE_MS_MAX = 2_000;

/** Runs it; the report lists cells that differ, and whether the metrics were late. */
export async function runRollups(options: RollupsOptions): Promise<Report> {
  await using servers = await openServers();
  const roles = ["http", "rollup", "rollup", "rollup"] as const;
  await using fleet = await Fleet.start({ env: servers.env, roles, mains: { rollup: options.main } });
  const { httpUrl } = fleet.of("http")[0]!.address;
  const ledger = new Ledger();
  const senders = Array.from({ length: SENDERS }, (): Sender => ndjsonSender(httpUrl, BATCH_EVENTS));
  const { eventsPerSecond } = options;
  const load = new SteadyLoad({ senders, eventsPerSecond, ledger, prefix: "rollups", latenessMs: DAY_MS });
  const freshness = new Freshness({ httpUrl, ledger, probesPerSecond: PROBES_PER_SECOND });
  const startedAt = performance.now();
  const changes = await changeAtRandom(fleet, options);
  await load.stop();
  const seconds = (performance.now() - startedAt) / 1_000;
  const unseen = await freshness.stop(options.freshness.maxMs);
  const settledMs = await untilSettled(servers);
  const { samples } = freshness;
  const [p50, p99, max] = [0.5, 0.99, 1].map((share) => percentile(samples, share));
  const violations = [...await compareTotals(httpUrl, ledger), ...await fleet.stop(), ...fleet.surprises];
  if (unseen > 0) violations.push(`${unseen} probes are not shown after ${options.freshness.maxMs} ms`);
  if (!(p99! <= options.freshness.p99Ms)) violations.push(`p99 of freshness is ${p99} ms`);
  if (!(max! <= options.freshness.maxMs)) violations.push(`An event was shown after ${max} ms`);
  return {
    name: `rollups, ${options.signal}, on ${mongoKind}`,
    figures: {
      processes_ended: changes,
      events: ledger.acknowledged.size,
      events_per_second: ledger.acknowledged.size / seconds,
      seconds,
      probes: samples.length,
      shown_after_p50_ms: p50!,
      shown_after_p99_ms: p99!,
      shown_after_max_ms: max!,
      settled_after_ms: settledMs,
      failed_starts: fleet.failedStarts,
    },
    violations,
  };
}

/** Ends and starts processes of role `rollup`, never the last one; in the end all run. Answers how many were ended. */
async function changeAtRandom(fleet: Fleet, { signal, seconds }: RollupsOptions): Promise<number> {
  const until = performance.now() + seconds * 1_000;
  const members = fleet.of("rollup");
  let ended = 0;
  while (performance.now() < until) {
    await pause(CHANGE_MS_MIN + Math.random() * (CHANGE_MS_MAX - CHANGE_MS_MIN));
    const member = fleet.any("rollup");
    if (!member.isUp) {
      await member.start();
    } else if (members.filter(({ isUp }) => isUp).length > 1) {
      await (signal === "SIGTERM" ? member.stop() : member.kill());
      ended += 1;
    }
  }
  await Promise.all(members.filter(({ isUp }) => !isUp).map((member) => member.start()));
  return ended;
}

/** Everything sent is acknowledged, and counted exactly once. */
async function compareTotals(httpUrl: string, ledger: Ledger): Promise<string[]> {
  const violations: string[] = [];
  const [from, to] = [Date.now() - 12 * DAY_MS, Date.now() + DAY_MS];
  const open = ledger.open().length;
  if (open > 0) violations.push(`${open} events were not acknowledged by a process that was never ended`);
  const range = { from: new Date(from).toISOString(), to: new Date(to).toISOString(), window: "1h" };
  const { rows } = await getJson<{ rows: { count: number }[] }>(
    `${httpUrl}/aggregates?${new URLSearchParams(range)}`,
  );
  const counted = rows.reduce((sum, { count }) => sum + count, 0);
  if (counted !== ledger.sent.size) violations.push(`${ledger.sent.size} events were sent, ${counted} are counted`);
  const { events, differing } = await verifyRollups(httpUrl, from, to);
  if (events !== ledger.sent.size) violations.push(`${ledger.sent.size} events were sent, ${events} are stored`);
  if (differing > 0) violations.push(`${differing} cells differ from a recount`);
  return violations;
}

if (import.meta.main) {
  const { seconds, rate } = readNumbers(Deno.args, { seconds: 120, rate: 2_000 });
  if (distributedLacking() !== "") throw new Error(`Cannot run: ${distributedLacking()}`);
  const run = (signal: RollupsOptions["signal"]) =>
    runRollups({ signal, seconds, eventsPerSecond: rate, freshness: FRESHNESS[signal] });
  conclude(await run("SIGTERM"), await run("SIGKILL"));
}
