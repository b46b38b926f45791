/** Server-sent events as the WHATWG HTML standard, section 9.2.6, has them read. */
import { SSE_BLOCK_CHARACTERS_MAX } from "../limits.ts";

/** One block of the stream. A block of an `id:` alone is given too: it moves the cursor. */
export interface SseBlock {
  /** Value of `event:`; empty when the block had none. */
  readonly event: string;
  /** The `data:` lines joined by line feeds; empty when the block had none. */
  readonly data: string;
  /** The last id seen so far, in this block or before it; `null` before the first. */
  readonly id: string | null;
}

/**
 * Reads blocks from a body of `text/event-stream`; comments and unknown fields are skipped. Throws the reason of the
 * signal when it is aborted. It cancels the body itself, because on Deno 2.9 a signal given to `fetch` does not always
 * reach a body that is being read.
 */
export async function* readSse(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  signal?: AbortSignal,
): AsyncGenerator<SseBlock> {
  const reader = body.getReader();
  // Where cancelling fails, reading has thrown the same error.
  const cancel = () => Promise.allSettled([reader.cancel()]);
  const onAbort = () => void cancel();
  signal?.addEventListener("abort", onAbort);
  const decoder = new TextDecoder();
  const parser = new SseParser();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      signal?.throwIfAborted();
      if (done) return;
      for (const block of parser.push(decoder.decode(value, { stream: true }))) yield block;
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
    await cancel();
  }
}

/** The parser behind {@link readSse}: text in, finished blocks out. */
export class SseParser {
  #rest = "";
  #event = "";
  #data: string[] = [];
  #size = 0;
  #id: string | null = null;
  #idSeen = false;

  /** Takes the next piece of the stream, cut anywhere. Throws when a block is too large. */
  push(text: string): SseBlock[] {
    const blocks: SseBlock[] = [];
    const buffer = this.#rest + text;
    let start = 0;
    for (;;) {
      const end = lineEnd(buffer, start);
      if (end === null) break;
      this.#line(buffer.slice(start, end.at), blocks);
      start = end.next;
    }
    this.#rest = buffer.slice(start);
    if (this.#size + this.#rest.length > SSE_BLOCK_CHARACTERS_MAX) {
      throw new Error("The stream holds a block of more than 1 MiB; that is no Event Hub");
    }
    return blocks;
  }

  #line(line: string, blocks: SseBlock[]): void {
    if (line === "") return this.#dispatch(blocks);
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    this.#size += line.length;
    if (field === "event") this.#event = value;
    if (field === "data") this.#data.push(value);
    if (field === "id" && !value.includes("\0")) {
      this.#id = value;
      this.#idSeen = true;
    }
  }

  #dispatch(blocks: SseBlock[]): void {
    if (this.#data.length > 0 || this.#event !== "" || this.#idSeen) {
      blocks.push({ event: this.#event, data: this.#data.join("\n"), id: this.#id });
    }
    this.#event = "";
    this.#data = [];
    this.#size = 0;
    this.#idSeen = false;
  }
}

/** Where the line that begins at `start` ends (LF, CR or CRLF); `null` while its end has not arrived. */
function lineEnd(text: string, start: number): { at: number; next: number } | null {
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 10) return { at, next: at + 1 };
    if (code !== 13) continue;
    // A CR that ends the piece may be the first half of a CRLF: wait for what follows.
    if (at + 1 === text.length) return null;
    return { at, next: text.charCodeAt(at + 1) === 10 ? at + 2 : at + 1 };
  }
  return null;
}
