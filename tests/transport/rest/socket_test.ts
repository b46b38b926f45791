/** Over real sockets: bodies that are cut, late, or not as long as they say; streams whose clients go away. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Config } from "../../../src/config.ts";
import { BATCH_BODY_BYTES_MAX } from "../../../src/limits.ts";
import { EVENT, openRest, type TestRest, withId } from "./rest_harness.ts";

const granted = Deno.permissions.querySync({ name: "net" }).state === "granted";
const BODY = JSON.stringify(EVENT);
const HEAD = "POST /events HTTP/1.1\r\nHost: hub.test\r\nContent-Type: application/json\r\n";
const withLength = (length: number) => `${HEAD}Content-Length: ${length}\r\n\r\n`;
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

interface Server extends AsyncDisposable {
  readonly test: TestRest;
  readonly port: number;
  /** Requests that reached the interface. */
  readonly requests: number;
  connect(): Promise<Client>;
}

/** A raw connection. */
class Client implements Disposable {
  readonly #connection: Deno.TcpConn;
  #received = "";

  constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  async send(text: string): Promise<void> {
    for (let bytes = new TextEncoder().encode(text); bytes.length > 0;) {
      bytes = bytes.subarray(await this.#connection.write(bytes));
    }
  }

  /** Reads on until the pattern is there, or the connection ends; answers everything received. */
  async receive(pattern?: RegExp): Promise<string> {
    const buffer = new Uint8Array(65_536);
    while (pattern === undefined || !pattern.test(this.#received)) {
      const length = await this.#connection.read(buffer);
      if (length === null) break;
      this.#received += new TextDecoder().decode(buffer.subarray(0, length));
    }
    return this.#received;
  }

  closeWrite(): Promise<void> {
    return this.#connection.closeWrite();
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

async function serve(config: Partial<Config> = {}): Promise<Server> {
  const test = openRest({ config });
  let requests = 0;
  const listening = Promise.withResolvers<number>();
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: ({ port }) => listening.resolve(port) },
    (request) => {
      requests += 1;
      return test.rest.fetch(request);
    },
  );
  const port = await listening.promise;
  return {
    test,
    port,
    get requests() {
      return requests;
    },
    connect: async () => new Client(await Deno.connect({ hostname: "127.0.0.1", port })),
    [Symbol.asyncDispose]: async () => {
      await server.shutdown();
      await test[Symbol.asyncDispose]();
    },
  };
}

function overSockets(name: string, config: Partial<Config>, run: (server: Server) => Promise<void>): void {
  Deno.test({
    name: `rest sockets: ${name}${granted ? "" : " (needs --allow-net: deno task test)"}`,
    ignore: !granted,
    fn: async () => {
      await using server = await serve(config);
      await run(server);
    },
  });
}

/** Sends parts of a request and answers everything that comes back. */
async function exchange(server: Server, parts: readonly string[], until?: RegExp): Promise<string> {
  using client = await server.connect();
  for (const part of parts) await client.send(part);
  return await client.receive(until);
}

async function stored(server: Server): Promise<number> {
  return (await server.test.ask("/events")).json.events.length;
}

const ANSWERED = /\r\n\r\n\{.*\}/;

overSockets("bodies of known length and in chunks", {}, async (server) => {
  assertStringIncludes(await exchange(server, [withLength(BODY.length) + BODY], ANSWERED), "HTTP/1.1 200");
  assertStringIncludes(await exchange(server, [withLength(BODY.length), BODY], ANSWERED), "HTTP/1.1 200");
  const chunks = [CHUNKED, chunk(BODY.slice(0, 9)), chunk(BODY.slice(9)) + "0\r\n\r\n"];
  assertStringIncludes(await exchange(server, chunks, ANSWERED), "HTTP/1.1 200");
  assertEquals(await stored(server), 3);
});

overSockets("several requests on one connection", {}, async (server) => {
  using client = await server.connect();
  const one = withLength(BODY.length) + BODY;
  await client.send(one + one + "GET /livez HTTP/1.1\r\nHost: hub.test\r\n\r\n");
  const answers = await client.receive(/"status":"ok"/);
  assertEquals(answers.match(/HTTP\/1\.1 200/g)?.length, 3);
});

overSockets("a body shorter than its length, then the end", {}, async (server) => {
  using client = await server.connect();
  await client.send(withLength(BODY.length + 10) + BODY);
  await client.closeWrite();
  assertMatch(await client.receive(), /^HTTP\/1\.1 400[^]*"code":"malformed"/);
  assertEquals(await stored(server), 0);
});

overSockets("a body longer than its length", {}, async (server) => {
  const answer = await exchange(server, [withLength(BODY.length - 5) + BODY + "\r\n\r\n"]);
  assertMatch(answer, /^HTTP\/1\.1 400[^]*"code":"malformed"/);
  assertEquals(await stored(server), 0);
});

overSockets("a chunk that is cut, then the end", {}, async (server) => {
  using client = await server.connect();
  await client.send(CHUNKED + chunk(BODY).slice(0, 20));
  await client.closeWrite();
  assertMatch(await client.receive(), /^HTTP\/1\.1 400[^]*"code":"malformed"/);
  assertEquals(await stored(server), 0);
});

overSockets("lengths that contradict each other", {}, async (server) => {
  const twice = `${HEAD}Content-Length: ${BODY.length}\r\nContent-Length: 5\r\n\r\n${BODY}`;
  const both = `${HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(BODY)}0\r\n\r\n`;
  const negative = `${HEAD}Content-Length: -1\r\n\r\n${BODY}`;
  for (const request of [twice, both, negative]) assertMatch(await exchange(server, [request]), /^HTTP\/1\.1 400/);
  assertEquals(await stored(server), 0);
});

overSockets("half a body, then nothing: 408", { requestTimeoutMs: 40 }, async (server) => {
  for (const start of [withLength(BODY.length) + BODY.slice(0, 9), CHUNKED + chunk(BODY.slice(0, 9)), CHUNKED]) {
    const answer = await exchange(server, [start], ANSWERED);
    assertMatch(answer, /^HTTP\/1\.1 408[^]*"code":"timeout"/);
    assertMatch(answer, /connection: close/i);
  }
  assertEquals(await stored(server), 0);
});

overSockets("bodies that are coming when the hub closes: 503 at once, to be sent again", {}, async (server) => {
  const starts = [withLength(BODY.length) + BODY.slice(0, 9), CHUNKED + chunk(BODY.slice(0, 9)), CHUNKED];
  const clients = await Promise.all(starts.map(() => server.connect()));
  for (const [index, client] of clients.entries()) await client.send(starts[index]!);
  while (server.requests < starts.length) await new Promise((resolve) => setImmediate(resolve));
  server.test.rest.close();
  for (const client of clients) {
    const answer = await client.receive(ANSWERED);
    assertMatch(answer, /^HTTP\/1\.1 503[^]*"code":"unavailable"/);
    assertMatch(answer, /retry-after: 1/i);
    client[Symbol.dispose]();
  }
  const { events } = await server.test.hub.list({ tenant: "default" }, { limit: 1, order: "desc" });
  assertEquals(events, []);
});

overSockets("a body that is too large is refused before it is read", {}, async (server) => {
  const head = HEAD.replace("/events", "/events/batch");
  const told = await exchange(server, [`${head}Content-Length: ${BATCH_BODY_BYTES_MAX + 1}\r\n\r\n`], ANSWERED);
  assertMatch(told, /^HTTP\/1\.1 413[^]*"code":"payload_too_large"/);
  const response = await fetch(`http://127.0.0.1:${server.port}/events/batch`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "x".repeat(BATCH_BODY_BYTES_MAX + 1),
  });
  assertEquals([response.status, (await response.json()).code], [413, "payload_too_large"]);
});

overSockets("paths that clients would have folded", {}, async (server) => {
  await server.test.ask("/events", { body: withId("..") });
  const ask = (method: string, path: string) =>
    exchange(server, [`${method} ${path} HTTP/1.1\r\nHost: hub.test\r\n\r\n`], ANSWERED);
  const get = (path: string) => ask("GET", path);
  assertMatch(await get("/events/.."), /^HTTP\/1\.1 200[^]*"id":"\.\."/);
  assertMatch(await get("/events/%zz"), /^HTTP\/1\.1 400[^]*"code":"malformed"/);
  assertMatch(await get("/events/../metrics"), /^HTTP\/1\.1 404/);
  for (const dots of ["..", "%2e%2e", ".", "..%2f..%2fevents"]) {
    for (const [method, end] of [["GET", ""], ["DELETE", ""], ["POST", "/redrive"]] as const) {
      assertMatch(await ask(method, `/dead-letters/${dots}${end}`), /^HTTP\/1\.1 404[^]*"code":"not_found"/);
    }
  }
});

overSockets("HEAD has the headers of GET and no body", {}, async (server) => {
  const head = await exchange(server, [
    "HEAD /livez HTTP/1.1\r\nHost: hub.test\r\nConnection: close\r\n\r\n",
  ]);
  assertMatch(head, /^HTTP\/1\.1 200[^]*content-length: 15[^]*\r\n\r\n$/);
});

overSockets("a stream over a socket, released when its client goes away", {}, async (server) => {
  const client = await server.connect();
  await client.send("GET /events/stream HTTP/1.1\r\nHost: hub.test\r\n\r\n");
  assertStringIncludes(await client.receive(/id: \S+\n\n/), "text/event-stream");
  await server.test.ask("/events", { body: withId("a") });
  assertStringIncludes(await client.receive(/"id":"a"/), "event: event");
  assertEquals(server.test.hub.load.subscribers, 1);
  client[Symbol.dispose]();
  // The server notices when it writes, or earlier.
  for (let n = 0; server.test.hub.load.subscribers > 0; n++) {
    await server.test.ask("/events", { body: withId(`b${n}`) });
    await server.test.hub.whenSettled();
    assert(n < 10_000, "the subscription of a client that is gone stays open");
  }
});

overSockets("streams end with the hub, and the server can stop", {}, async (server) => {
  using events = await server.connect();
  using rows = await server.connect();
  await events.send("GET /events/stream HTTP/1.1\r\nHost: hub.test\r\nConnection: close\r\n\r\n");
  await rows.send("GET /aggregates/stream HTTP/1.1\r\nHost: hub.test\r\nConnection: close\r\n\r\n");
  await events.receive(/id: \S+\n\n/);
  await rows.receive(/: open/);
  server.test.hub.endSubscriptions();
  assertMatch(await events.receive(), /event: end\nid: \S+\ndata: \{"reason":"shutdown","cursor":"\S+"\}\n\n/);
  assertMatch(await rows.receive(), /event: end\ndata: \{"reason":"shutdown"\}\n\n/);
});
