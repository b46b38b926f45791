/**
 * The sending half of a streaming call, with flow control.
 *
 * grpc-js writes one message at a time and waits for each, which costs 30 µs a message. What many subscribers get is
 * made once and the same for all, so it is written here as ready frames to the HTTP/2 stream below the call: about ten
 * times as many messages a second. The call itself still sends headers, status and trailers.
 */
import { Metadata } from "@grpc/grpc-js";
import type { ServerDuplexStream, ServerWritableStream } from "@grpc/grpc-js";
import { getLogger } from "@logtape/logtape";
import { Buffer } from "node:buffer";
import http2 from "node:http2";
import { GRPC_WRITE_BYTES } from "../../limits.ts";
import type { Timing } from "./calls.ts";
import { statusOf } from "./errors.ts";

const log = getLogger(["eventhub", "grpc"]);

/** A call whose answers are a stream. */
export type StreamingCall = ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>;

/** Why a write came back: more may be written; `interrupt` was aborted first; or the call is over. */
export type Written = "ready" | "interrupted" | "closed";

const FRAME_HEAD_BYTES = 5;

/** Messages as gRPC frames, uncompressed: a zero, the length in four bytes, the bytes. */
export function frames(messages: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const message of messages) length += FRAME_HEAD_BYTES + message.length;
  const framed = Buffer.allocUnsafe(length);
  let at = 0;
  for (const message of messages) {
    framed[at] = 0;
    framed.writeUInt32BE(message.length, at + 1);
    framed.set(message, at + FRAME_HEAD_BYTES);
    at += FRAME_HEAD_BYTES + message.length;
  }
  return framed;
}

/** Frames that are written at once, and the cursor behind their last message. */
export interface Chunk {
  readonly bytes: Buffer;
  readonly cursor: string;
}

/** Gathers messages into chunks of about `GRPC_WRITE_BYTES`. A message is never cut: a status may follow any chunk. */
export function chunks(messages: readonly { bytes: Uint8Array; cursor: string }[]): Chunk[] {
  const gathered: Chunk[] = [];
  let group: Uint8Array[] = [];
  let length = 0;
  messages.forEach(({ bytes, cursor }, index) => {
    group.push(bytes);
    length += bytes.length;
    if (length < GRPC_WRITE_BYTES && index < messages.length - 1) return;
    gathered.push({ bytes: frames(group), cursor });
    group = [];
    length = 0;
  });
  return gathered;
}

/** See the top of the file. Make one per call, synchronously in its handler. */
export class Outlet {
  readonly #call: StreamingCall;
  readonly #timing: Pick<Timing, "stallMs" | "endGraceMs">;
  readonly #stream: http2.ServerHttp2Stream;
  readonly #over = new AbortController();
  #ended = false;
  /** Wakes a write that waits. */
  #wake: ((written: Written) => void) | null = null;

  constructor(call: StreamingCall, timing: Pick<Timing, "stallMs" | "endGraceMs">) {
    this.#call = call;
    this.#timing = timing;
    this.#stream = streamBelow(call);
    call.on("cancelled", () => this.#close());
    this.#stream.on("close", () => this.#close());
    this.#stream.on("drain", () => this.#wake?.("ready"));
    // Errors end in `close`; without a listener they would end the process.
    this.#stream.on("error", (error) => log.debug("A stream failed", { error }));
  }

  /** Aborted when the call is over for whatever reason, at once. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Sends the headers, so that the client knows that its call was taken. */
  open(): void {
    this.#call.sendMetadata(new Metadata());
  }

  /**
   * Writes frames, after {@link open} and one call at a time; resolves when more may be written. A write that must wait
   * is given up when `interrupt` is aborted, or without one after the time of a stall; what it wrote is still sent.
   */
  async write(bytes: Buffer, interrupt?: AbortSignal): Promise<Written> {
    if (this.#over.signal.aborted || this.#ended || this.#stream.destroyed || this.#stream.closed) return "closed";
    if (interrupt?.aborted) return "interrupted";
    if (this.#stream.write(bytes)) return "ready";
    const { promise, resolve } = Promise.withResolvers<Written>();
    const giveUp = () => resolve("interrupted");
    interrupt?.addEventListener("abort", giveUp);
    const timer = interrupt === undefined ? setTimeout(giveUp, this.#timing.stallMs) : undefined;
    this.#wake = resolve;
    try {
      return await promise;
    } finally {
      this.#wake = null;
      clearTimeout(timer);
      interrupt?.removeEventListener("abort", giveUp);
    }
  }

  /** Ends the call with OK, behind everything written, which the client has the time of a stall to read. */
  end(): void {
    if (this.#ended || this.#over.signal.aborted) return;
    this.#ended = true;
    this.#call.end();
    this.#cutAfter(this.#timing.stallMs);
  }

  /**
   * Ends the call with an error, behind everything written; a client that does not read that much within
   * the grace is {@link cut}.
   */
  fail(error: unknown): void {
    if (this.#ended || this.#over.signal.aborted) return;
    this.#ended = true;
    this.#call.emit("error", statusOf(error, { metadata: this.#call.metadata }));
    this.#cutAfter(this.#timing.endGraceMs);
  }

  /** Resets the stream: nothing of it is kept or sent any more. Clients see RESOURCE_EXHAUSTED. */
  cut(): void {
    this.#ended = true;
    this.#stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    this.#close();
  }

  #cutAfter(milliseconds: number): void {
    if (this.#stream.closed || this.#stream.destroyed) return;
    const timer = setTimeout(() => this.cut(), milliseconds);
    this.#stream.once("close", () => clearTimeout(timer));
  }

  #close(): void {
    this.#over.abort();
    this.#wake?.("closed");
  }
}

/** The HTTP/2 stream of a call, which grpc-js keeps to itself; the version is pinned, and a test looks at it. */
function streamBelow(call: StreamingCall): http2.ServerHttp2Stream {
  const { stream } = (call as unknown as { call: { stream?: http2.ServerHttp2Stream } }).call;
  if (typeof stream?.respond !== "function") {
    throw new Error("Cannot find the stream of a call: is grpc-js another version?");
  }
  return stream;
}
