/**
 * Many more events than the live stream holds, with a consumer group that died long ago beside the one that counts. The
 * memory of Redis must stay what the bound allows, and every event must be counted exactly once, also those that the
 * stream dropped while nobody counted: these must be told by a metric.
 *
 * `deno task soak:stream-memory --events 2000000 --maxlen 100000 --rate 2000`
 */
import { distributedLacking, mongoKind, openServers, type TestServers } from "../services/distributed.ts";
import { getJson, metricSum, verifyRollups } from "./api.ts";
import { balanced } from "./balanced.ts";
import { Fleet } from "./fleet.ts";
import { conclude, readNumbers, type Report } from "./options.ts";
import { paced, until } from "./pace.ts";
import { type MemoryFigures, RedisMemory } from "./redis_memory.ts";
import { ndjsonSender, type Sender } from "./send.ts";
import { untilSettled } from "./settled.ts";
import { type TypicalEvent, typicalEvent } from "./typical_event.ts";

/** Sizes of a run. */
export interface StreamMemoryOptions {
  /** Must be several times `entriesMax`. */
  readonly events: number;
  /** `EVENTHUB_STREAM_MAXLEN`. */
  readonly entriesMax: number;
  /** Events sent a second at most. */
  readonly eventsPerSecond: number;
  /** `false` leaves the stream longer than it is expected to be: a control. */
  readonly isBounded?: boolean;
  /** How long the alarm is waited for; missing = 30 s. A control has none. */
  readonly alarmMs?: number;
}

/** The alarm: the stream dropped entries that the group that counts had not been given. */
const ALARM_METRIC = "eventhub_stream_group_overruns_total";
/** How many; before Redis 7 it is not known. */
const LOST_METRIC = "eventhub_stream_entries_lost_total";
/** Of what the stream holds, so much arrives while nobody counts. */
const OUTAGE_SHARE = 1.5;
/** Memory at the end beside that when the bound was first reached. */
const GROWTH_MAX = 1.25;
/** What readers and commands under way may take beside it, mebibytes: a pass of the group alone reads 10,000 entries. */
const TRANSIENT_MIB_MAX = 16;
const DEAD_GROUP = "dead";
const DEAD_ENTRIES = 1_000;
const SENDERS = 4;
const BATCH_EVENTS = 500;
const MINUTE_MS = 60_000;
const ALARM_TIMEOUT_MS = 30_000;

/** Runs it; the report lists what was miscounted, and what of the memory or the alarm is not as promised. */
export async function runStreamMemory(options: StreamMemoryOptions): Promise<Report> {
  await using servers = await openServers();
  const { entriesMax, isBounded = true } = options;
  const env = { ...servers.env, ...(isBounded && { EVENTHUB_STREAM_MAXLEN: String(entriesMax) }) };
  await using fleet = await Fleet.start({ env, roles: ["http", "rollup"] });
  const [http, rollup] = [fleet.of("http")[0]!, fleet.of("rollup")[0]!];
  const startedAt = Date.now();
  const load = new CountedLoad(() =>
    balanced({
      members: [http],
      open: ({ address }) => ndjsonSender(address.httpUrl, BATCH_EVENTS),
      signal: new AbortController().signal,
    })
  );
  const outage = Math.ceil(entriesMax * OUTAGE_SHARE);
  await load.send(DEAD_ENTRIES, options.eventsPerSecond);
  await addDeadGroup(servers);
  const memory = new RedisMemory(servers.redis, entriesMax);
  await load.send(options.events - outage - DEAD_ENTRIES, options.eventsPerSecond);
  const overruns = () => metricSum(rollup.address.httpUrl, ALARM_METRIC);
  const lost = () => metricSum(rollup.address.httpUrl, LOST_METRIC);
  const before = { overruns: await overruns(), lost: await lost() };
  await untilSettled(servers);
  await rollup.stop();
  await load.send(outage, options.eventsPerSecond);
  const sentSeconds = (Date.now() - startedAt) / 1_000;
  await rollup.start();
  const violations: string[] = [];
  await until(async () => await overruns() > 0, {
    name: `${ALARM_METRIC} tells of it`,
    timeoutMs: options.alarmMs ?? ALARM_TIMEOUT_MS,
  })
    .catch((error: Error) => violations.push(error.message));
  const settledMs = await untilSettled(servers);
  const figures = {
    events: load.sent,
    stored_unanswered: load.resent,
    seconds: sentSeconds,
    events_per_second: load.sent / sentSeconds,
    settled_after_ms: settledMs,
    overruns_with_a_live_group: before.overruns,
    lost_with_a_live_group: before.lost,
    overruns_after_an_outage: await overruns(),
    lost_after_an_outage: await lost(),
    ...await memory.stop(),
  };
  violations.push(...await compare(http.address.httpUrl, load, startedAt));
  violations.push(...judge(figures, entriesMax));
  violations.push(...await fleet.stop(), ...fleet.surprises);
  return { name: `stream-memory on ${mongoKind}`, figures, violations };
}

function judge(figures: MemoryFigures, entriesMax: number): string[] {
  const { redis_mib_at_bound: first, redis_mib_at_end: last, redis_mib_max: largest } = figures;
  const violations: string[] = [];
  const { entries_max: entries } = figures;
  if (!(entries <= entriesMax + BATCH_EVENTS)) violations.push(`There were ${entries} entries in the stream`);
  if (!(last <= first * GROWTH_MAX)) violations.push(`The memory of Redis grew from ${first} MiB to ${last} MiB`);
  if (!(largest <= first * GROWTH_MAX + TRANSIENT_MIB_MAX)) violations.push(`Redis took ${largest} MiB for a time`);
  return violations;
}

/** A group that was given some entries, and never heard of again. */
async function addDeadGroup({ redis }: TestServers): Promise<void> {
  await redis.send("XGROUP", "CREATE", redis.prefix, DEAD_GROUP, "0");
  await redis.send("XREADGROUP", "GROUP", DEAD_GROUP, "gone", "COUNT", DEAD_ENTRIES, "STREAMS", redis.prefix, ">");
}

/** Sends numbered events, of which nothing has to be remembered: sums follow from the numbers. */
class CountedLoad {
  sent = 0;
  /** Events that were stored without an answer at first. */
  resent = 0;
  /** Sum of all amounts, in hundredths. */
  hundredths = 0n;
  readonly #open: () => Sender;

  constructor(open: () => Sender) {
    this.#open = open;
  }

  /** Sends so many at a rate at most; each is answered in the end. */
  async send(count: number, eventsPerSecond: number): Promise<void> {
    const until = this.sent + count;
    const free = Array.from({ length: SENDERS }, this.#open);
    const running = new Set<Promise<void>>();
    const done = new AbortController();
    const failures: unknown[] = [];
    let due = 0;
    for await (const more of paced(eventsPerSecond, done.signal)) {
      due = Math.min(due + more, eventsPerSecond);
      while (due > 0 && free.length > 0 && this.sent < until) {
        const sender = free.pop()!;
        const events = Array.from({ length: Math.min(due, BATCH_EVENTS, until - this.sent) }, () => this.#next());
        due -= events.length;
        const request = this.#send(sender, events)
          .catch((error: unknown) => {
            failures.push(error);
            done.abort();
          })
          .finally(() => {
            running.delete(request);
            free.push(sender);
          });
        running.add(request);
      }
      if (this.sent === until) done.abort();
      if (free.length === 0) await Promise.race(running);
    }
    await Promise.all(running);
    for (const sender of free) sender.close();
    if (failures.length > 0) throw failures[0];
  }

  /** A duplicate is an event that was stored without an answer, and sent again. */
  async #send(sender: Sender, events: readonly TypicalEvent[]): Promise<void> {
    for (const status of await sender.send(events)) {
      if (status === "duplicate") this.resent += 1;
      else if (status !== "stored") throw new Error(`An event was answered "${status}"`);
    }
  }

  #next(): TypicalEvent {
    const event = typicalEvent(++this.sent, { prefix: "memory" });
    this.hundredths += BigInt(Math.round(event.amount * 100));
    return event;
  }
}

/** Count and sum are those of what was sent; a recount finds nothing that differs. */
async function compare(httpUrl: string, load: CountedLoad, startedAt: number): Promise<string[]> {
  const violations: string[] = [];
  const [from, to] = [Math.floor(startedAt / MINUTE_MS) * MINUTE_MS, Date.now()];
  const range = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  const { rows } = await getJson<{ rows: { count: number; total: string }[] }>(
    `${httpUrl}/aggregates?${new URLSearchParams(range)}`,
  );
  const counted = rows.reduce((sum, { count }) => sum + count, 0);
  const hundredths = rows.reduce((sum, { total }) => sum + BigInt(Math.round(Number(total) * 100)), 0n);
  if (counted !== load.sent) violations.push(`${load.sent} events were sent, ${counted} are counted`);
  if (hundredths !== load.hundredths) violations.push(`The sum is ${hundredths} hundredths, not ${load.hundredths}`);
  const { events: stored, differing } = await verifyRollups(httpUrl, from, to);
  if (differing > 0) violations.push(`${differing} cells differ from a recount`);
  if (stored !== load.sent) violations.push(`${load.sent} events were sent, ${stored} are stored`);
  return violations;
}

if (import.meta.main) {
  const flags = readNumbers(Deno.args, { events: 2_000_000, maxlen: 100_000, rate: 2_000 });
  if (distributedLacking() !== "") throw new Error(`Cannot run: ${distributedLacking()}`);
  conclude(await runStreamMemory({ events: flags.events, entriesMax: flags.maxlen, eventsPerSecond: flags.rate }));
}
