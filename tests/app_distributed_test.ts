/** Processes of single roles on one MongoDB and one Redis: together they are one hub. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { startHub } from "./harness.ts";
import { distributedLacking, openServers, proxyBefore } from "./services/distributed.ts";
import type { TcpProxy } from "./services/proxy.ts";
import { ownRedisMissing, RedisServer } from "./services/redis.ts";
import type { HubProcess } from "./soak/process.ts";
import { readSse } from "./soak/sse.ts";
import { until } from "./stream/redis_hub.ts";
import type { SentEvent } from "./transport/clients.ts";
import { lacking, PROCESS_NEEDS } from "./transport/served.ts";

const missing = lacking(PROCESS_NEEDS) ?? distributedLacking();

const ownMissing = missing || (ownRedisMissing ?? "");

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `app: ${name}${missing && ` (${missing})`}`, ignore: missing !== "", fn });
}

function sale(id: string): SentEvent {
  return { id, userId: "ann", eventType: "purchase", amount: "1.5" };
}

async function publish({ grpcAddress }: HubProcess, ids: readonly string[]): Promise<void> {
  const { grpcClient } = await import("./transport/clients_grpc.ts");
  await using client = grpcClient(grpcAddress);
  assertEquals((await client.publishBatch(ids.map(sale))).accepted, ids.length);
}

async function counted({ httpUrl }: HubProcess): Promise<number> {
  const { rows } = await (await fetch(`${httpUrl}/aggregates?window=1h`)).json() as { rows: { count: number }[] };
  return rows.reduce((sum, { count }) => sum + count, 0);
}

/** What every process serves, and that one without role `http` serves nothing else. */
async function assertServesOperationsOnly({ httpUrl }: HubProcess): Promise<void> {
  for (const path of ["/livez", "/readyz?verbose", "/version", "/metrics"]) {
    const response = await fetch(httpUrl + path);
    assertEquals(response.status, 200, `${path}: ${await response.text()}`);
  }
  for (const path of ["/", "/events", "/graphql", "/docs", "/aggregates"]) {
    const response = await fetch(httpUrl + path);
    assertEquals(response.headers.get("content-type"), "application/problem+json");
    const { status, code } = await response.json();
    assertEquals([response.status, status, code], [404, 404, "not_found"], path);
  }
}

test("three processes are one hub: sent over gRPC, seen over SSE, counted; another counts on when one is killed", async () => {
  await using servers = await openServers();
  const start = (roles: string) => startHub({ env: { ...servers.env, EVENTHUB_ROLES: roles } });
  const [http, grpc, rollup] = await Promise.all([start("http"), start("grpc"), start("rollup")]);
  try {
    assertEquals([http.grpcAddress, rollup.grpcAddress], ["", ""], "an address that nobody serves is told");
    await assertServesOperationsOnly(grpc);
    await assertServesOperationsOnly(rollup);
    const live = readSse((await fetch(`${http.httpUrl}/events/stream`)).body!);
    await live.next();
    await publish(grpc, ["a"]);
    const { value, done } = await live.next();
    assert(!done);
    assertEquals([value.event, JSON.parse(value.data).id], ["event", "a"]);
    await until("the event is counted", async () => await counted(http) === 1);

    await using second = await start("rollup");
    await publish(grpc, ["b", "c"]);
    assertEquals((await rollup.kill()).signal, "SIGKILL");
    await publish(grpc, ["d", "e", "a-1"]);
    await until("all are counted", async () => await counted(http) === 6);
    await servers.settled();

    const exit = http.stop();
    const seen: string[] = [];
    for await (const { event, data } of live) seen.push(event === "event" ? JSON.parse(data).id : event);
    assertEquals(seen.filter((one) => one !== "message").toSorted(), ["a-1", "b", "c", "d", "e", "end"]);
    for (const ended of [exit, grpc.stop(), second.stop()]) assertEquals((await ended).code, 0);
  } finally {
    for (const hub of [http, grpc, rollup]) await hub.kill();
  }
});

test("events come in by a Redis Stream; what cannot be taken is a dead letter", async () => {
  await using servers = await openServers();
  await using hub = await startHub({ env: servers.env });
  const { redis } = servers;
  const add = (...fields: string[]) => redis.send("XADD", `${redis.prefix}:in`, "*", ...fields);
  await add("id", "in-1", "user_id", "ann", "event_type", "purchase", "amount", "2.5");
  await add("payload", JSON.stringify({ id: "in-2", user_id: "bob", event_type: "refund", amount: 1 }));
  await add("id", "in-3", "user_id", "ann", "event_type", "purchase", "amount", "much");
  await until("the stream is empty", async () => await redis.send("XLEN", `${redis.prefix}:in`) === 0);
  for (const id of ["in-1", "in-2"]) assertEquals((await (await fetch(`${hub.httpUrl}/events/${id}`)).json()).id, id);
  assertEquals(await servers.count("dead_letters"), 1);
  assertEquals((await hub.stop()).code, 0);
});

test("role rollup tells of its stream in the metrics, of what it lost too, and every other whether Redis is there", async () => {
  await using servers = await openServers();
  const { redis } = servers;
  const [stream, group] = [redis.prefix, "rollup"];
  // The first consumer was given an entry that is gone before it could be acknowledged.
  await redis.send("XGROUP", "CREATE", stream, group, "0", "MKSTREAM");
  const gone = String(await redis.send("XADD", stream, "*", "any", "thing"));
  await redis.send("XREADGROUP", "GROUP", group, "hub-1", "STREAMS", stream, ">");
  await redis.send("XDEL", stream, gone);
  const start = (roles: string) => startHub({ env: { ...servers.env, EVENTHUB_ROLES: roles } });
  await using http = await start("http");
  await using rollup = await start("rollup");
  assertEquals(await post(http, "a"), 200);
  await servers.settled();
  const sampleOf = async ({ httpUrl }: HubProcess, name: string) => {
    const text = await (await fetch(`${httpUrl}/metrics`)).text();
    const found = text.split("\n").find((line) => line.startsWith(`${name} `));
    return found === undefined ? null : Number(found.slice(name.length + 1));
  };
  const isLost = () => sampleOf(rollup, 'eventhub_stream_entries_lost_total{group="rollup",thread="http"}');
  await until("the loss is counted", async () => await isLost() === 1);
  const pending = 'eventhub_stream_group_pending{group="rollup",thread="http"}';
  await until("nothing is pending", async () => await sampleOf(rollup, pending) === 0);
  assertEquals(await sampleOf(rollup, 'eventhub_stream_entries{stream="live",thread="http"}'), 1);
  assertEquals(await sampleOf(rollup, 'eventhub_stream_entries{stream="inbound",thread="http"}'), 0);
  assertEquals(await sampleOf(rollup, 'eventhub_swept_events_total{thread="http"}'), 0);
  assertEquals(await sampleOf(rollup, 'eventhub_uncounted_age_seconds{thread="http"}'), 0);
  for (const hub of [http, rollup]) assertEquals(await sampleOf(hub, 'eventhub_stream_up{thread="http"}'), 1);
  assertEquals(await sampleOf(http, 'eventhub_swept_events_total{thread="http"}'), null);
});

test("a server that is not there is named at the start, and its password is not", async () => {
  await using servers = await openServers();
  const url = "mongodb://user:secret@127.0.0.1:9/hub?serverSelectionTimeoutMS=200";
  const failed = await startHub({ env: { ...servers.env, EVENTHUB_STORE_URL: url } }).catch(String);
  assertMatch(String(failed), /Cannot open mongodb:[^]*EVENTHUB_STORE_URL/);
  assert(!String(failed).includes("secret"));
});

/** A hub whose ways to both servers can be broken. */
async function withProxies(
  run: (hub: HubProcess, ways: { mongo: TcpProxy; redis: TcpProxy }) => Promise<void>,
): Promise<void> {
  await using servers = await openServers();
  const [store, stream] = [servers.env.EVENTHUB_STORE_URL!, servers.env.EVENTHUB_STREAM_URL!].map(proxyBefore);
  await using mongo = store!.proxy;
  await using redis = stream!.proxy;
  const env = { ...servers.env, EVENTHUB_STORE_URL: store!.url, EVENTHUB_STREAM_URL: stream!.url };
  await using hub = await startHub({ env });
  await run(hub, { mongo, redis });
}

async function post({ httpUrl }: HubProcess, id: string): Promise<number> {
  const response = await fetch(`${httpUrl}/events`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id, user_id: "ann", event_type: "purchase", amount: 1 }),
  });
  await response.body?.cancel();
  return response.status;
}

type Checks = Record<string, { ok: boolean; detail: string }>;

async function readiness({ httpUrl }: HubProcess): Promise<{ status: number; checks: Checks }> {
  const response = await fetch(`${httpUrl}/readyz?verbose`);
  const { checks } = await response.json() as { checks: Checks };
  return { status: response.status, checks };
}

async function ready(hub: HubProcess): Promise<{ status: number; stream: boolean }> {
  const { status, checks } = await readiness(hub);
  return { status, stream: checks.stream!.ok };
}

Deno.test({
  name: `app: while Redis refuses, events are stored, and readiness says why${ownMissing && ` (${ownMissing})`}`,
  ignore: ownMissing !== "",
  fn: async () => {
    await using servers = await openServers();
    await using redis = await RedisServer.start();
    await using hub = await startHub({ env: { ...servers.env, EVENTHUB_STREAM_URL: redis.url } });
    assertEquals([await post(hub, "before"), await ready(hub)], [200, { status: 200, stream: true }]);
    await redis.send("DEL", `${servers.redis.prefix}:in`);
    await redis.send("SET", `${servers.redis.prefix}:in`, "text");
    await until("the group says why", async () => {
      const { status, checks } = await readiness(hub);
      return status === 200 && /WRONGTYPE/.test(checks["redis ingest"]!.detail);
    });
    await redis.send("DEL", `${servers.redis.prefix}:in`);
    await until("the group is well", async () => (await readiness(hub)).checks["redis ingest"]!.ok);
    await redis.send("CONFIG", "SET", "maxmemory", 1);
    assertEquals(await post(hub, "after"), 200);
    const { status, checks } = await readiness(hub);
    assertEquals([status, checks.stream!.ok], [200, false]);
    assertMatch(checks.stream!.detail, /OOM command not allowed/);
    await redis.send("CONFIG", "SET", "maxmemory", 0);
    await until("the stream is well", async () => (await ready(hub)).stream);
    await redis.send("CONFIG", "SET", "requirepass", "another");
    await redis.cut();
    await until("the password is told of", async () => /NOAUTH/.test((await readiness(hub)).checks.stream!.detail));
    assertEquals(await post(hub, "later"), 200);
    await redis.send("CONFIG", "SET", "requirepass", "");
    await until("the stream is well again", async () => (await ready(hub)).stream);
    assertEquals((await hub.stop()).code, 0);
  },
});

test("while Redis hangs events are stored, and the end is orderly", () =>
  withProxies(async (hub, { redis }) => {
    assertEquals([await post(hub, "before"), await ready(hub)], [200, { status: 200, stream: true }]);
    redis.freeze();
    assertEquals([await post(hub, "after"), await ready(hub)], [200, { status: 200, stream: false }]);
    assertEquals((await fetch(`${hub.httpUrl}/events/after`).then((response) => response.json())).id, "after");
    assertEquals((await hub.stop()).code, 0);
  }));

test("a MongoDB that hangs is told by /readyz long before a command gives up, however often it is asked", () =>
  withProxies(async (hub, { mongo }) => {
    assertEquals((await readiness(hub)).status, 200);
    mongo.freeze();
    for (const { status, checks } of await Promise.all(Array.from({ length: 50 }, () => readiness(hub)))) {
      assertEquals([status, checks.store!.ok], [503, false]);
      assertMatch(checks.store!.detail, /A sign of life of MongoDB took longer than/);
    }
    mongo.thaw();
    await until("it is ready", async () => (await readiness(hub)).status === 200);
  }));

test("while MongoDB is away nothing is said to be stored, and the process ends in time", () =>
  withProxies(async (hub, { mongo }) => {
    assertEquals(await post(hub, "before"), 200);
    mongo.freeze();
    mongo.cut();
    assertEquals(await post(hub, "after"), 503);
    assertEquals((await ready(hub)).status, 503);
    // What is asked of MongoDB may take longer than an orderly end may: then the code is 1.
    const { signal } = await hub.stop();
    assertEquals(signal, null, "it had to be killed");
  }));
