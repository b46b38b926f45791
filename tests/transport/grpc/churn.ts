/**
 * Clients that come, call and go, normally and abruptly: the load under which Deno 2.9.6 aborts without http2_remedy.ts.
 * `deno task soak:grpc` does the same to the real hub, with thousands of clients.
 *
 * Also a program: `churn.ts <port> <calls>` is one client that makes its calls, closes its connection and exits. That is
 * what kills most surely.
 */
import { credentials } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import http2 from "node:http2";
import * as v1 from "../../../src/gen/eventhub/v1/eventhub.ts";

/** How many come, and what they do. */
export interface ChurnOptions {
  readonly port: number;
  readonly clients: number;
  /** Each client makes from one call to so many. */
  readonly callsMax: number;
  /** Clients at once. */
  readonly together: number;
}

/** What became of the calls. Errors are those of calls that no abrupt close of their own client explains. */
export interface ChurnReport {
  calls: number;
  abrupt: number;
  errors: string[];
}

/** Runs the clients; every third leaves abruptly, in the middle of its calls. Stops early when `signal` is aborted. */
export async function churn(options: ChurnOptions, signal: AbortSignal): Promise<ChurnReport> {
  const report: ChurnReport = { calls: 0, abrupt: 0, errors: [] };
  let next = 0;
  // The calls of a server that died may never end.
  const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  const worker = async () => {
    while (next < options.clients && !signal.aborted) {
      const client = next++;
      // Spread over the whole range, and the same in every run.
      const calls = 1 + (client * 7_919) % options.callsMax;
      const leave = client % 3 === 2 ? leaveAbruptly : leaveNormally;
      await Promise.race([aborted, leave(options.port, { client, calls, report })]);
    }
  };
  await Promise.all(Array.from({ length: options.together }, worker));
  return report;
}

type Visit = { client: number; calls: number; report: ChurnReport };

function eventOf(client: number, call: number): v1.EventInput {
  return { id: `c${client}-${call}`, userId: `u${client}`, eventType: "purchase", amount: "1.25" };
}

async function leaveNormally(port: number, { client, calls, report }: Visit): Promise<void> {
  // Not the client of the other tests, whose connections part more gently.
  const connection = new v1.EventHubServiceClient(`127.0.0.1:${port}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  for (let call = 0; call < calls; call++) {
    const error = await new Promise((resolve) => connection.publish({ event: eventOf(client, call) }, resolve));
    if (error === null) report.calls += 1;
    else report.errors.push(`${error}`);
  }
  connection.close();
}

/** Makes calls on a bare session and destroys it while the last ones are under way. */
async function leaveAbruptly(port: number, { client, calls, report }: Visit): Promise<void> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const closed = new Promise((resolve) => session.once("close", resolve));
  let leaving = false;
  session.on("error", (error) => {
    if (!leaving) report.errors.push(`session: ${error}`);
  });
  const callOnce = (call: number) =>
    new Promise<void>((resolve) => {
      const stream = session.request({
        ":method": "POST",
        ":path": v1.EventHubServiceService.publish.path,
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", (error) => {
        if (!leaving) report.errors.push(`stream: ${error}`);
      });
      stream.on("close", resolve).resume();
      const bytes = v1.PublishRequest.encode({ event: eventOf(client, call) }).finish();
      const head = Buffer.alloc(5);
      head.writeUInt32BE(bytes.length, 1);
      stream.end(Buffer.concat([head, bytes]));
    });
  for (let call = 0; call < calls; call++) {
    await callOnce(call);
    report.calls += 1;
  }
  for (let call = 0; call < 5; call++) void callOnce(calls + call);
  leaving = true;
  report.abrupt += 1;
  session.destroy();
  await closed;
}

/** A server in a process of its own, so that its death is seen. */
export class ServerProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly port: number;
  /** How it ended. */
  readonly ended: Promise<Deno.CommandStatus>;

  private constructor(child: Deno.ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
    this.ended = child.status;
  }

  /** Starts it; without the remedy as the control of the test. */
  static async start(options: { remedy: boolean }): Promise<ServerProcess> {
    const entry = new URL("./churn_server.ts", import.meta.url).pathname;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", entry, ...(options.remedy ? [] : ["--without-remedy"])],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    let text = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.endsWith("\n")) break;
    }
    return new ServerProcess(child, Number(text));
  }

  /** Asks it to shut down in order. */
  async stop(): Promise<Deno.CommandStatus> {
    this.#child.kill("SIGTERM");
    return await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It is dead already: that is what was wanted.
      if (!(error instanceof TypeError)) throw error;
    }
    await this.ended;
  }
}

/** Runs one client in a process of its own to its end. */
export async function runClient(port: number, calls: number): Promise<void> {
  const args = ["run", "--allow-all", new URL(import.meta.url).pathname, `${port}`, `${calls}`];
  await new Deno.Command(Deno.execPath(), { args, stdin: "null", stdout: "null", stderr: "null" }).output();
}

if (import.meta.main) {
  const [port, calls] = Deno.args.map(Number) as [number, number];
  const report: ChurnReport = { calls: 0, abrupt: 0, errors: [] };
  await leaveNormally(port, { client: Date.now(), calls, report });
}
