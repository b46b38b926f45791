/** A Worker of the store, kept alive: when it dies or falls silent, another one takes its place. */
import { RESTART_DELAY_MS_MAX, RESTART_DELAY_MS_MIN, SQLITE_WORKER_SILENCE_MS } from "../limits.ts";
import { Silence } from "../worker.ts";
import type { WorkerControl, WorkerOptions, WorkerReport } from "./sqlite_messages.ts";

/** What the owner of a thread hears. */
export interface ThreadEvents {
  /** It serves, also after a restart. */
  readonly up: () => void;
  /** It died; another one is coming. */
  readonly down: (reason: string) => void;
  readonly log: (level: "info" | "warning" | "error", text: string) => void;
}

/** How long a Worker may take to finish what it was asked when it is closed. */
const CLOSE_MS = 10_000;
/** A part of `SQLITE_WORKER_SILENCE_MS`. */
const PING_MS = 5_000;

/** One of writer, reader and checkpointer. */
export class Thread {
  readonly name: string;
  readonly #entry: URL;
  readonly #options: WorkerOptions;
  readonly #events: ThreadEvents;
  #worker: Worker | null = null;
  #closed: PromiseWithResolvers<void> | null = null;
  #delayMs = RESTART_DELAY_MS_MIN;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #pinging: ReturnType<typeof setInterval> | undefined;

  constructor(entry: URL, settings: { name: string; options: WorkerOptions; events: ThreadEvents }) {
    this.#entry = entry;
    this.name = settings.name;
    this.#options = settings.options;
    this.#events = settings.events;
  }

  /** Resolves when it serves; rejects when it cannot open the file. */
  start(): Promise<void> {
    const started = Promise.withResolvers<void>();
    const worker = new Worker(this.#entry, { type: "module", name: `sqlite ${this.name}` });
    this.#worker = worker;
    const silence = new Silence({ looksMax: SQLITE_WORKER_SILENCE_MS / PING_MS });
    worker.onmessage = ({ data }: MessageEvent<WorkerReport>) => {
      silence.end();
      if (data.kind === "ready") {
        this.#delayMs = RESTART_DELAY_MS_MIN;
        this.#events.up();
        started.resolve();
      } else if (data.kind === "failed") {
        started.reject(new Error(data.message));
        this.#end(worker);
      } else if (data.kind === "log") {
        this.#events.log(data.level, data.text);
      } else if (data.kind === "closed") {
        this.#closed?.resolve();
      }
    };
    worker.onerror = (event) => {
      event.preventDefault();
      started.reject(new Error(event.message));
      this.#died(worker, event.message);
    };
    this.#say({ kind: "start", options: this.#options });
    this.#pinging = setInterval(() => this.#ping(worker, silence), PING_MS);
    return started.promise;
  }

  /** A new port over which a thread can ask this one. */
  attach(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#say({ kind: "attach", port: port1 }, [port1]);
    return port2;
  }

  /** Lets it finish what it was asked, and ends it. Harmless twice. */
  async close(): Promise<void> {
    clearTimeout(this.#restart);
    const worker = this.#worker;
    if (worker === null || this.#closed !== null) return await this.#closed?.promise;
    const closed = this.#closed = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.#events.log("error", `The ${this.name} of the store did not end in ${CLOSE_MS} ms`);
      closed.resolve();
    }, CLOSE_MS);
    this.#say({ kind: "close" });
    await closed.promise;
    clearTimeout(timer);
    this.#end(worker);
  }

  #ping(worker: Worker, silence: Silence): void {
    if (silence.look()) this.#died(worker, `It answered no ping for ${SQLITE_WORKER_SILENCE_MS} ms`);
    else this.#say({ kind: "ping" });
  }

  #died(worker: Worker, reason: string): void {
    if (worker !== this.#worker) return;
    this.#end(worker);
    if (this.#closed !== null) return this.#closed.resolve();
    this.#events.down(reason);
    this.#restart = setTimeout(() => {
      this.start().catch((error) => this.#failed(error));
    }, this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, RESTART_DELAY_MS_MAX);
  }

  /** A new one could not open the file: try again later. */
  #failed(error: Error): void {
    this.#events.log("error", `The ${this.name} of the store could not be started again: ${error.message}`);
    if (this.#worker !== null || this.#closed !== null) return;
    this.#restart = setTimeout(() => {
      this.start().catch((again) => this.#failed(again));
    }, this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, RESTART_DELAY_MS_MAX);
  }

  #end(worker: Worker): void {
    clearInterval(this.#pinging);
    worker.terminate();
    if (this.#worker === worker) this.#worker = null;
  }

  #say(message: WorkerControl, transfer: Transferable[] = []): void {
    this.#worker?.postMessage(message, transfer);
  }
}
