/** Subscriptions over WebSocket: the prototype's way, its limits, and its end. */
import { assert, assertEquals } from "@std/assert";
import type { Client } from "graphql-ws";
import { GRAPHQL_SOCKET_MESSAGE_CHARACTERS_MAX, GRAPHQL_SOCKET_OPERATIONS_MAX } from "../../../src/limits.ts";
import { eventOf, graphqlTest, open, serve, type Served, stall, until } from "./harness.ts";

const SENDER = { tenant: "default", source: "rest" } as const;
const PROTOCOL = "graphql-transport-ws";

/** A client as browsers have it. */
async function connect(hub: Served): Promise<Client> {
  const { createClient } = await import("graphql-ws");
  return createClient({ url: `ws://127.0.0.1:${hub.port}/graphql`, retryAttempts: 0 });
}

/** Deno's constructor, which the types of workers hide. */
const WebSocketWithHeaders = WebSocket as unknown as new (
  url: string,
  options: { protocols: string[]; headers: Record<string, string> },
) => WebSocket;

/** A WebSocket without a client around it. */
class RawSocket {
  readonly socket: WebSocket;
  readonly closed: Promise<CloseEvent>;
  readonly #messages: Record<string, unknown>[] = [];
  #arrived: (() => void) | null = null;

  constructor(hub: Served, options?: { protocol?: string; headers?: Record<string, string> }) {
    const { protocol = PROTOCOL, headers = {} } = options ?? {};
    const protocols = protocol === "" ? [] : [protocol];
    this.socket = new WebSocketWithHeaders(`ws://127.0.0.1:${hub.port}/graphql`, { protocols, headers });
    this.socket.onmessage = ({ data }) => {
      this.#messages.push(JSON.parse(data));
      this.#arrived?.();
    };
    this.socket.onerror = (event) => event.preventDefault();
    this.closed = new Promise((resolve) => this.socket.onclose = resolve);
  }

  send(message: Record<string, unknown> | string): void {
    this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  async next(): Promise<Record<string, unknown>> {
    while (this.#messages.length === 0) await new Promise<void>((resolve) => this.#arrived = resolve);
    return this.#messages.shift()!;
  }

  /** Opens it and says hello. */
  async hello(): Promise<this> {
    await new Promise((resolve) => this.socket.onopen = resolve);
    this.send({ type: "connection_init" });
    assertEquals(await this.next(), { type: "connection_ack" });
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.close();
    await this.closed;
  }
}

function subscribe(id: string, query: string, variables?: Record<string, unknown>): Record<string, unknown> {
  return { id, type: "subscribe", payload: { query, variables } };
}

graphqlTest("the prototype's subscription works over WebSocket with its client", async () => {
  await using hub = await serve();
  const client = await connect(hub);
  const events = client.iterate({ query: "subscription { eventStream { id userId eventType amount timestamp } }" });
  const first = events.next();
  await until(() => hub.hub.load.subscribers === 1);
  await hub.publish("a");
  assertEquals((await first).value?.data, {
    eventStream: { id: "a", userId: "ann", eventType: "purchase", amount: 12.5, timestamp: "2025-07-15T12:34:56.789Z" },
  });
  await hub.publish("b");
  assertEquals((await events.next()).value?.data?.eventStream, {
    id: "b",
    userId: "ann",
    eventType: "purchase",
    amount: 12.5,
    timestamp: "2025-07-15T12:34:56.789Z",
  });
  await events.return?.();
  await until(() => hub.hub.load.subscribers === 0);
  await client.dispose();
}, { net: true });

graphqlTest("a subscription cut over and over goes on behind its cursor, each event once and in order", async () => {
  await using hub = await serve();
  const ids = Array.from({ length: 50 }, (_, i) => `e${i}`);
  const publishing = (async () => {
    for (const id of ids) await hub.publish(id);
  })();
  const seen: string[] = [];
  let after = "earliest";
  while (seen.length < ids.length) {
    await using socket = await new RawSocket(hub).hello();
    socket.send(
      subscribe("1", "subscription ($after: String) { eventStream(after: $after) { id cursor } }", { after }),
    );
    for (let i = 0; i < 7 && seen.length < ids.length; i++) {
      const { payload } = await socket.next() as { payload: { data: { eventStream: { id: string; cursor: string } } } };
      seen.push(payload.data.eventStream.id);
      after = payload.data.eventStream.cursor;
    }
  }
  await publishing;
  assertEquals(seen, ids);
  await until(() => hub.hub.load.subscribers === 0);
}, { net: true });

graphqlTest("queries are answered on a socket, mutations are not, and faults are typed", async () => {
  await using hub = await serve();
  await hub.publish("a");
  await using socket = await new RawSocket(hub).hello();
  socket.send(subscribe("q", "{ lastEvents { id } }"));
  assertEquals(await socket.next(), { id: "q", type: "next", payload: { data: { lastEvents: [{ id: "a" }] } } });
  assertEquals(await socket.next(), { id: "q", type: "complete" });
  const bad: [string, string][] = [
    ["mutation { publishEvent(input: {}) { id } }", "METHOD_NOT_ALLOWED"],
    ["{", "BAD_REQUEST"],
    ["{ nope }", "BAD_USER_INPUT"],
    ["subscription ($n: Int!) { eventStream { id } }", "BAD_USER_INPUT"],
    [`{ ${Array.from({ length: 16 }, (_, i) => `a${i}: __typename`).join(" ")} }`, "BAD_USER_INPUT"],
  ];
  for (const [query, code] of bad) {
    socket.send(subscribe("x", query));
    const { type, payload } = await socket.next() as { type: string; payload: { extensions: { code: string } }[] };
    assertEquals([type, payload[0]?.extensions.code], ["error", code], query);
  }
  // What only shows when it is executed comes as a result, as the protocol has it.
  const late: [string, Record<string, unknown>][] = [
    ["query ($n: Int!) { lastEvents(limit: $n) { id } }", { n: "x" }],
    ["subscription ($after: String) { eventStream(after: $after) { id } }", { after: "nonsense" }],
  ];
  for (const [query, variables] of late) {
    socket.send(subscribe("v", query, variables));
    const { payload } = await socket.next() as { payload: { errors: { extensions: Record<string, unknown> }[] } };
    assertEquals(payload.errors[0]?.extensions.code, "BAD_USER_INPUT");
    assertEquals("http" in payload.errors[0]!.extensions, false);
    assertEquals(await socket.next(), { id: "v", type: "complete" });
  }
  assertEquals((await hub.hub.list({ tenant: "default" }, { limit: 10, order: "desc" })).events.length, 1);
}, { net: true });

graphqlTest("several subscriptions share a socket, and each ends by itself", async () => {
  await using hub = await serve();
  await using socket = await new RawSocket(hub).hello();
  for (const userId of ["ann", "bob"]) {
    socket.send(subscribe(userId, `subscription { eventStream(filter: { userId: "${userId}" }) { id } }`));
  }
  await until(() => hub.hub.load.subscribers === 2);
  await hub.hub.publish(eventOf("a"), SENDER);
  assertEquals(await socket.next(), { id: "ann", type: "next", payload: { data: { eventStream: { id: "a" } } } });
  socket.send({ id: "ann", type: "complete" });
  await until(() => hub.hub.load.subscribers === 1);
  await hub.hub.publish(eventOf("b", { user_id: "bob" }), SENDER);
  assertEquals(await socket.next(), { id: "bob", type: "next", payload: { data: { eventStream: { id: "b" } } } });
  socket.send({ type: "ping" });
  assertEquals(await socket.next(), { type: "pong" });
}, { net: true });

graphqlTest("a lost position ends the subscription on its socket with CURSOR_RESET", async () => {
  await using other = await open();
  const after = (await other.ask("{ streamHead }")).data.streamHead;
  await using hub = await serve();
  await using socket = await new RawSocket(hub).hello();
  socket.send(subscribe("1", "subscription ($after: String) { eventStream(after: $after) { id } }", { after }));
  const { payload } = await socket.next() as { payload: { errors: { extensions: Record<string, unknown> }[] } };
  assertEquals([payload.errors[0]?.extensions.code, payload.errors[0]?.extensions.reason], ["CURSOR_RESET", "epoch"]);
  assertEquals(await socket.next(), { id: "1", type: "complete" });
  assertEquals(hub.hub.load.subscribers, 0);
}, { net: true });

graphqlTest("who breaks the protocol is closed with its code", async () => {
  await using hub = await serve();
  assertEquals((await new RawSocket(hub, { protocol: "" }).closed).code, 4406);
  const breaches: [(socket: RawSocket) => void, number][] = [
    [(socket) => socket.send("nonsense"), 4400],
    [(socket) => socket.send({ type: "connection_init" }), 4429],
    [(socket) => socket.send("x".repeat(GRAPHQL_SOCKET_MESSAGE_CHARACTERS_MAX + 1)), 1009],
    [(socket) => socket.socket.send(new Uint8Array([1, 2, 3])), 1003],
  ];
  for (const [breach, code] of breaches) {
    const socket = await new RawSocket(hub).hello();
    breach(socket);
    assertEquals((await socket.closed).code, code);
  }
  const early = new RawSocket(hub);
  await new Promise((resolve) => early.socket.onopen = resolve);
  early.send(subscribe("1", "{ __typename }"));
  assertEquals((await early.closed).code, 4401);
}, { net: true });

graphqlTest("a socket that does not say hello is closed", async () => {
  await using hub = await serve();
  assertEquals((await new RawSocket(hub).closed).code, 4408);
}, { net: true });

graphqlTest("a message of just the largest length is taken", async () => {
  await using hub = await serve();
  await using socket = await new RawSocket(hub).hello();
  const message = JSON.stringify(subscribe("1", "{ __typename }"));
  socket.send(message.padEnd(GRAPHQL_SOCKET_MESSAGE_CHARACTERS_MAX));
  assertEquals(await socket.next(), { id: "1", type: "next", payload: { data: { __typename: "Query" } } });
}, { net: true });

graphqlTest("only so many operations run on a socket", async () => {
  await using hub = await serve();
  await using socket = await new RawSocket(hub).hello();
  for (let i = 0; i < GRAPHQL_SOCKET_OPERATIONS_MAX; i++) {
    socket.send(subscribe(`${i}`, "subscription { eventStream { id } }"));
  }
  await until(() => hub.hub.load.subscribers === GRAPHQL_SOCKET_OPERATIONS_MAX);
  socket.send(subscribe("more", "subscription { eventStream { id } }"));
  const { id, type, payload } = await socket.next() as {
    id: string;
    type: string;
    payload: { extensions: { code: string } }[];
  };
  assertEquals([id, type, payload[0]?.extensions.code], ["more", "error", "UNAVAILABLE"]);
  socket.send({ id: "0", type: "complete" });
  await until(() => hub.hub.load.subscribers === GRAPHQL_SOCKET_OPERATIONS_MAX - 1);
  socket.send(subscribe("again", "subscription { eventStream { id } }"));
  await until(() => hub.hub.load.subscribers === GRAPHQL_SOCKET_OPERATIONS_MAX);
}, { net: true });

graphqlTest("a page of another origin gets no socket unless its origin is known", async () => {
  await using hub = await serve({ config: { corsOrigins: ["https://known.test"] } });
  const handshake = async (origin: string): Promise<number> => {
    const response = await hub.graphql.fetch(
      new Request("http://hub.test/graphql", { headers: { upgrade: "websocket", origin, host: "hub.test" } }),
    );
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await handshake("https://other.test"), 403);
  await using socket = await new RawSocket(hub, { headers: { origin: "https://known.test" } }).hello();
  await using own = await new RawSocket(hub, { headers: { origin: `http://127.0.0.1:${hub.port}` } }).hello();
  assert(socket.socket.readyState === WebSocket.OPEN && own.socket.readyState === WebSocket.OPEN);
}, { net: true });

graphqlTest("at the end each socket gets its cursors and is closed with 1001", async () => {
  await using hub = await serve();
  const sockets = [
    await new RawSocket(hub).hello(),
    await new RawSocket(hub).hello(),
    await new RawSocket(hub).hello(),
  ];
  for (const socket of sockets.slice(1)) socket.send(subscribe("1", "subscription { eventStream { id cursor } }"));
  await until(() => hub.hub.load.subscribers === 2);
  await hub.publish("a");
  const cursors = [];
  for (const socket of sockets.slice(1)) {
    const { payload } = await socket.next() as { payload: { data: { eventStream: { cursor: string } } } };
    cursors.push(payload.data.eventStream.cursor);
  }
  await hub.graphql[Symbol.asyncDispose]();
  for (const [i, socket] of sockets.slice(1).entries()) {
    const { payload } = await socket.next() as { payload: { errors: { extensions: Record<string, unknown> }[] } };
    const { code, cursor } = payload.errors[0]!.extensions;
    assertEquals([code, cursor], ["UNAVAILABLE", cursors[i]]);
    assertEquals(await socket.next(), { id: "1", type: "complete" });
  }
  for (const socket of sockets) assertEquals((await socket.closed).code, 1001);
  const late = await hub.graphql.fetch(new Request("http://hub.test/graphql", { headers: { upgrade: "websocket" } }));
  assertEquals(late.status, 503);
  await late.body?.cancel();
}, { net: true });

graphqlTest("a socket that is not read is asked for no more, released, and never written to again", async () => {
  await using hub = await serve();
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: hub.port });
  const writer = new FrameWriter(connection);
  await writer.handshake(`127.0.0.1:${hub.port}`);
  await writer.send({ type: "connection_init" });
  await writer.send(subscribe("1", "subscription { eventStream { id properties } }"));
  await until(() => hub.hub.load.subscribers === 1);
  // The close frame stands behind what was sent before: 1013, "try again".
  const last = "\x03\xf5The socket was not read; subscribe again behind the last event";
  const read = await stall(hub, connection, (text) => text.endsWith(last));
  assert(read.endsWith(last) && read.includes('"e0"') && !read.includes('"e1999"') && !read.includes('"late"'));
}, { net: true });

graphqlTest("a socket that is not read does not hold up the end", async () => {
  await using hub = await serve();
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: hub.port });
  const writer = new FrameWriter(connection);
  await writer.handshake(`127.0.0.1:${hub.port}`);
  await writer.send({ type: "connection_init" });
  await writer.send(subscribe("1", "subscription { eventStream { properties } }"));
  await until(() => hub.hub.load.subscribers === 1);
  const properties = { text: "x".repeat(15_000) };
  for (let sent = 0; sent < 1_500; sent += 50) {
    const inputs = Array.from({ length: 50 }, (_, i) => eventOf(`e${sent + i}`, { properties }));
    await hub.hub.publishBatch(inputs, SENDER);
    await hub.hub.whenSettled();
  }
  await hub.graphql[Symbol.asyncDispose]();
  assertEquals(hub.hub.load.subscribers, 0);
  connection.close();
}, { net: true });

/** Speaks WebSocket on a connection without ever reading behind the handshake. */
class FrameWriter {
  readonly #connection: Deno.Conn;

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  async handshake(host: string): Promise<void> {
    const lines = [
      "GET /graphql HTTP/1.1",
      `Host: ${host}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
      `Sec-WebSocket-Protocol: ${PROTOCOL}`,
    ];
    await this.#connection.write(new TextEncoder().encode(lines.join("\r\n") + "\r\n\r\n"));
    await this.#connection.read(new Uint8Array(1_024));
  }

  /** A text frame of a client: masked, here with zeros. */
  async send(message: Record<string, unknown>): Promise<void> {
    const text = new TextEncoder().encode(JSON.stringify(message));
    const head = text.length < 126 ? [text.length | 0x80] : [126 | 0x80, text.length >> 8, text.length & 0xff];
    await this.#connection.write(new Uint8Array([0x81, ...head, 0, 0, 0, 0, ...text]));
  }
}
