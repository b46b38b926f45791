/** Dead letters through real processes: what `events:in` brings in one of them is seen and taken by the others. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { runCli } from "./cli/process.ts";
import { startHub } from "./harness.ts";
import { distributedLacking, openServers, type TestServers } from "./services/distributed.ts";
import { TcpProxy } from "./services/proxy.ts";
import type { HubProcess } from "./soak/process.ts";
import { until } from "./stream/redis_hub.ts";
import { lacking, PROCESS_NEEDS } from "./transport/served.ts";

const missing = lacking(PROCESS_NEEDS) ?? distributedLacking();

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `dead letters: ${name}${missing && ` (${missing})`}`, ignore: missing !== "", fn });
}

interface Letter {
  readonly id: string;
  readonly code: string;
  readonly errors: readonly { pointer: string; code: string }[];
  readonly payload: Record<string, unknown>;
}

const EVENT = { user_id: "ann", event_type: "purchase", amount: "2.5" };

/** Adds an entry to `events:in`; gives its id. */
async function add({ redis }: TestServers, members: Record<string, string>): Promise<string> {
  return String(await redis.send("XADD", `${redis.prefix}:in`, "*", ...Object.entries(members).flat()));
}

async function whenTaken({ redis }: TestServers): Promise<void> {
  await until("the stream is empty", async () => await redis.send("XLEN", `${redis.prefix}:in`) === 0);
}

async function letters({ httpUrl }: HubProcess): Promise<Letter[]> {
  const response = await fetch(`${httpUrl}/dead-letters`);
  assertEquals(response.status, 200);
  return (await response.json()).dead_letters;
}

// deno-lint-ignore no-explicit-any -- the test looks into answers freely
async function redrive({ httpUrl }: HubProcess, id: string, event?: unknown): Promise<[number, any]> {
  const response = await fetch(`${httpUrl}/dead-letters/${encodeURIComponent(id)}/redrive`, {
    method: "POST",
    ...(event !== undefined && { body: JSON.stringify(event), headers: { "content-type": "application/json" } }),
  });
  return [response.status, await response.json()];
}

test("what role rollup puts aside, role http lists, takes with a correction, and deletes", async () => {
  await using servers = await openServers();
  const start = (roles: string) => startHub({ env: { ...servers.env, EVENTHUB_ROLES: roles } });
  const [http, other, rollup] = await Promise.all([start("http"), start("http"), start("rollup")]);
  try {
    const first = await add(servers, { ...EVENT, amount: "much" });
    await add(servers, { ...EVENT, id: "order-2", colour: "red" });
    await add(servers, { payload: "{broken" });
    await whenTaken(servers);
    // Those of one pass are in no certain order.
    const listed = (await letters(http)).toSorted((a, b) => a.id < b.id ? -1 : 1);
    assertEquals(listed.map(({ code }) => code), ["invalid_argument", "invalid_argument", "malformed"]);
    const [anonymous, second, broken] = listed;
    assertEquals([second?.payload.id, broken?.payload], ["order-2", "{broken" as never]);
    assertEquals(anonymous?.errors.map(({ pointer }) => pointer), ["/amount"]);
    const name = anonymous!.id;
    assertMatch(name, new RegExp(`^in:[^:]+:${first}$`));
    const metrics = await (await fetch(`${rollup.httpUrl}/metrics`)).text();
    assertMatch(metrics, /^eventhub_dead_letters_total\{code="invalid_argument",thread="http"\} 2$/m);
    assertMatch(metrics, /^eventhub_dead_letters_dropped_total\{thread="http"\} 0$/m);

    // Both processes at once, and each once more: one event.
    const answers = await Promise.all([http, other].map((hub) => redrive(hub, name, EVENT)));
    assert(answers.every(([status]) => status === 200 || status === 404), JSON.stringify(answers));
    assertEquals(answers.filter(([, { duplicate }]) => duplicate === false).map(([, { id }]) => id), [name]);
    for (const hub of [http, other]) assertEquals((await redrive(hub, name, EVENT))[0], 404);
    const stored = await (await fetch(`${other.httpUrl}/events/${encodeURIComponent(name)}`)).json();
    assertEquals([stored.id, stored.amount], [name, 2.5]);
    assertEquals(await servers.count("events", { source: "redis" }), 1);

    const [status, problem] = await redrive(http, second!.id);
    assertEquals([status, problem.errors.map(({ code }: { code: string }) => code)], [422, ["unknown_field"]]);
    const taken = await redrive(http, second!.id, EVENT);
    assertEquals(taken, [200, { status: "success", id: "order-2", duplicate: false }]);
    const url = `${http.httpUrl}/dead-letters/${encodeURIComponent(broken!.id)}`;
    for (const status of [200, 404]) {
      const response = await fetch(url, { method: "DELETE" });
      assertEquals(response.status, status, await response.text());
    }
    assertEquals([await letters(other), await servers.count("dead_letters")], [[], 0]);
    assertEquals(await servers.count("events"), 2);
    for (const ended of [http.stop(), other.stop(), rollup.stop()]) assertEquals((await ended).code, 0);
  } finally {
    for (const hub of [http, other, rollup]) await hub.kill();
  }
});

test("an entry that comes again after its event was redriven is stored once", async () => {
  await using servers = await openServers();
  await using hub = await startHub({ env: servers.env });
  await add(servers, { ...EVENT, id: "order-1", amount: "much" });
  await whenTaken(servers);
  assertEquals((await runCli(["dead-letters", "redrive", "--all", "--url", hub.httpUrl])).code, 1);
  const [letter] = await letters(hub);
  assertEquals((await redrive(hub, letter!.id, EVENT))[1].duplicate, false);
  // The producer corrects and repeats it too.
  await add(servers, { ...EVENT, id: "order-1" });
  await whenTaken(servers);
  assertEquals([await letters(hub), await servers.count("events")], [[], 1]);
  const listed = await runCli(["dead-letters", "--url", hub.httpUrl]);
  assertEquals(listed, { code: 0, stdout: "FAILED AT  CODE  ID  REASON\n", stderr: "" });
  assertEquals((await hub.stop()).code, 0);
});

test("while MongoDB is away a dead letter is neither taken nor lost", async () => {
  await using servers = await openServers();
  const store = new URL(servers.env.EVENTHUB_STORE_URL!);
  await using mongo = TcpProxy.to(Number(store.port || 27017));
  store.host = `127.0.0.1:${mongo.port}`;
  const env = { ...servers.env, EVENTHUB_STORE_URL: store.href, EVENTHUB_REQUEST_TIMEOUT: "2s" };
  await using http = await startHub({ env: { ...env, EVENTHUB_ROLES: "http" } });
  await using rollup = await startHub({ env: { ...servers.env, EVENTHUB_ROLES: "rollup" } });
  await add(servers, { ...EVENT, amount: "much" });
  await whenTaken(servers);
  const [letter] = await letters(http);
  mongo.freeze();
  mongo.cut();
  const [status, problem] = await redrive(http, letter!.id, EVENT);
  assert(status === 503 || status === 504, `${status}`);
  assertStringIncludes("unavailable deadline_exceeded", problem.code);
  const listed = await fetch(`${http.httpUrl}/dead-letters`);
  assert(listed.status === 503 || listed.status === 504, `${listed.status}`);
  await listed.body?.cancel();
  mongo.thaw();
  await until("MongoDB is back", async () => {
    const response = await fetch(`${http.httpUrl}/dead-letters`);
    await response.body?.cancel();
    return response.status === 200;
  });
  // What was given up may have gone on: then the event is stored, and once all the same.
  const [again] = await redrive(http, letter!.id, EVENT);
  assert(again === 200 || again === 404, `${again}`);
  await until("the letter is gone", async () => (await letters(http)).length === 0);
  assertEquals(await servers.count("events", { _id: `default:${letter!.id}` }), 1);
  assertEquals(await servers.count("events"), 1);
  assertEquals((await rollup.stop()).code, 0);
});
