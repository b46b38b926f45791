/** Malformed messages on WebSockets of GraphQL, and bytes on sockets that are no HTTP. */
import { AssertionError } from "@std/assert";
import { type GraphqlError, refusalOf } from "./clients_graphql.ts";
import { Socket } from "./clients_websocket.ts";
import { Cut, type Malformed, type Target } from "./malformed.ts";

type Expected = Pick<Malformed, "code" | "field" | "fault">;

const INIT = { type: "connection_init" };
const subscribe = (payload: unknown) => ({ type: "subscribe", id: "1", payload });

/** An operation that is refused in its own message; the socket stays. */
function operation(query: string, expected: Expected, variables?: unknown): Malformed {
  const send = async ({ httpUrl }: Target): Promise<never> => {
    await using socket = new Socket(`${httpUrl}/graphql`);
    await socket.send(INIT);
    await socket.receive();
    await socket.send(subscribe({ query, variables }));
    const message = await socket.receive();
    if (message.type === "error") throw refusalOf(message.payload as readonly GraphqlError[]);
    if (message.type === "next" && "errors" in (message.payload as object)) {
      throw refusalOf((message.payload as { errors: readonly GraphqlError[] }).errors);
    }
    throw new Error(`was answered ${JSON.stringify(message)}`);
  };
  return { name: `WebSocket: ${query.slice(0, 100)}`, send, ...expected };
}

/** A breach of the protocol: the socket is closed with a code of PROTOCOL.md, or of RFC 6455. */
function breach(name: string, code: number, messages: readonly unknown[], protocol?: string): Malformed {
  const send = async ({ httpUrl }: Target): Promise<Cut> => {
    await using socket = new Socket(`${httpUrl}/graphql`, protocol);
    for (const message of messages) await socket.send(message);
    for (;;) {
      const message = await socket.receive();
      if (message.type !== "closed") continue;
      if (message.code === code) return new Cut(null);
      throw new AssertionError({ message: `closed with ${message.code} ${message.reason}, wanted ${code}` });
    }
  };
  return { name: `WebSocket: ${name}`, send, code: "cut" };
}

const AFTER = "subscription ($after: String) { eventStream(after: $after) { id } }";
const GOOD = subscribe({ query: "subscription { eventStream { id } }" });

/** WebSockets. */
export const SOCKET_INPUTS: readonly Malformed[] = [
  operation("{", { code: "malformed" }),
  operation("subscription { nothing }", { code: "invalid_argument" }),
  operation("{ lastEvents(limit: -1) { id } }", { code: "invalid_argument", field: "limit", fault: "out_of_range" }),
  operation("mutation { publishEvents(inputs: []) { accepted } }", { code: "method_not_allowed" }),
  operation('mutation { publishEvent(input: {userId: "u", eventType: "t", amount: 1}) { id } }', {
    code: "method_not_allowed",
  }),
  operation(`{ ${"__typename ".repeat(1_001)}}`, { code: "malformed" }),
  operation(AFTER, { code: "invalid_cursor" }, { after: "x" }),
  operation(AFTER, { code: "invalid_argument", field: "after", fault: "too_short" }, { after: "" }),
  operation(AFTER, { code: "invalid_argument", field: "$after", fault: "invalid_type" }, { after: 5 }),
  breach("not JSON", 4400, ["{"]),
  breach("a number", 4400, ["5"]),
  breach("null", 4400, ["null"]),
  breach("a type that nobody has", 4400, [{ type: "start" }]),
  breach("a greeting's answer", 4400, [{ type: "connection_ack" }]),
  breach("a result", 4400, [INIT, { type: "next", id: "1", payload: { data: null } }]),
  breach("an error", 4400, [INIT, GOOD, { type: "error", id: "1", payload: [{ message: "no" }] }]),
  breach("a subscription without a payload", 4400, [INIT, { type: "subscribe", id: "1" }]),
  breach("a query that is a number", 4400, [INIT, subscribe({ query: 5 })]),
  breach("an id that is a number", 4400, [INIT, { ...GOOD, id: 5 }]),
  breach("a subscription before the greeting", 4401, [GOOD]),
  breach("two greetings", 4429, [INIT, INIT]),
  breach("one id twice", 4409, [INIT, GOOD, GOOD]),
  breach("a message of 20 MB", 1009, [INIT, "x".repeat(20_000_000)]),
  breach("the old protocol", 4406, [INIT], "graphql-ws"),
];

/** Bytes of a request, sent as they are; then the sending half is closed. */
function raw(name: string, request: string | Uint8Array): Malformed {
  const send = async ({ httpUrl }: Target): Promise<Cut> => {
    const { hostname, port } = new URL(httpUrl);
    using connection = await Deno.connect({ hostname, port: Number(port) });
    const bytes = typeof request === "string" ? new TextEncoder().encode(request) : request;
    return new Cut(statusOf(await exchange(connection, bytes)));
  };
  return { name: `socket: ${name}`, send, code: "cut" };
}

/** Everything that comes back; a connection that is reset has said all it had to say. */
async function exchange(connection: Deno.TcpConn, bytes: Uint8Array): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  try {
    for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
    await connection.closeWrite();
    const buffer = new Uint8Array(65_536);
    for (let read; (read = await connection.read(buffer)) !== null;) text += decoder.decode(buffer.subarray(0, read));
  } catch (error) {
    const over = [Deno.errors.ConnectionReset, Deno.errors.BrokenPipe, Deno.errors.NotConnected];
    if (!over.some((kind) => error instanceof kind)) throw error;
  }
  return text;
}

function statusOf(answer: string): number | null {
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(answer)?.[1];
  return status === undefined ? null : Number(status);
}

const EVENT = '{"user_id":"u","event_type":"t","amount":1}';
const post = (headers: string, body: string) =>
  `POST /events HTTP/1.1\r\nHost: hub\r\nConnection: close\r\nContent-Type: application/json\r\n${headers}\r\n${body}`;

/** Bytes that are no HTTP, or whose body does not come whole. */
export const RAW_INPUTS: readonly Malformed[] = [
  raw("a body shorter than its length", post("Content-Length: 500\r\n", EVENT)),
  raw("a body longer than its length", post("Content-Length: 10\r\n", EVENT)),
  raw("two lengths", post("Content-Length: 43\r\nContent-Length: 44\r\n", EVENT)),
  raw("a negative length", post("Content-Length: -1\r\n", EVENT)),
  raw("a length that is a word", post("Content-Length: many\r\n", EVENT)),
  raw("a length of 10^30", post(`Content-Length: 1${"0".repeat(30)}\r\n`, EVENT)),
  raw("a chunk that is cut", post("Transfer-Encoding: chunked\r\n", "ff\r\n" + EVENT)),
  raw("a chunk of no size", post("Transfer-Encoding: chunked\r\n", `zz\r\n${EVENT}\r\n0\r\n\r\n`)),
  raw("a chunk of 2^64 bytes", post("Transfer-Encoding: chunked\r\n", `FFFFFFFFFFFFFFFFF\r\n${EVENT}`)),
  raw("no last chunk", post("Transfer-Encoding: chunked\r\n", `2b\r\n${EVENT}\r\n`)),
  raw("an unknown transfer encoding", post("Transfer-Encoding: rot13\r\n", EVENT)),
  raw("a header without a colon", post("Content-Length: 43\r\nNonsense\r\n", EVENT)),
  raw("a NUL in a header", post("Content-Length: 43\r\nX-Request-Id: a\0b\r\n", EVENT)),
  raw("a header of 1 MB", post(`Content-Length: 43\r\nX-Long: ${"x".repeat(1_000_000)}\r\n`, EVENT)),
  raw("10,000 headers", post(`Content-Length: 43\r\n${"X-Many: x\r\n".repeat(10_000)}`, EVENT)),
  raw("headers that are cut", "POST /events HTTP/1.1\r\nHost: hub\r\nContent-"),
  raw("a version nobody has", `POST /events HTTP/9.9\r\nHost: hub\r\nContent-Length: 43\r\n\r\n${EVENT}`),
  raw("no version", `POST /events\r\n\r\n${EVENT}`),
  raw("a method of odd characters", `PO\x01ST /events HTTP/1.1\r\nHost: hub\r\nContent-Length: 43\r\n\r\n${EVENT}`),
  raw("a path of 1 MB", `GET /${"x".repeat(1_000_000)} HTTP/1.1\r\nHost: hub\r\n\r\n`),
  raw("a greeting of TLS", new Uint8Array([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])),
  raw("zeros", new Uint8Array(10_000)),
];
