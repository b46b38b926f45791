/**
 * Measures a storage driver through its port, in one process: `deno run -A bench/storage.ts [sqlite|memory|mongodb://…] [events]`.
 * Prints a line a measurement; the file lies in a temporary folder under `bench/results`, a database is dropped.
 */
import process from "node:process";
import { MongoClient } from "mongodb";
import type { Event } from "../src/event.ts";
import { createEventIds } from "../src/event_id.ts";
import type { AggregateQuery } from "../src/rollup.ts";
import type { EventStore } from "../src/storage.ts";
import { MemoryStore } from "../src/storage/memory.ts";
import { MongodbStore } from "../src/storage/mongodb.ts";
import { connectSqlite, SqliteDatabase } from "../src/storage/sqlite.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const TENANT = "default";
const TYPES = ["purchase", "return", "refund", "exchange"];
const USERS = 20_000;
const RARE_USER = "rare";
const BATCH = 500;
/** Appends at once, as a busy hub has them. */
const CONCURRENT_BATCHES = 4;
const SINGLE_CALLERS = 64;

/** A driver on nothing, and what it needs beside it. */
interface Opened extends AsyncDisposable {
  readonly store: EventStore;
}

async function openSqlite(): Promise<Opened> {
  const results = new URL("./results/", import.meta.url).pathname;
  Deno.mkdirSync(results, { recursive: true });
  const folder = Deno.makeTempDirSync({ dir: results, prefix: "storage-" });
  const database = await SqliteDatabase.open({ path: `${folder}/eventhub.db` });
  const { store, log } = await connectSqlite(database.ports().ports);
  return {
    store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      log[Symbol.dispose]();
      await database[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

function openMemory(): Promise<Opened> {
  const store = new MemoryStore({ eventsMax: Infinity });
  return Promise.resolve({ store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() });
}

/** A database of its own on the server of a URL. */
async function openMongodb(server: string): Promise<Opened> {
  const url = new URL(server);
  url.pathname = `/eventhub_bench_${crypto.randomUUID().slice(0, 8)}`;
  const store = await MongodbStore.open({ url: url.href, isPublished: false });
  return {
    store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await using client = new MongoClient(url.href);
      await client.db().dropDatabase();
    },
  };
}

const DRIVERS: Record<string, () => Promise<Opened>> = { sqlite: openSqlite, memory: openMemory };

const newId = createEventIds();

/** Events whose timestamps lie anywhere in the last `spreadMs`; 0 = each now. */
function* eventsOf(spreadMs: number): Generator<Event> {
  for (let i = 0;; i++) {
    const now = Date.now();
    yield {
      id: newId(),
      tenant: TENANT,
      userId: i % 50_000 === 7 ? RARE_USER : `user-${(i * 7_919) % USERS}`,
      eventType: TYPES[i & 3]!,
      amount: ((i * 48_271) % 1_000_000) * 100,
      timestamp: now - (spreadMs === 0 ? 0 : Math.floor(Math.random() * spreadMs)),
      timestampGiven: true,
      receivedAt: now,
      source: "rest",
      properties: null,
    };
  }
}

function take(events: Iterator<Event>, count: number): Event[] {
  return Array.from({ length: count }, () => events.next().value as Event);
}

function percentile(sorted: readonly number[], p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] ?? NaN;
}

function print(name: string, figures: Record<string, string>): void {
  console.log(name.padEnd(44) + Object.entries(figures).map(([key, value]) => `${key} ${value}`).join("  "));
}

/** Several callers append until `total` events are stored. */
async function append(
  store: EventStore,
  options: { name: string; total: number; size: number; callers: number; spreadMs: number },
): Promise<void> {
  const { name, total, size, callers, spreadMs } = options;
  const events = eventsOf(spreadMs);
  const latencies: number[] = [];
  let left = total;
  const start = performance.now();
  const cpu = process.cpuUsage();
  await Promise.all(Array.from({ length: callers }, async () => {
    while (left > 0) {
      left -= size;
      const group = take(events, size);
      const sent = performance.now();
      const statuses = await store.append(group);
      latencies.push(performance.now() - sent);
      if (statuses.some((status) => status !== "stored")) throw new Error(`Not stored: ${statuses}`);
    }
  }));
  const seconds = (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  latencies.sort((a, b) => a - b);
  print(name, {
    "events/s": Math.round(total / seconds).toLocaleString("en").padStart(8),
    "cpu µs/event": ((user + system) / total).toFixed(2),
    "append p50": `${percentile(latencies, 0.5).toFixed(1)} ms`,
    "p99": `${percentile(latencies, 0.99).toFixed(1)} ms`,
    "max": `${latencies.at(-1)!.toFixed(1)} ms`,
  });
}

async function ask(name: string, times: number, question: () => Promise<unknown>): Promise<void> {
  await question();
  const latencies: number[] = [];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await question();
    latencies.push(performance.now() - start);
  }
  latencies.sort((a, b) => a - b);
  print(name, {
    p50: `${percentile(latencies, 0.5).toFixed(2)} ms`,
    p99: `${percentile(latencies, 0.99).toFixed(2)} ms`,
    max: `${latencies.at(-1)!.toFixed(2)} ms`,
  });
}

async function questions(store: EventStore): Promise<void> {
  const now = Date.now();
  const day = { tenant: TENANT, from: Math.floor((now - DAY) / HOUR) * HOUR, to: Math.ceil(now / HOUR) * HOUR };
  const query: AggregateQuery = {
    ...day,
    window: "1h",
    groupByType: true,
    eventTypes: null,
    fill: false,
    zone: "UTC",
    percentiles: false,
  };
  await ask("count of 60 minutes", 300, () => store.count({ tenant: TENANT, from: now - HOUR, to: now + 1 }));
  await ask("aggregate: a day by hours", 100, () => store.aggregate(query));
  const byMinutes: AggregateQuery = { ...query, window: "1m", percentiles: true };
  await ask("aggregate: a day by minutes, percentiles", 40, () => store.aggregate(byMinutes));
  const newest = { limit: 50, order: "desc" } as const;
  await ask("list: the newest 50", 100, () => store.list({ tenant: TENANT }, newest));
  await ask("list: a rare user", 100, () => store.list({ tenant: TENANT, userId: RARE_USER }, newest));
  await ask("list: one type", 100, () => store.list({ tenant: TENANT, eventTypes: ["return"] }, newest));
  const start = performance.now();
  const report = await store.verify(day);
  print("verify: the day", {
    seconds: ((performance.now() - start) / 1_000).toFixed(2),
    events: String(report.events),
    differing: String(report.differing),
  });
}

const driver = Deno.args[0] ?? "sqlite";
const total = Number(Deno.args[1] ?? 500_000);
const open = driver.startsWith("mongodb") ? () => openMongodb(driver) : DRIVERS[driver];
if (open === undefined) throw new Error(`Cannot measure ${driver}: known are ${Object.keys(DRIVERS).join(", ")}`);
for (const [name, spreadMs] of [["in order of time", 0], ["over an hour", HOUR], ["over a day", DAY]] as const) {
  await using opened = await open();
  const batches = { total, size: BATCH, callers: CONCURRENT_BATCHES, spreadMs };
  await append(opened.store, { name: `${driver}: appends of ${BATCH}, ${name}`, ...batches });
}
{
  await using opened = await open();
  const single = { total: total / 10, size: 1, callers: SINGLE_CALLERS, spreadMs: 0 };
  await append(opened.store, { name: `${driver}: one by one, ${SINGLE_CALLERS} callers`, ...single });
}
{
  await using opened = await open();
  const batches = { total: 1_000_000, size: BATCH, callers: CONCURRENT_BATCHES, spreadMs: DAY };
  await append(opened.store, { name: `${driver}: a million over a day`, ...batches });
  const start = performance.now();
  const settled = await opened.store.settle();
  const seconds = (performance.now() - start) / 1_000;
  if (settled > 0) print("settle", { "events/s": Math.round(settled / seconds).toLocaleString("en").padStart(8) });
  await questions(opened.store);
  print("resident memory", { MB: (Deno.memoryUsage().rss / 1e6).toFixed(0) });
}
