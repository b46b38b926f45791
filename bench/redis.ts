/** The peer of durable ingest: Redis that syncs its log before every answer, and its own `redis-benchmark`. */
import { isInstalled } from "./http_load.ts";
import { runText } from "./programs.ts";

/** What `redis-benchmark` found. */
export interface RedisResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** The fields the prototype writes to its stream, those of the hub's event. */
const XADD = [
  ...["XADD", "events", "*", "event_id", "0198c8a2-7c3e-7000-8000-__rand_int__", "user_id", "user___rand_int__"],
  ...["event_type", "purchase", "amount", "792.19", "timestamp", "2026-01-15T10:30:00.123Z"],
];
const RANDOM_NUMBERS = "1000000";
/** A first short run tells how many requests fill the time asked for. */
const CALIBRATION_REQUESTS = 20_000;

/** Why there is no peer; `null` when there is. */
export function redisMissing(): string | null {
  const missing = ["redis-server", "redis-benchmark"].filter((program) => !isInstalled(program));
  return missing.length === 0 ? null : `${missing.join(" and ")} not installed`;
}

/** A Redis server on a free port and a temporary folder, with `appendonly yes` and `appendfsync always`. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly #child: Deno.ChildProcess;
  readonly #folder: string;

  private constructor(child: Deno.ChildProcess, { port, folder }: { port: number; folder: string }) {
    this.#child = child;
    this.port = port;
    this.#folder = folder;
  }

  /** Resolves when it answers. */
  static async start(): Promise<RedisServer> {
    const folder = await Deno.makeTempDir({ prefix: "eventhub-redis-" });
    const port = freePort();
    // Rewriting the log in the middle of a run would cost Redis; snapshots are off for the same reason.
    const options = ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"];
    const place = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""];
    const child = new Deno.Command("redis-server", { args: [...place, ...options], stdout: "null", stderr: "null" })
      .spawn();
    const server = new RedisServer(child, { port, folder });
    await server.#answers();
    return server;
  }

  /** XADD with 64 clients, each sending `pipeline` commands at a time, for about so many seconds. */
  async load({ seconds, pipeline }: { seconds: number; pipeline: number }): Promise<RedisResult> {
    const short = await this.#benchmark(CALIBRATION_REQUESTS * (pipeline > 1 ? 10 : 1), pipeline);
    return await this.#benchmark(Math.ceil(short.perSecond * seconds), pipeline);
  }

  async #benchmark(requests: number, pipeline: number): Promise<RedisResult> {
    const size = ["-p", String(this.port), "-c", "64", "-n", String(requests), "-P", String(pipeline)];
    const text = await runText("redis-benchmark", [...size, "-r", RANDOM_NUMBERS, "--csv", ...XADD]);
    // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
    const columns = text.trimEnd().split("\n").at(-1)!.split('","').map((column) => column.replaceAll('"', ""));
    const [perSecond, , , p50Ms, , p99Ms, maxMs] = columns.slice(-7).map(Number);
    return { perSecond: perSecond!, p50Ms: p50Ms!, p99Ms: p99Ms!, maxMs: maxMs! };
  }

  async #answers(): Promise<void> {
    for (let attempt = 0; attempt < 100; attempt++) {
      try {
        using _socket = await Deno.connect({ hostname: "127.0.0.1", port: this.port });
        return;
      } catch (error) {
        if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    throw new Error("redis-server did not start");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** A port that nobody listens on now. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}
