/** Lines of standard input, handed out in groups, with memory bounded whatever comes in. */
import { NDJSON_LINE_BYTES_MAX } from "../limits.ts";
import { wait } from "../worker.ts";

/** One line that is not blank, or why it cannot be read. Numbers count from 1, blank lines included. */
export type InputLine =
  | { readonly number: number; readonly text: string }
  | { readonly number: number; readonly fault: string };

/** How much a group may hold. */
export interface GroupLimits {
  readonly lines: number;
  readonly bytes: number;
}

/** How long a group that is not full waits for more before it goes: a fast source fills it, a slow one is not held up. */
const LINGER_MS = 2;
const LINE_FEED = 10;

/** Groups of lines from a stream of bytes. */
export class LineReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  readonly #signal: AbortSignal;
  #chunk: Promise<IteratorResult<Uint8Array>> | null = null;
  #ready: { line: InputLine; bytes: number }[] = [];
  #partial: Uint8Array[] = [];
  #partialBytes = 0;
  #number = 0;
  #ended = false;

  /** Reads a stream to its end, or until the signal is aborted. */
  constructor(source: AsyncIterable<Uint8Array>, signal: AbortSignal) {
    this.#chunks = source[Symbol.asyncIterator]();
    this.#signal = signal;
  }

  /** The next group: waits for one line, then takes what comes at once. Empty at the end, or when interrupted. */
  async take(limits: GroupLimits): Promise<InputLine[]> {
    while (!this.#ended && this.#ready.length < limits.lines) {
      this.#chunk ??= this.#chunks.next();
      const read = await (this.#ready.length > 0 ? this.#linger(this.#chunk) : this.#unlessInterrupted(this.#chunk));
      if (this.#signal.aborted) return [];
      if (read === undefined) break;
      this.#chunk = null;
      if (read.done) this.#finish();
      else this.#split(read.value);
    }
    return this.#group(limits);
  }

  /** Not `Promise.race` with one promise of the interruption: that would hold everything that was ever read. */
  #unlessInterrupted<T>(chunk: Promise<T>): Promise<T | void> {
    if (this.#signal.aborted) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<T | void>();
    const interrupted = () => resolve();
    this.#signal.addEventListener("abort", interrupted, { once: true });
    chunk.then(resolve, reject).finally(() => this.#signal.removeEventListener("abort", interrupted));
    return promise;
  }

  async #linger<T>(chunk: Promise<T>): Promise<T | void> {
    const arrived = new AbortController();
    try {
      return await Promise.race([chunk, wait(LINGER_MS, arrived.signal)]);
    } finally {
      arrived.abort();
    }
  }

  #group(limits: GroupLimits): InputLine[] {
    let bytes = 0;
    let count = 0;
    for (const each of this.#ready) {
      bytes += each.bytes;
      if (count === limits.lines || (count > 0 && bytes > limits.bytes)) break;
      count++;
    }
    return this.#ready.splice(0, count).map((each) => each.line);
  }

  #split(chunk: Uint8Array): void {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      this.#append(chunk.subarray(start, end));
      this.#close();
      start = end + 1;
    }
    this.#append(chunk.subarray(start));
  }

  #append(bytes: Uint8Array): void {
    // Of a line that is too long only its length is kept.
    if (this.#partialBytes <= NDJSON_LINE_BYTES_MAX) this.#partial.push(bytes);
    else this.#partial = [];
    this.#partialBytes += bytes.length;
  }

  #close(): void {
    const number = ++this.#number;
    const bytes = this.#partialBytes;
    const parts = this.#partial;
    this.#partial = [];
    this.#partialBytes = 0;
    if (bytes === 0) return;
    if (bytes > NDJSON_LINE_BYTES_MAX) {
      const fault = `The line has more than ${NDJSON_LINE_BYTES_MAX.toLocaleString("en")} bytes`;
      this.#ready.push({ line: { number, fault }, bytes: 0 });
      return;
    }
    const text = this.#decode(parts, bytes);
    if (text === null) this.#ready.push({ line: { number, fault: "The line is not UTF-8" }, bytes: 0 });
    else if (text.trim() !== "") this.#ready.push({ line: { number, text: text.trim() }, bytes });
  }

  #decode(parts: readonly Uint8Array[], length: number): string | null {
    const whole = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    try {
      return this.#decoder.decode(whole);
    } catch (error) {
      if (error instanceof TypeError) return null;
      throw error;
    }
  }

  #finish(): void {
    this.#ended = true;
    if (this.#partialBytes > 0) this.#close();
  }
}
