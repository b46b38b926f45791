/** A child process that is spoken with in lines. */
import { TextLineStream } from "./text_lines.ts";

/** A running program: it writes lines, and waits for one now and then. Disposing ends it. */
export class Conversation implements AsyncDisposable {
  readonly #program: string;
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;

  constructor(program: string, args: readonly string[]) {
    this.#program = program;
    const pipes = { stdin: "piped", stdout: "piped", stderr: "inherit" } as const;
    this.#child = new Deno.Command(program, { args: [...args], ...pipes }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextLineStream()).getReader();
    this.#stdin = this.#child.stdin.getWriter();
  }

  /** The next line it writes; rejects when it ends before. */
  async hear(): Promise<string> {
    const { value, done } = await this.#lines.read();
    if (done) throw new Error(`${this.#program} ended before it answered`);
    return value;
  }

  /** Writes an empty line, which is the sign to go on. */
  async say(): Promise<void> {
    await this.#stdin.write(new Uint8Array([10]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It has ended by itself.
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
    await this.#child.status;
    await this.#lines.cancel();
    await this.#stdin.abort();
  }
}
