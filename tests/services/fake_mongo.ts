/**
 * A server that speaks just enough of MongoDB's protocol (OP_MSG, and OP_QUERY for the greeting) to give the answers
 * that a sound server gives too rarely for a test.
 */
import { BSON } from "mongodb";

const HEADER_BYTES = 16;
const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;

/** A command with its documents, for example `{ insert: "events", documents: […] }`. */
export type Command = Record<string, unknown>;

/** Answers a command; `null` = the connection breaks without an answer. Missing members of `ok` are added. */
export type Answer = (command: Command) => Command | null | Promise<Command | null>;

/** A running fake. */
export interface FakeMongo extends AsyncDisposable {
  readonly url: string;
  /** Every command that came, but for greetings. */
  readonly commands: readonly Command[];
}

/** What a server says of itself. */
export const GREETING: Command = {
  ismaster: true,
  isWritablePrimary: true,
  maxBsonObjectSize: 16_777_216,
  maxMessageSizeBytes: 48_000_000,
  maxWriteBatchSize: 100_000,
  minWireVersion: 0,
  maxWireVersion: 9,
  readOnly: false,
};

/** What an empty database answers. */
export function answerAsEmpty(command: Command): Command {
  if ("buildInfo" in command) return { version: "4.4.0", versionArray: [4, 4, 0, 0] };
  if ("find" in command || "aggregate" in command || "listIndexes" in command) {
    return { cursor: { id: BSON.Long.ZERO, ns: "event_hub.events", firstBatch: [] } };
  }
  if ("insert" in command) return { n: (command.documents as unknown[]).length };
  return { n: 0, nModified: 0 };
}

/** Starts a fake. `greet` answers greetings. */
export function startFakeMongo(answer: Answer, greet: Answer = () => GREETING): FakeMongo {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const commands: Command[] = [];
  const connections = new Set<Deno.TcpConn>();
  const serve = async (connection: Deno.TcpConn) => {
    connections.add(connection);
    try {
      for await (const message of messages(connection)) {
        const { opCode, requestId, command } = parse(message);
        const isGreeting = "ismaster" in command || "isMaster" in command || "hello" in command;
        if (!isGreeting) commands.push(command);
        const reply = await (isGreeting ? greet(command) : answer(command));
        if (reply === null) break;
        await writeAll(connection, encode({ ok: 1, ...reply }, opCode, requestId));
      }
    } catch {
      // The client broke the connection off.
    }
    connections.delete(connection);
    close(connection);
  };
  const serving = (async () => {
    const served: Promise<void>[] = [];
    for await (const connection of listener) served.push(serve(connection));
    await Promise.all(served);
  })();
  return {
    url: `mongodb://127.0.0.1:${listener.addr.port}`,
    commands,
    [Symbol.asyncDispose]: async () => {
      listener.close();
      for (const connection of connections) close(connection);
      await serving;
    },
  };
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch {
    // It is closed already.
  }
}

async function* messages(connection: Deno.TcpConn): AsyncGenerator<Uint8Array> {
  let held = new Uint8Array(0);
  for await (const piece of connection.readable) {
    held = new Uint8Array([...held, ...piece]);
    while (held.length >= 4) {
      const length = new DataView(held.buffer, held.byteOffset).getInt32(0, true);
      if (held.length < length) break;
      yield held.slice(0, length);
      held = held.slice(length);
    }
  }
}

function parse(message: Uint8Array): { opCode: number; requestId: number; command: Command } {
  const view = new DataView(message.buffer);
  const [requestId, opCode] = [view.getInt32(4, true), view.getInt32(12, true)];
  if (opCode === OP_QUERY) {
    const name = message.indexOf(0, HEADER_BYTES + 4);
    return { opCode, requestId, command: BSON.deserialize(message.subarray(name + 9)) };
  }
  const command: Command = {};
  for (let at = HEADER_BYTES + 4; at < message.length;) {
    const kind = message[at];
    at += 1;
    const length = view.getInt32(at, true);
    if (kind === 0) Object.assign(command, BSON.deserialize(message.subarray(at, at + length)));
    else Object.assign(command, sequence(message.subarray(at + 4, at + length)));
    at += length;
  }
  return { opCode, requestId, command };
}

/** Documents that are sent beside the command: their name, then one after the other. */
function sequence(bytes: Uint8Array): Command {
  const end = bytes.indexOf(0);
  const documents: unknown[] = [];
  for (let at = end + 1; at < bytes.length;) {
    const length = new DataView(bytes.buffer, bytes.byteOffset + at).getInt32(0, true);
    documents.push(BSON.deserialize(bytes.subarray(at, at + length)));
    at += length;
  }
  return { [new TextDecoder().decode(bytes.subarray(0, end))]: documents };
}

function encode(reply: Command, opCode: number, responseTo: number): Uint8Array {
  const body = BSON.serialize(reply);
  const before = opCode === OP_QUERY ? 20 : 5;
  const bytes = new Uint8Array(HEADER_BYTES + before + body.length);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, bytes.length, true);
  view.setInt32(8, responseTo, true);
  view.setInt32(12, opCode === OP_QUERY ? OP_REPLY : OP_MSG, true);
  // Of OP_REPLY: flags, cursor, first document, number of documents.
  if (opCode === OP_QUERY) view.setInt32(HEADER_BYTES + 16, 1, true);
  bytes.set(body, HEADER_BYTES + before);
  return bytes;
}

async function writeAll(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}
