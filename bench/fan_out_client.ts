/**
 * Many live subscribers on raw sockets, counting bytes, so that the reading costs little. Runs as a process of its own;
 * its one argument is a {@link FanOutOrder} in JSON. It writes a line when all are connected; at a line on standard
 * input it writes a {@link FanOutResult} and ends.
 */
import { percentile } from "../tests/soak/options.ts";

/** Whom to be: SSE subscribers of the hub, or subscribers of a Redis channel. */
export interface FanOutOrder {
  readonly hostname: string;
  readonly port: number;
  readonly kind: "sse" | "redis";
  readonly subscribers: number;
}

/** What came. */
export interface FanOutResult {
  readonly deliveries: number;
  /** From the event's own timestamp to the reading of the last event of a piece, milliseconds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Events that the slowest subscriber got. */
  readonly fewest: number;
}

/** Begins every event of either kind once. */
const MARK = '"timestamp":"';
const READ_BYTES = 1 << 16;
/** Latency is looked at in one of so many pieces. */
const SAMPLE_EVERY = 8;

class Audience {
  readonly #latencies: number[] = [];
  readonly #bytes: number[] = [];
  #firstEvents = 0;

  /** Resolves when the socket is subscribed; reads on in the background. */
  async join(order: FanOutOrder): Promise<void> {
    const request = order.kind === "sse"
      ? `GET /events/stream HTTP/1.1\r\nHost: ${order.hostname}\r\n\r\n`
      : "SUBSCRIBE events\r\n";
    const socket = await Deno.connect(order);
    await socket.write(new TextEncoder().encode(request));
    // The head of the answer, or the word that it is subscribed, is not counted.
    await socket.read(new Uint8Array(READ_BYTES));
    void this.#read(socket, this.#bytes.push(0) - 1);
  }

  result(): FanOutResult {
    const bytesPerEvent = this.#bytes[0]! / this.#firstEvents;
    const events = this.#bytes.map((count) => Math.round(count / bytesPerEvent));
    return {
      deliveries: events.reduce((sum, count) => sum + count, 0),
      p50Ms: percentile(this.#latencies, 0.5),
      p99Ms: percentile(this.#latencies, 0.99),
      fewest: Math.min(...events),
    };
  }

  /** Counts bytes; of the first subscriber the events too, so that bytes can be turned into events. */
  async #read(socket: Deno.TcpConn, number: number): Promise<void> {
    const decoder = new TextDecoder("latin1");
    const buffer = new Uint8Array(READ_BYTES);
    for (let piece = number;; piece++) {
      const count = await socket.read(buffer);
      if (count === null) throw new Error("A subscriber was cut");
      const now = Date.now();
      this.#bytes[number]! += count;
      if (number === 0) this.#firstEvents += decoder.decode(buffer.subarray(0, count)).split(MARK).length - 1;
      if (piece % SAMPLE_EVERY !== 0) continue;
      const tail = decoder.decode(buffer.subarray(Math.max(0, count - 600), count));
      const at = tail.lastIndexOf(MARK);
      const timestamp = Date.parse(tail.slice(at + MARK.length, at + MARK.length + 24));
      if (at >= 0 && !Number.isNaN(timestamp)) this.#latencies.push(now - timestamp);
    }
  }
}

if (import.meta.main) {
  const order: FanOutOrder = JSON.parse(Deno.args[0]!);
  const audience = new Audience();
  for (let number = 0; number < order.subscribers; number++) await audience.join(order);
  console.log(JSON.stringify({ connected: order.subscribers }));
  await Deno.stdin.read(new Uint8Array(1));
  console.log(JSON.stringify(audience.result()));
  Deno.exit(0);
}
