/**
 * Very many gRPC clients, each with a connection of its own and up to some hundred calls, that close it normally or
 * break it in the middle. The hub must live on, and no call may fail but those that a break took with it.
 *
 * `deno task soak:grpc --clients 2000 --calls 300`
 */
import { status } from "@grpc/grpc-js";
import { connect, constants } from "node:http2";
import { PublishRequest } from "../../src/gen/eventhub/v1/eventhub.ts";
import { getJson } from "./api.ts";
import { conclude, readNumbers, type Report } from "./options.ts";
import { startHub } from "./process.ts";
import { eventInput, grpcClient } from "./send_grpc.ts";
import { typicalEvent } from "./typical_event.ts";

/** Sizes of a run. */
export interface ChurnOptions {
  readonly clients: number;
  /** Each client makes 1 to this many calls. */
  readonly callsMax: number;
  /** Clients at a time. */
  readonly concurrency: number;
}

/** Calls of one client that run at once. */
const CALLS_AT_ONCE = 10;
const PUBLISH_PATH = "/eventhub.v1.EventHubService/Publish";

/** How a client parts: its library closes; its library closes with calls running; the socket is destroyed. */
type Parting = "close" | "close-early" | "destroy";
const PARTINGS: readonly Parting[] = ["close", "close-early", "destroy"];

/** Runs it. */
export async function runChurn(options: ChurnOptions): Promise<Report> {
  await using hub = await startHub();
  const run = new ChurnRun(hub.grpcAddress, options);
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: options.concurrency }, () => run.work()));
  const seconds = (performance.now() - startedAt) / 1_000;
  const violations = [...run.violations];
  let ended = false;
  hub.exited.then(() => ended = true);
  await getJson(`${hub.httpUrl}/version`).catch((error) => violations.push(`The hub no longer answers: ${error}`));
  if (ended) violations.push(`The hub has ended:\n${hub.output()}`);
  return {
    name: "grpc",
    figures: {
      clients: options.clients,
      calls: run.calls,
      answered: run.answered,
      cut: run.cut,
      seconds,
      rss_mib: ended ? NaN : hub.rss() / 2 ** 20,
    },
    violations,
  };
}

class ChurnRun {
  readonly violations: string[] = [];
  calls = 0;
  answered = 0;
  /** Calls that a break of this side took with it. */
  cut = 0;
  readonly #address: string;
  readonly #options: ChurnOptions;
  #clients = 0;

  constructor(address: string, options: ChurnOptions) {
    this.#address = address;
    this.#options = options;
  }

  /** Plays one client after the other until there were enough, or something is wrong. */
  async work(): Promise<void> {
    while (this.#clients < this.#options.clients && this.violations.length < 10) {
      const number = this.#clients++;
      const parting = PARTINGS[number % PARTINGS.length]!;
      const calls = 1 + Math.floor(Math.random() * this.#options.callsMax);
      this.calls += calls;
      if (parting === "destroy") await this.#playRaw(calls);
      else await this.#playClient(calls, parting);
    }
  }

  async #playClient(calls: number, parting: "close" | "close-early"): Promise<void> {
    const client = grpcClient(this.#address);
    let left = calls;
    const call = () =>
      new Promise<void>((resolve) => {
        const closing = parting === "close-early" && left < CALLS_AT_ONCE;
        client.publish({ event: this.#event() }, (error) => {
          if (error === null) this.answered += 1;
          else if (parting === "close-early" && (closing || error.code === status.CANCELLED)) this.cut += 1;
          else this.violations.push(`A call failed on an open connection: ${error}`);
          resolve();
        });
        if (left === 0 && parting === "close-early") client.close();
      });
    const lane = async () => {
      while (left > 0) {
        left -= 1;
        await call();
      }
    };
    await Promise.all(Array.from({ length: Math.min(CALLS_AT_ONCE, calls) }, lane));
    client.close();
  }

  /** Speaks HTTP/2 itself, to be able to destroy the socket with calls on it. */
  async #playRaw(calls: number): Promise<void> {
    const session = connect(`http://${this.#address}`);
    session.on("error", () => {});
    const message = PublishRequest.encode({ event: this.#event() }).finish();
    const body = new Uint8Array(5 + message.length);
    new DataView(body.buffer).setUint32(1, message.length);
    body.set(message, 5);
    for (let count = 0; count < calls; count++) {
      const running = this.#rawCall(session, body);
      if (count === calls - 1) session.destroy();
      if (await running) this.answered += 1;
      else if (count === calls - 1) this.cut += 1;
      else this.violations.push(`Call ${count} of ${calls} failed on an open connection`);
    }
  }

  /** Whether the call was answered with status OK. */
  #rawCall(session: ReturnType<typeof connect>, body: Uint8Array): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const request = session.request({
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: PUBLISH_PATH,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
      [constants.HTTP2_HEADER_TE]: "trailers",
    });
    let answered = false;
    request.on("trailers", (trailers) => answered = trailers["grpc-status"] === "0");
    request.on("error", () => resolve(false));
    request.on("close", () => resolve(answered));
    request.resume();
    request.end(body);
    return promise;
  }

  #event() {
    return eventInput(typicalEvent(this.answered, { prefix: crypto.randomUUID() }));
  }
}

if (import.meta.main) {
  const flags = readNumbers(Deno.args, { clients: 2_000, calls: 300, concurrency: 16 });
  conclude(await runChurn({ clients: flags.clients, callsMax: flags.calls, concurrency: flags.concurrency }));
}
