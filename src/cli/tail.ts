/** `tail`: follows the live stream, and goes on by itself where it stopped. */
import { Command } from "commander";
import { STREAM_KEEP_ALIVE_MS } from "../limits.ts";
import { wait } from "../worker.ts";
import { Client, HubUnreachable } from "./client.ts";
import type { EventAnswer } from "./contract.ts";
import { retryable } from "./delivery.ts";
import { Incomplete } from "./failure.ts";
import { outputOption, repeated, urlOption, whole } from "./options.ts";
import { nextDelayMs } from "./retry.ts";
import { readSse, type SseBlock } from "./sse.ts";
import { note, onInterrupt, print, shown } from "./terminal.ts";

interface TailOptions {
  readonly url: string;
  readonly output: "table" | "json";
  readonly user?: string;
  readonly type?: readonly string[];
  readonly after: string;
  readonly max?: number;
}

/** A stream that is silent for three keep-alives is dead, whatever the socket says. */
const SILENCE_MS = 3 * STREAM_KEEP_ALIVE_MS;

const EXAMPLES = `
When the connection breaks, tail connects again and goes on behind the last event it showed. At its end it says, on a
terminal, with which --after to go on. JSON output is one event a line.

Examples:
  deno task cli tail
  deno task cli tail --type purchase --type refund --user alice
  deno task cli tail --after earliest -o json | head -n 100
  deno task cli tail --after 2026-07-15T12:00:00Z`;

/** The command. */
export function tailCommand(): Command {
  return new Command("tail")
    .description("show events live; goes on by itself after a lost connection")
    .option("--user <id>", "only events of this user")
    .option("--type <type>", "only events of this type, repeatable", repeated)
    .option("--after <place>", "latest, earliest, a cursor, or a time of receipt (RFC 3339)", "latest")
    .option("--max <events>", "stop after so many", whole(1, Number.MAX_SAFE_INTEGER))
    .addOption(outputOption("table", "json"))
    .addOption(urlOption())
    .addHelpText("after", EXAMPLES)
    .action((options: TailOptions) => new Tail(options).run());
}

/** One run of the command, over as many connections as it takes. */
class Tail {
  readonly #options: TailOptions;
  readonly #client: Client;
  #cursor: string | null = null;
  #seen = 0;
  /** Failed attempts since the stream last said anything. */
  #failed = 0;

  constructor(options: TailOptions) {
    this.#options = options;
    this.#client = new Client(options.url);
  }

  async run(): Promise<void> {
    using interrupted = onInterrupt();
    while (!interrupted.aborted) {
      try {
        if (await this.#follow(interrupted)) break;
      } catch (error) {
        if (interrupted.aborted) break;
        await this.#recover(error, interrupted);
      }
    }
    if (this.#cursor !== null && Deno.stderr.isTerminal()) note(`Go on with: --after ${this.#cursor}`);
  }

  /** Follows one connection to its end; answers whether the work is done. */
  async #follow(interrupted: AbortSignal): Promise<boolean> {
    const connection = new AbortController();
    const onInterrupted = () => connection.abort(interrupted.reason);
    const onSilence = () => connection.abort(new HubUnreachable(this.#client.url, new Error("nothing came for 45 s")));
    interrupted.addEventListener("abort", onInterrupted);
    let timer = setTimeout(onSilence, SILENCE_MS);
    try {
      for await (const block of readSse(await this.#connect(connection.signal), connection.signal)) {
        clearTimeout(timer);
        timer = setTimeout(onSilence, SILENCE_MS);
        if (this.#failed > 0) note("Connected again.");
        this.#failed = 0;
        if (this.#take(block)) return true;
      }
    } catch (error) {
      // Deno tells of a body that breaks off by a TypeError.
      throw error instanceof TypeError ? new HubUnreachable(this.#client.url, error) : error;
    } finally {
      clearTimeout(timer);
      interrupted.removeEventListener("abort", onInterrupted);
    }
    throw new HubUnreachable(this.#client.url, new Error("the stream ended"));
  }

  async #connect(signal: AbortSignal): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const { user, type, after } = this.#options;
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (this.#cursor !== null) headers["last-event-id"] = this.#cursor;
    const response = await this.#client.ok("/events/stream", {
      query: { user_id: user, event_type: type, after },
      headers,
      signal,
    });
    return response.body ?? new ReadableStream({ start: (controller) => controller.close() });
  }

  /** Shows one block; answers whether it was the last one wanted. */
  #take(block: SseBlock): boolean {
    if (block.event === "event") {
      this.#show(JSON.parse(block.data));
      this.#seen++;
    }
    if (block.event === "reset") this.#tellReset(JSON.parse(block.data));
    if (block.id !== null) this.#cursor = block.id;
    if (block.event === "end") this.#ended(JSON.parse(block.data));
    return this.#seen === this.#options.max;
  }

  #show(event: EventAnswer): void {
    if (this.#options.output === "json") return print(JSON.stringify(event) + "\n");
    const { timestamp, event_type, amount, user_id, id, properties } = event;
    const extra = Object.keys(properties ?? {}).length > 0 ? `  ${JSON.stringify(properties)}` : "";
    const columns = [timestamp, event_type.padEnd(10), String(amount).padStart(12), user_id.padEnd(12), id];
    print(shown(columns.join("  ") + extra) + "\n");
  }

  #tellReset({ reason, mode, cursor }: { reason: string; mode: string; cursor: string }): void {
    this.#cursor = cursor;
    const what = mode === "replay"
      ? "what may have been missed follows, and some of it may be shown twice"
      : "what lay between is gone; going on at the oldest event kept";
    note(`Continuity is lost (${shown(reason)}): ${what}.`);
  }

  #ended({ reason, cursor }: { reason: string; cursor: string }): void {
    this.#cursor = cursor;
    if (reason === "revoked" || reason === "expired_credential") {
      throw new Incomplete(`The hub ended the stream: ${reason}. Go on with --after ${cursor}`);
    }
    throw new HubUnreachable(this.#client.url, new Error(`the hub ended the stream (${shown(reason)})`));
  }

  async #recover(error: unknown, interrupted: AbortSignal): Promise<void> {
    const failure = retryable(error, this.#client);
    this.#failed++;
    if (this.#failed === 1) note(`Connection lost; trying again from where it stopped. ${failure.error.message}`);
    await wait(nextDelayMs(this.#failed, { askedMs: failure.askedMs }), interrupted);
  }
}
