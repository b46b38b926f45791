/** Lines of a stream of bytes. */

/** Splits UTF-8 bytes into lines without their ends (`\n` or `\r\n`); a last line without an end counts too. */
export class TextLineStream implements TransformStream<Uint8Array, string> {
  readonly readable: ReadableStream<string>;
  readonly writable: WritableStream<Uint8Array>;

  constructor() {
    const decoder = new TextDecoder();
    let rest = "";
    const lines = new TransformStream<Uint8Array, string>({
      transform(bytes, controller) {
        const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n");
        rest = parts.pop()!;
        for (const line of parts) controller.enqueue(line.endsWith("\r") ? line.slice(0, -1) : line);
      },
      flush(controller) {
        if (rest !== "") controller.enqueue(rest);
      },
    });
    this.readable = lines.readable;
    this.writable = lines.writable;
  }
}
