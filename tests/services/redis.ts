/**
 * A real Redis for tests: that of `EVENTHUB_TEST_REDIS_URL`, or a `redis-server` of the test's own on a free port and a
 * temporary folder, which it may also flush, restart, freeze and cut off.
 */
import { RedisConnection, type Reply } from "../../src/stream/redis_connection.ts";
import { demand, isInstalled, type Missing, missingPermissions, variable } from "./requirement.ts";

const NEEDS = ["net", "run", "read", "write", "env"] as const;
const START_ATTEMPTS = 200;

/** Why there is no Redis for tests; `null` when there is. */
export const redisMissing: Missing = missingPermissions(NEEDS) ??
  (variable("EVENTHUB_TEST_REDIS_URL") !== undefined || isInstalled("redis-server")
    ? null
    : "redis-server is not installed and EVENTHUB_TEST_REDIS_URL is not set");

/** Why there is no Redis that a test may stop and restart; `null` when there is. */
export const ownRedisMissing: Missing = missingPermissions(NEEDS) ??
  (isInstalled("redis-server") ? null : "redis-server is not installed");

demand("redis", redisMissing);
// Whoever asks for the tests on Redis asks for those of its faults, too.
demand("redis", ownRedisMissing);

/** A Redis and a prefix in it that nobody else uses. */
export interface TestRedis extends AsyncDisposable {
  readonly url: string;
  readonly prefix: string;
  /** Sends a command. */
  send(command: string, ...args: (string | number)[]): Promise<Reply>;
}

/** The Redis of the environment, or one of the test's own. */
export async function openTestRedis(): Promise<TestRedis> {
  const url = variable("EVENTHUB_TEST_REDIS_URL");
  if (url === undefined) return await RedisServer.start();
  const connection = new RedisConnection(url, { name: "eventhub-test" });
  const prefix = `test-${crypto.randomUUID()}`;
  const send = connection.send.bind(connection);
  return {
    url,
    prefix,
    send,
    [Symbol.asyncDispose]: async () => {
      const keys = await send("KEYS", `${prefix}*`) as readonly string[];
      if (keys.length > 0) await send("DEL", ...keys);
      await connection[Symbol.asyncDispose]();
    },
  };
}

/** A `redis-server` of the test's own. */
export class RedisServer implements TestRedis {
  readonly prefix = "events";
  readonly port: number;
  readonly #folder: string;
  #connection: RedisConnection | null = null;
  #child: Deno.ChildProcess;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.port = port;
    this.#child = spawn(folder, port);
  }

  /** Resolves when it answers. */
  static async start(): Promise<RedisServer> {
    const folder = Deno.makeTempDirSync({ prefix: "eventhub-redis-" });
    const server = new RedisServer(folder, freePort());
    await answers(server.port);
    return server;
  }

  /** Where it listens. */
  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async send(command: string, ...args: (string | number)[]): Promise<Reply> {
    this.#connection ??= new RedisConnection(this.url, { name: "eventhub-test" });
    return await this.#connection.ask(command, ...args);
  }

  /** Empties it while it runs. */
  async flushAll(): Promise<void> {
    await this.send("FLUSHALL");
  }

  /** Writes what it holds to a file of that name. */
  async save(): Promise<void> {
    await this.send("SAVE");
    await Deno.copyFile(`${this.#folder}/dump.rdb`, `${this.#folder}/saved.rdb`);
  }

  /** Kills it without warning and starts it again, empty or with what {@link save} wrote. */
  async restart(from: "empty" | "saved"): Promise<void> {
    await this.#kill();
    await Deno.remove(`${this.#folder}/dump.rdb`).catch(ignoreMissing);
    if (from === "saved") await Deno.copyFile(`${this.#folder}/saved.rdb`, `${this.#folder}/dump.rdb`);
    this.#child = spawn(this.#folder, this.port);
    await answers(this.port);
  }

  /** Stops it in its tracks: connections stay open and nothing answers. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  /** Lets it go on. */
  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  /** Cuts every connection but the one of this object. */
  async cut(): Promise<void> {
    await this.send("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection?.[Symbol.asyncDispose]();
    await this.#kill();
    await Deno.remove(this.#folder, { recursive: true });
  }

  async #kill(): Promise<void> {
    this.thaw();
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

function spawn(folder: string, port: number): Deno.ChildProcess {
  const place = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder];
  const args = [...place, "--save", "", "--appendonly", "no"];
  return new Deno.Command("redis-server", { args, stdin: "null", stdout: "null", stderr: "null" }).spawn();
}

async function answers(port: number): Promise<void> {
  for (let attempt = 0; attempt < START_ATTEMPTS; attempt++) {
    try {
      using _socket = await Deno.connect({ hostname: "127.0.0.1", port });
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  throw new Error(`redis-server did not start on port ${port}`);
}

/** A port that nobody listens on now. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
