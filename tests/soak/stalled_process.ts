/** Starts `stalled_client.ts` as a process of its own and speaks with it. */
import type { StalledOrder, StalledResult } from "./stalled_client.ts";
import { TextLineStream } from "./text_lines.ts";

/** Subscribers that do not read. Disposing ends their process. */
export class StalledProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#lines = child.stdout.pipeThrough(new TextLineStream()).getReader();
    this.#stdin = child.stdin.getWriter();
  }

  /** Resolves when every subscriber is connected. */
  static async start(order: StalledOrder): Promise<StalledProcess> {
    const client = new URL("./stalled_client.ts", import.meta.url).pathname;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--allow-net", client, JSON.stringify(order)],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const process = new StalledProcess(child);
    await process.#line();
    return process;
  }

  /** Lets every subscriber read what is in its socket, and says what that was. */
  async drain(): Promise<StalledResult> {
    await this.#stdin.write(new Uint8Array([10]));
    return JSON.parse(await this.#line());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    await this.#child.status;
    await this.#lines.cancel();
    await this.#stdin.abort().catch((error) => error instanceof Deno.errors.BrokenPipe || Promise.reject(error));
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.read();
    if (done) throw new Error("The process of stalled subscribers ended before it answered");
    return value;
  }
}
