/** Reading `text/event-stream` (WHATWG HTML, section 9.2). */

/** One block of the stream; blocks without data are given too, because an `id:` alone moves the cursor. */
export interface SseMessage {
  /** `message` when the block names no event. */
  readonly event: string;
  /** The id of this block, `null` when it has none. */
  readonly id: string | null;
  readonly data: string;
}

/** Splits a text stream into messages. Comments are skipped; line ends are `\n` or `\r\n`. */
export class SseParser {
  #rest = "";

  /** The messages that are complete with this piece of text. */
  push(text: string): SseMessage[] {
    const blocks = (this.#rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.#rest = blocks.pop()!;
    return blocks.map(parseBlock).filter((message) => message !== null);
  }
}

function parseBlock(block: string): SseMessage | null {
  let event = "message";
  let id: string | null = null;
  const data: string[] = [];
  let fields = 0;
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon === 0 || line === "") continue;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    fields += 1;
    if (name === "event") event = value;
    if (name === "id") id = value;
    if (name === "data") data.push(value);
  }
  return fields === 0 ? null : { event, id, data: data.join("\n") };
}

/** Reads the messages of a response until it ends. Throws what the body throws. */
export async function* readSse(body: ReadableStream<Uint8Array>): AsyncGenerator<SseMessage> {
  const parser = new SseParser();
  const decoder = new TextDecoder();
  for await (const bytes of body) {
    yield* parser.push(decoder.decode(bytes, { stream: true }));
  }
}
