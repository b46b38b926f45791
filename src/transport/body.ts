/** Request bodies: bounded in size, before and after inflation, and in time. */
import { gunzipSync } from "node:zlib";
import { HubError } from "../errors.ts";
import { BODIES_IN_FLIGHT_BYTES_MAX, EVENT_BODY_BYTES_MAX } from "../limits.ts";
import { Deadlines } from "./deadlines.ts";

/** Reads bodies of requests; one for all routes, so that what is read at once stays bounded. */
export class BodyReader {
  readonly #deadlines: Deadlines;
  readonly #timeoutMs: number;
  #bytesInFlight = 0;
  #closed = false;

  /** `timeoutMs` is how long a client may take to send a whole body. */
  constructor(options: { timeoutMs: number }) {
    this.#timeoutMs = options.timeoutMs;
    this.#deadlines = new Deadlines(options.timeoutMs);
  }

  /**
   * The whole body, inflated when it came as gzip. Rejects with `payload_too_large`, `unsupported_media_type` (another
   * encoding), `timeout`, `overloaded` (too much is being read), `unavailable` (the hub is shutting down), or `malformed`
   * (cut, or not what it says it is).
   */
  async read(request: Request, bytesMax: number): Promise<Uint8Array> {
    const encoding = request.headers.get("content-encoding");
    const gzip = encoding !== null && isGzip(encoding);
    const length = request.headers.get("content-length");
    // A small body of known length is read in one call; one that says nothing, or much, chunk by chunk.
    const known = length === null ? Infinity : Number(length);
    if (known > bytesMax && known !== Infinity) throw tooLarge(bytesMax);
    const bytes = known >= 0 && known <= EVENT_BODY_BYTES_MAX
      ? await this.#readAtOnce(request, known)
      : await this.#readChunks(request, bytesMax);
    if (bytes.length > bytesMax) throw tooLarge(bytesMax);
    return gzip ? inflate(bytes, bytesMax) : bytes;
  }

  /** Gives up all bodies that are still coming; call it before the server cuts them. Harmless twice. */
  close(): void {
    this.#closed = true;
    this.#deadlines.expireAll();
  }

  async #readAtOnce(request: Request, length: number): Promise<Uint8Array> {
    this.#hold(length);
    try {
      const reading = request.bytes();
      return await readyNow(reading) ?? await this.#deadlines.guard(reading, () => this.#late());
    } catch (error) {
      throw cut(error);
    } finally {
      this.#bytesInFlight -= length;
    }
  }

  async #readChunks(request: Request, bytesMax: number): Promise<Uint8Array> {
    if (request.body === null) return new Uint8Array();
    const reader = request.body.getReader();
    let held = 0;
    const collect = async () => {
      // One growing buffer: in a list, a chunk of one byte would cost a hundred.
      let buffer = new Uint8Array();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return buffer.subarray(0, held);
        const before = held;
        this.#hold(value.length);
        held += value.length;
        if (held > bytesMax) throw tooLarge(bytesMax);
        if (held > buffer.length) buffer = enlarge(buffer.subarray(0, before), held, bytesMax);
        buffer.set(value, before);
      }
    };
    try {
      return await this.#deadlines.guard(collect(), () => this.#late());
    } catch (error) {
      // The rest is not wanted; that it cannot be refused properly does not matter any more.
      reader.cancel(error).catch(() => undefined);
      throw cut(error);
    } finally {
      this.#bytesInFlight -= held;
    }
  }

  #hold(bytes: number): void {
    if (this.#closed) throw shuttingDown();
    this.#bytesInFlight += bytes;
    if (this.#bytesInFlight <= BODIES_IN_FLIGHT_BYTES_MAX) return;
    this.#bytesInFlight -= bytes;
    throw new HubError("overloaded", "Too many large bodies are being read at once; try again");
  }

  #late(): HubError {
    if (this.#closed) return shuttingDown();
    return new HubError("timeout", `The body did not arrive within ${this.#timeoutMs / 1000} s`);
  }
}

/** Decoding is three times as fast when it need not be strict; a replacement character in the result is looked into. */
const lenient = new TextDecoder();
const strict = new TextDecoder("utf-8", { fatal: true });

/** Text of UTF-8 bytes without a byte order mark (RFC 8259, section 8.1, allows to ignore it), or `malformed`. */
export function decodeUtf8(bytes: Uint8Array): string {
  const text = lenient.decode(bytes);
  if (!text.includes("\ufffd")) return text;
  try {
    return strict.decode(bytes);
  } catch (cause) {
    throw new HubError("malformed", "The body is not UTF-8", { cause });
  }
}

/** The value of JSON bytes, or `malformed`. */
export function parseJson(bytes: Uint8Array): unknown {
  const text = decodeUtf8(bytes);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HubError("malformed", `The body is not JSON: ${jsonFault(error)}`, { cause: error });
  }
}

/** What `JSON.parse` found wrong, fit to be shown: it quotes the input. */
export function jsonFault(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).toWellFormed();
}

/** Microtasks after which a body that had arrived with its headers has been read. */
const READY_TURNS = 6;

/** What a promise resolves to if it does without waiting for anything outside; most bodies need no deadline so. */
async function readyNow<T>(promise: Promise<T>): Promise<T | undefined> {
  let value: T | undefined;
  let settled = false;
  promise.then((result) => {
    value = result;
    settled = true;
  }, () => settled = true);
  for (let turn = 0; turn < READY_TURNS && !settled; turn++) await undefined;
  return value;
}

function isGzip(encoding: string): boolean {
  switch (encoding.trim().toLowerCase()) {
    case "gzip":
    case "x-gzip":
      return true;
    case "identity":
    case "":
      return false;
  }
  throw new HubError("unsupported_media_type", "Content-Encoding must be gzip, or be left out");
}

/** `gunzipSync` stops as soon as its output passes the limit, so a bomb costs no more than an honest body. */
function inflate(bytes: Uint8Array, bytesMax: number): Uint8Array {
  try {
    return gunzipSync(bytes, { maxOutputLength: bytesMax });
  } catch (cause) {
    if (cause instanceof RangeError) throw tooLarge(bytesMax);
    throw new HubError("malformed", "The body says it is gzip, but cannot be inflated to its end", { cause });
  }
}

function shuttingDown(): HubError {
  return new HubError("unavailable", "The hub is shutting down; nothing of the body was taken");
}

function tooLarge(bytesMax: number): HubError {
  return new HubError("payload_too_large", `The body may have at most ${bytesMax} bytes, also after inflation`);
}

/** A body that could not be read to its end: the connection broke, or its framing is wrong. */
function cut(error: unknown): HubError {
  if (error instanceof HubError) return error;
  return new HubError("malformed", "The body ended before it was complete", { cause: error });
}

/** A copy with room for `needed` bytes, and for as much again if that is allowed. */
function enlarge(bytes: Uint8Array, needed: number, bytesMax: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.min(bytesMax, 2 * needed));
  larger.set(bytes);
  return larger;
}
