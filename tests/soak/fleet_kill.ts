/**
 * Two processes of role `http`, one of `grpc` and two of `rollup` are one hub. Under mixed load a random one is killed
 * with SIGKILL and started again, over and over, while subscribers at each of them follow the log and go on elsewhere
 * when theirs is gone. In the end every acknowledged event is stored, counted, and was delivered to every subscriber.
 *
 * `deno task soak:fleet --kills 100 --rate 1500`
 */
import { distributedLacking, mongoKind, openServers } from "../services/distributed.ts";
import { streamHead, verifyRollups } from "./api.ts";
import { balancedSenders } from "./balanced.ts";
import { Fleet, type Role } from "./fleet.ts";
import { FleetFollower } from "./fleet_follower.ts";
import { Ledger } from "./ledger.ts";
import { conclude, readNumbers, type Report } from "./options.ts";
import { pause } from "./pace.ts";
import { untilSettled } from "./settled.ts";
import { SteadyLoad } from "./steady_load.ts";

/** Sizes of a run. */
export interface FleetKillOptions {
  readonly kills: number;
  /** Events sent a second at most; while a process is down, fewer. */
  readonly eventsPerSecond: number;
  /** Roles whose processes are killed; missing = all. */
  readonly victims?: readonly Role[];
  /** Entry modules in place of the hub's own, by role. */
  readonly mains?: Partial<Record<Role, string>>;
}

const ROLES: readonly Role[] = ["http", "http", "grpc", "rollup", "rollup"];
/** At first nothing is killed: what a subscriber then gets twice has no excuse. */
const QUIET_MS = 3_000;
/** Longest time from one start to the next kill. */
const LIFE_MS_MAX = 1_000;
/** Time for a subscriber to get the rest once nothing is sent any more. */
const REST_TIMEOUT_MS = 60_000;
const DAY_MS = 86_400_000;

/** Runs it; the report lists what was lost, miscounted or not delivered. */
export async function runFleetKill(options: FleetKillOptions): Promise<Report> {
  await using servers = await openServers();
  const { mains, victims = ["http", "grpc", "rollup"], kills, eventsPerSecond } = options;
  await using fleet = await Fleet.start({ env: servers.env, roles: ROLES, mains });
  const startedAt = Date.now();
  const ledger = new Ledger();
  const killed: Record<Role, number> = { http: 0, grpc: 0, rollup: 0 };
  let lastFailureAt = -Infinity;
  const followers = await followersOf(fleet, () => lastFailureAt);
  const stop = new AbortController();
  const senders = balancedSenders(fleet, stop.signal);
  const load = new SteadyLoad({ senders, eventsPerSecond, ledger, prefix: "fleet" });
  await pause(QUIET_MS);
  const candidates = fleet.members.filter(({ role }) => victims.includes(role));
  for (let count = 0; count < kills; count++) {
    await pause(Math.random() * LIFE_MS_MAX);
    const victim = candidates[Math.floor(Math.random() * candidates.length)]!;
    lastFailureAt = performance.now();
    killed[victim.role] += 1;
    await victim.kill();
    await victim.start();
    lastFailureAt = performance.now();
  }
  await load.stop();
  stop.abort();
  const loadSeconds = (Date.now() - startedAt) / 1_000;
  const settledMs = await untilSettled(servers);
  const { lost, violations } = await compareStore(fleet, ledger, startedAt);
  const expected = ledger.acknowledged.difference(lost);
  violations.push(
    ...(await Promise.all(followers.map((one) => compareFollower(one, ledger, expected)))).flat(),
    ...await fleet.stop(),
    ...fleet.surprises,
  );
  if (load.told.conflict > 0) violations.push(`${load.told.conflict} events were answered "conflict"`);
  return {
    name: `fleet on ${mongoKind}`,
    figures: {
      kills,
      killed: Object.entries(killed).map(([role, count]) => `${role}:${count}`).join(","),
      sent: ledger.sent.size,
      acknowledged: ledger.acknowledged.size,
      told_duplicate: load.told.duplicate,
      subscribers: followers.length,
      reconnects: sum(followers, "reconnects"),
      resets: sum(followers, "resets"),
      repeats: sum(followers, "repeats"),
      unexplained_repeats: sum(followers, "unexplained"),
      slowest_request_ms: load.slowestMs,
      seconds: loadSeconds,
      settled_after_ms: settledMs,
      failed_starts: fleet.failedStarts,
    },
    violations,
  };
}

/** One at each process that serves subscribers. */
async function followersOf(fleet: Fleet, lastFailureAt: () => number): Promise<readonly FleetFollower[]> {
  const [http, grpc] = [fleet.of("http"), fleet.of("grpc")];
  const after = await streamHead(http[0]!.address.httpUrl);
  const sse = http.map((_, start) => ({
    protocol: "sse" as const,
    members: [...http.slice(start), ...http.slice(0, start)],
  }));
  return [...sse, { protocol: "grpc" as const, members: grpc }]
    .map((place) => new FleetFollower({ ...place, after, lastFailureAt }));
}

/** What the store shows of the promises; `lost`: acknowledged events that it does not hold. */
async function compareStore(
  fleet: Fleet,
  ledger: Ledger,
  startedAt: number,
): Promise<{ lost: ReadonlySet<string>; violations: string[] }> {
  const { httpUrl } = fleet.of("http")[0]!.address;
  const violations: string[] = [];
  const { missing, unknown, stored } = await ledger.compare(httpUrl);
  if (missing.length > 0) violations.push(`${missing.length} acknowledged events are lost: ${missing[0]} …`);
  if (unknown.length > 0) violations.push(`${unknown.length} events were never sent: ${unknown[0]} …`);
  const { events, differing } = await verifyRollups(httpUrl, startedAt - DAY_MS, Date.now() + DAY_MS);
  if (differing > 0) violations.push(`${differing} cells differ from a recount`);
  if (events !== stored) violations.push(`${stored} events are listed, and ${events} are counted`);
  return { lost: new Set(missing), violations };
}

/** Everything acknowledged has come, nothing that was never sent, and nothing again without a reason. */
async function compareFollower(one: FleetFollower, ledger: Ledger, expected: ReadonlySet<string>): Promise<string[]> {
  const violations: string[] = [];
  const missing = await one.missing(expected, REST_TIMEOUT_MS);
  if (missing > 0) violations.push(`${one.name}: ${missing} acknowledged events did not come`);
  if (one.unexplained > 0) violations.push(`${one.name}: ${one.unexplained} events came again for no reason`);
  const unsent = [...one.seen].filter((id) => !ledger.sent.has(id));
  if (unsent.length > 0) violations.push(`${one.name}: ${unsent.length} events came that were never sent`);
  await one.stop();
  return violations;
}

function sum(followers: readonly FleetFollower[], name: "reconnects" | "resets" | "repeats" | "unexplained"): number {
  return followers.reduce((total, follower) => total + follower[name], 0);
}

if (import.meta.main) {
  const flags = readNumbers(Deno.args, { kills: 100, rate: 1_500 });
  if (distributedLacking() !== "") throw new Error(`Cannot run: ${distributedLacking()}`);
  conclude(await runFleetKill({ kills: flags.kills, eventsPerSecond: flags.rate }));
}
