/** The real process: how it starts, what it refuses to start with, how it ends. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { startHub } from "./harness.ts";
import { readSse } from "./soak/sse.ts";

const permitted = (["run", "net", "read", "write", "env"] as const)
  .every((name) => Deno.permissions.querySync({ name }).state === "granted");

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `app: ${name}${permitted ? "" : " (needs --allow-all: deno task test)"}`, ignore: !permitted, fn });
}

async function publish(httpUrl: string, id: string): Promise<unknown> {
  const response = await fetch(`${httpUrl}/events`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id, user_id: "u1", event_type: "purchase", amount: 1.5 }),
  });
  return await response.json();
}

async function get(url: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(url);
  return { status: response.status, body: await response.json() };
}

async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "eventhub-app-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

test("starts with least permissions, is ready, and ends with 0 on SIGTERM", async () => {
  await using hub = await startHub();
  assertEquals((await get(`${hub.httpUrl}/livez`)).status, 200);
  const ready = await get(`${hub.httpUrl}/readyz?verbose`);
  assertEquals(ready.status, 200, JSON.stringify(ready.body));
  assertEquals(await publish(hub.httpUrl, "a"), { status: "success", id: "a", duplicate: false });
  // Nothing comes in by a stream here, and the routes are there all the same.
  assertEquals(await get(`${hub.httpUrl}/dead-letters`), {
    status: 200,
    body: { dead_letters: [], next_cursor: null },
  });
  assertEquals((await get(`${hub.httpUrl}/dead-letters/in:m:1-0`)).status, 404);
  assertEquals((await hub.stop()).code, 0);
});

/** The npm packages that a module and everything it imports need, as `deno run` knows them at the start. */
async function packagesOf(entry: string): Promise<string[]> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", entry],
    cwd: new URL("../", import.meta.url),
  });
  const { stdout } = await command.output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: { specifier: string }[] };
  return modules.map(({ specifier }) => specifier).filter((specifier) => specifier.startsWith("npm:"));
}

test("what its threads need is known at the start, so that nothing is downloaded while it serves", async () => {
  const known = await packagesOf("main.ts");
  for (const thread of ["src/app_worker.ts", "src/transport/graphql/graphiql_worker.ts"]) {
    const needed = await packagesOf(thread);
    assert(needed.length > 0, thread);
    assertEquals(needed.filter((each) => !known.includes(each)), [], thread);
  }
});

test("what was acknowledged is there after a restart, and counted once", async () => {
  await using folder = await temporaryFolder();
  {
    await using hub = await startHub({ folder: folder.path });
    await publish(hub.httpUrl, "a");
  }
  await using hub = await startHub({ folder: folder.path });
  assertEquals(await publish(hub.httpUrl, "a"), { status: "success", id: "a", duplicate: true });
  const { body } = await get(`${hub.httpUrl}/aggregates`);
  assertEquals((body.rows as { count: number; total: string }[]).map(({ count, total }) => [count, total]), [[
    1,
    "1.5",
  ]]);
});

test("reports every wrong setting at once and does not start", async () => {
  const error = await assertRejects(() =>
    startHub({
      env: { EVENTHUB_HTTP_PORT: "x", EVENTHUB_AUTH: "keys", EVENTHUB_COLOUR: "red", EVENTHUB_RATE_LIMIT: "5/s" },
    }), Error);
  for (const name of ["EVENTHUB_HTTP_PORT", "EVENTHUB_AUTH", "EVENTHUB_COLOUR", "EVENTHUB_RATE_LIMIT"]) {
    assertStringIncludes(error.message, name);
  }
  assertStringIncludes(error.message, "exit code 1");
});

test("refuses an address beyond loopback unless it is allowed by name", async () => {
  const error = await assertRejects(() => startHub({ env: { EVENTHUB_HOST: "0.0.0.0" } }), Error);
  assertStringIncludes(error.message, "EVENTHUB_ALLOW_PUBLIC");
  await using hub = await startHub({ env: { EVENTHUB_HOST: "0.0.0.0", EVENTHUB_ALLOW_PUBLIC: "true" } });
  assertEquals((await get(`http://127.0.0.1:${new URL(hub.httpUrl).port}/livez`)).status, 200);
});

test("a port that is taken is named", async () => {
  await using hub = await startHub();
  const http = new URL(hub.httpUrl).port;
  const grpc = hub.grpcAddress.split(":").at(-1)!;
  const httpError = await assertRejects(() => startHub({ env: { EVENTHUB_HTTP_PORT: http } }), Error);
  assertStringIncludes(httpError.message, "EVENTHUB_HTTP_PORT");
  const grpcError = await assertRejects(() => startHub({ env: { EVENTHUB_GRPC_PORT: grpc } }), Error);
  assertStringIncludes(grpcError.message, "EVENTHUB_GRPC_PORT");
});

test("a second hub on the same file exits and names the first", async () => {
  await using folder = await temporaryFolder();
  await using hub = await startHub({ folder: folder.path });
  const error = await assertRejects(() => startHub({ folder: folder.path }), Error);
  assertStringIncludes(error.message, String(hub.pid));
});

test("a stream that is open at SIGTERM ends with its cursor, and the next process goes on from it", async () => {
  await using folder = await temporaryFolder();
  let cursor: string;
  {
    await using hub = await startHub({ folder: folder.path });
    const response = await fetch(`${hub.httpUrl}/events/stream`);
    const messages = readSse(response.body!);
    await messages.next();
    await publish(hub.httpUrl, "a");
    const event = await messages.next();
    assert(!event.done);
    const exit = hub.stop();
    const last = await messages.next();
    assert(!last.done);
    assertEquals(last.value.event, "end");
    const data = JSON.parse(last.value.data);
    assertEquals(data.reason, "shutdown");
    cursor = data.cursor;
    assertEquals((await exit).code, 0);
    assertEquals((await messages.next()).done, true);
  }
  await using hub = await startHub({ folder: folder.path });
  await publish(hub.httpUrl, "b");
  const response = await fetch(`${hub.httpUrl}/events/stream`, { headers: { "last-event-id": cursor } });
  const messages = readSse(response.body!);
  await messages.next();
  const next = await messages.next();
  assert(!next.done);
  assertEquals(JSON.parse(next.value.data).id, "b");
  await messages.return(undefined);
});

test("an upload that SIGTERM finds under way is answered 503 with Retry-After, over REST and GraphQL", async () => {
  await using hub = await startHub();
  const { hostname, port } = new URL(hub.httpUrl);
  const uploads = await Promise.all(["/events", "/events/batch", "/graphql"].map(async (path) => {
    const connection = await Deno.connect({ hostname, port: Number(port) });
    const head = `POST ${path} HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n`;
    // The answer to the first says that the hub is reading what is written behind it.
    const first = `${head}Content-Length: 1\r\n\r\n{`;
    await connection.write(new TextEncoder().encode(`${first}${head}Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n`));
    const buffer = new Uint8Array(65_536);
    const answered = new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
    assertStringIncludes(answered, "HTTP/1.1 400", path);
    return { path, connection, buffer };
  }));
  await get(`${hub.httpUrl}/livez`);
  const exit = hub.stop();
  for (const { path, connection, buffer } of uploads) {
    const answer = new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
    assertStringIncludes(answer, "HTTP/1.1 503", path);
    assertStringIncludes(answer.toLowerCase(), "retry-after: 1", path);
    connection.close();
  }
  assertEquals((await exit).code, 0);
});

test("runs in memory too, with every protocol on one thread", async () => {
  await using hub = await startHub({ env: { EVENTHUB_STORE_URL: "memory:" } });
  assertEquals(await publish(hub.httpUrl, "a"), { status: "success", id: "a", duplicate: false });
  assertEquals((await get(`${hub.httpUrl}/events/a`)).body.id, "a");
});
