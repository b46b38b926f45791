/**
 * A process full of subscribers that send their request and then read nothing, so that their memory is not the hub's and
 * not the run's. Its one argument is a {@link StalledOrder} in JSON. It writes a line when all are connected; at a line on
 * standard input it reads what is left in each socket and writes a {@link StalledResult} in one line.
 */
import { FOLLOW_PROTOCOLS, type FollowProtocol } from "./follow.ts";
import { ANSWERS, opening } from "./stalled_wire.ts";

/** Whom to be. */
export interface StalledOrder {
  readonly httpAddress: string;
  readonly grpcAddress: string;
  /** The cursor all start behind. */
  readonly after: string;
  /** Subscribers of each protocol. */
  readonly each: number;
}

/** What one stalled subscriber found in its socket in the end. */
export interface StalledSubscriber {
  readonly protocol: FollowProtocol;
  readonly events: number;
  /** {@link digestOf} the ids in the order they came. */
  readonly digest: string;
  readonly lastCursor: string;
  readonly bytes: number;
  /** Whether the hub had closed the connection. */
  readonly closed: boolean;
}

/** The answer to the wish to read. */
export interface StalledResult {
  readonly subscribers: readonly StalledSubscriber[];
}

/** A short text that is equal for equal sequences of ids. */
export async function digestOf(ids: readonly string[]): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(ids.join("\n")));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Nothing more comes when a socket stays silent for so long. */
const SILENCE_MS = 2_000;
const READ_BYTES = 1 << 16;

class StalledConnection {
  readonly #protocol: FollowProtocol;
  readonly #order: StalledOrder;
  readonly #socket: Deno.TcpConn;
  readonly #parts: Uint8Array[] = [];

  private constructor(protocol: FollowProtocol, order: StalledOrder, socket: Deno.TcpConn) {
    this.#protocol = protocol;
    this.#order = order;
    this.#socket = socket;
  }

  static async open(protocol: FollowProtocol, order: StalledOrder): Promise<StalledConnection> {
    const address = protocol === "grpc" ? order.grpcAddress : order.httpAddress;
    const [hostname, port] = address.split(":");
    const socket = await Deno.connect({ hostname, port: Number(port) });
    const connection = new StalledConnection(protocol, order, socket);
    for (const piece of opening(protocol, { host: address, after: order.after })) {
      await connection.#write(piece.bytes);
      if (piece.await !== undefined) await connection.#readUntil(piece.await);
    }
    return connection;
  }

  /** Reads until the end or a silence, and says what there was. */
  async drain(): Promise<StalledSubscriber> {
    const closed = await this.#readRest();
    const bytes = this.#bytes();
    const received = ANSWERS[this.#protocol](bytes);
    return {
      protocol: this.#protocol,
      events: received.length,
      digest: await digestOf(received.map(({ id }) => id)),
      lastCursor: received.at(-1)?.cursor ?? this.#order.after,
      bytes: bytes.length,
      closed,
    };
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.length;) offset += await this.#socket.write(bytes.subarray(offset));
  }

  async #readUntil(text: string): Promise<void> {
    const decoder = new TextDecoder();
    while (!decoder.decode(this.#bytes()).includes(text)) {
      if (await this.#read() === null) throw new Error(`The hub closed before it sent ${JSON.stringify(text)}`);
    }
  }

  async #read(): Promise<number | null> {
    const buffer = new Uint8Array(READ_BYTES);
    const count = await this.#socket.read(buffer);
    if (count !== null) this.#parts.push(buffer.slice(0, count));
    return count;
  }

  async #readRest(): Promise<boolean> {
    while (true) {
      const timer = setTimeout(() => this.#socket.close(), SILENCE_MS);
      try {
        if (await this.#read() === null) return true;
      } catch (error) {
        // A reset is the hub's; a bad resource is the close above.
        return !(error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted);
      } finally {
        clearTimeout(timer);
      }
    }
  }

  #bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#parts.reduce((sum, part) => sum + part.length, 0));
    let offset = 0;
    for (const part of this.#parts) {
      bytes.set(part, offset);
      offset += part.length;
    }
    return bytes;
  }
}

if (import.meta.main) {
  const order: StalledOrder = JSON.parse(Deno.args[0]!);
  const connections: StalledConnection[] = [];
  for (let number = 0; number < order.each; number++) {
    for (const protocol of FOLLOW_PROTOCOLS) connections.push(await StalledConnection.open(protocol, order));
  }
  console.log(JSON.stringify({ connected: connections.length }));
  await Deno.stdin.read(new Uint8Array(1));
  const subscribers: StalledSubscriber[] = [];
  for (const group of Array.from({ length: Math.ceil(connections.length / 50) }, (_, index) => index * 50)) {
    subscribers.push(...await Promise.all(connections.slice(group, group + 50).map((one) => one.drain())));
  }
  console.log(JSON.stringify({ subscribers } satisfies StalledResult));
  Deno.exit(0);
}
