/** The gRPC server in a Worker of its own, kept alive by the supervisor. */
import type { FromThread, ToThread } from "./app_worker.ts";
import type { Config } from "./config.ts";
import { THREAD_SILENCE_MS } from "./limits.ts";
import { every, Silence, type SupervisedWorker, within } from "./worker.ts";

/** Ports that the thread reaches the store over, and what of them must be transferred. */
export interface ThreadPorts<Ports> {
  readonly ports: Ports;
  readonly transfer: Transferable[];
}

type Start = Extract<ToThread, { kind: "start" }>;

/** How long the thread may take for an answer that is not a request of a client; a part of `THREAD_SILENCE_MS`. */
const ANSWER_MS = 5_000;

/** Starts the Worker, again after its death, and speaks with it. */
export class GrpcThread implements SupervisedWorker {
  readonly name = "grpc";
  readonly #config: Config;
  readonly #connect: () => ThreadPorts<Start["ports"]>;
  readonly #first = Promise.withResolvers<number>();
  #port: number;
  #worker: Worker | null = null;
  #answers: ((metrics: unknown) => void)[] = [];

  /** `connect` gives each new Worker its own ports to the store. */
  constructor(options: { config: Config; connect: () => ThreadPorts<Start["ports"]> }) {
    this.#config = options.config;
    this.#connect = options.connect;
    this.#port = options.config.grpcPort;
  }

  /** The port it listens on, once it does; rejects when the first start fails. */
  get ready(): Promise<number> {
    return this.#first.promise;
  }

  /** Runs the Worker until the signal is aborted (then it is stopped in order) or it dies (then this rejects). */
  async run(signal: AbortSignal): Promise<void> {
    const worker = new Worker(new URL("./app_worker.ts", import.meta.url), { type: "module", name: this.name });
    const stopped = Promise.withResolvers<void>();
    const watching = new AbortController();
    const silence = new Silence({ looksMax: THREAD_SILENCE_MS / ANSWER_MS });
    worker.onmessage = ({ data }: MessageEvent<FromThread>) => {
      silence.end();
      this.#hear(data, stopped);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      stopped.reject(new Error(event.message));
    };
    worker.onmessageerror = () => stopped.reject(new Error("A message of the gRPC thread could not be read"));
    const stop = () => this.#say({ kind: "stop" });
    signal.addEventListener("abort", stop);
    this.#worker = worker;
    const { ports, transfer } = this.#connect();
    worker.postMessage({ kind: "start", config: { ...this.#config, grpcPort: this.#port }, ports }, transfer);
    void every(ANSWER_MS, watching.signal, () => {
      if (silence.look()) stopped.reject(new Error(`The gRPC thread was silent for ${THREAD_SILENCE_MS} ms`));
    });
    try {
      await stopped.promise;
    } catch (error) {
      this.#first.reject(error);
      throw error;
    } finally {
      watching.abort();
      signal.removeEventListener("abort", stop);
      this.#worker = null;
      for (const answer of this.#answers.splice(0)) answer([]);
      worker.terminate();
    }
  }

  /** What the thread measured, as its metrics registry gives it; empty when it does not answer. */
  async metrics(): Promise<unknown> {
    if (this.#worker === null) return [];
    const answer = new Promise((resolve) => this.#answers.push(resolve));
    this.#say({ kind: "metrics" });
    return await within(ANSWER_MS, "Reading the metrics of the gRPC thread", answer).catch(() => []);
  }

  #say(message: ToThread): void {
    this.#worker?.postMessage(message);
  }

  #hear(message: FromThread, stopped: PromiseWithResolvers<void>): void {
    switch (message.kind) {
      case "ready":
        this.#port = message.port;
        return this.#first.resolve(message.port);
      case "metrics":
        return this.#answers.shift()?.(message.metrics);
      case "failed":
        return stopped.reject(new Error(message.message));
      case "stopped":
        return stopped.resolve();
      case "alive":
        return;
    }
  }
}
