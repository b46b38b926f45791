/** The real hub as a process of its own, started with the flags of `deno task start` on a folder and on free ports. */
import { TextLineStream } from "./text_lines.ts";

const ROOT = new URL("../../", import.meta.url);
/** Lines of the hub's output that are kept to explain a failure. */
const OUTPUT_LINES_MAX = 200;
/** Time from start to the ready line; the promise is 1.5 s, but a test machine may be busy. */
const READY_TIMEOUT_MS = 30_000;
/** Beyond the hub's own shutdown time-out something is stuck, and the process is killed. */
const STOP_TIMEOUT_MS = 20_000;

/** What {@link startHub} can be told. */
export interface StartOptions {
  /** Where the database lies; missing = a new temporary folder that goes away with the process. */
  readonly folder?: string;
  /** Settings beside the store and the two free ports. */
  readonly env?: Record<string, string>;
  /** Entry module, relative to the project; a test may compose the app in another way. */
  readonly main?: string;
  /** Program and arguments in place of those of `deno task start`. */
  readonly command?: readonly [string, ...string[]];
  /** Where it is started; missing = the project. */
  readonly workingFolder?: string;
}

/** How a process ended. */
export interface Exit {
  readonly code: number;
  readonly signal: string | null;
  /** Milliseconds from the signal to the end. */
  readonly tookMs: number;
}

/** A running hub. Disposing stops it in order. */
export interface HubProcess extends AsyncDisposable {
  /** For example `http://127.0.0.1:41234`. */
  readonly httpUrl: string;
  /** For example `127.0.0.1:41235`; empty without role `grpc`. */
  readonly grpcAddress: string;
  readonly pid: number;
  readonly folder: string;
  /** Milliseconds from the start of the process to its ready line. */
  readonly readyMs: number;
  /** Settles when the process has ended, for whatever reason. */
  readonly exited: Promise<Deno.CommandStatus>;
  /** SIGTERM, and waits for the end; SIGKILL when that takes longer than 20 s. Harmless when it has ended. */
  stop(): Promise<Exit>;
  /** SIGKILL, and waits for the end. Harmless when it has ended. */
  kill(): Promise<Exit>;
  /** Resident memory in bytes. */
  rss(): number;
  /** The last lines it wrote on standard output and error. */
  output(): string;
}

/** Starts a hub and waits until it is ready. Throws with its output when it ends before, or takes longer than 30 s. */
export async function startHub(options: StartOptions = {}): Promise<HubProcess> {
  const owned = options.folder === undefined;
  const folder = options.folder ?? await Deno.makeTempDir({ prefix: "eventhub-" });
  const startedAt = performance.now();
  const [program, ...args] = options.command ?? [Deno.execPath(), ...runArguments(folder, options.main ?? "main.ts")];
  const child = new Deno.Command(program, {
    args,
    cwd: options.workingFolder ?? ROOT,
    clearEnv: true,
    env: { ...foreignEnvironment(), ...defaultSettings(folder), ...options.env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = new Output();
  const drained = Promise.all([output.drain(child.stdout), output.drain(child.stderr)]);
  const exited = child.status.then(async (status) => {
    await drained;
    if (owned) await Deno.remove(folder, { recursive: true });
    return status;
  });
  const addresses = await ready(output, exited, child);
  const end = (signal: Deno.Signal, timeoutMs: number) => endProcess({ child, exited, signal, timeoutMs });
  return {
    ...addresses,
    pid: child.pid,
    folder,
    readyMs: performance.now() - startedAt,
    exited,
    stop: () => end("SIGTERM", STOP_TIMEOUT_MS),
    kill: () => end("SIGKILL", STOP_TIMEOUT_MS),
    rss: () => residentBytes(child.pid),
    output: () => output.text(),
    [Symbol.asyncDispose]: async () => void await end("SIGTERM", STOP_TIMEOUT_MS),
  };
}

/** Resident memory of a process in bytes, as Linux tells it. */
export function residentBytes(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kibibytes === undefined) throw new Error(`Cannot read the resident memory of process ${pid}: it has ended`);
  return Number(kibibytes) * 1024;
}

/** The arguments of `deno task start`, its data folder and entry module replaced. */
function runArguments(folder: string, main: string): string[] {
  const settings = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  const command: string = settings.tasks.start.command.split("&&").at(-1).trim();
  const [program, ...words] = command.split(/\s+/);
  if (program !== "deno" || words.at(-1) !== "main.ts") {
    throw new Error(`Cannot start the hub as "deno task start" does: its command is "${command}"`);
  }
  return [...words.slice(0, -1).map((word) => word.replaceAll("./data", folder)), main];
}

function defaultSettings(folder: string): Record<string, string> {
  return {
    EVENTHUB_STORE_URL: `sqlite:${folder}/eventhub.db`,
    EVENTHUB_HTTP_PORT: "0",
    EVENTHUB_GRPC_PORT: "0",
    EVENTHUB_LOG_LEVEL: "warning",
  };
}

/** The environment without settings of a hub, which would change what is tested. */
function foreignEnvironment(): Record<string, string> {
  const entries = Object.entries(Deno.env.toObject());
  return Object.fromEntries(entries.filter(([name]) => !name.startsWith("EVENTHUB_") && name !== "PORT"));
}

/** What the process wrote: its last lines, and a wait for a line. */
class Output {
  readonly #lines: string[] = [];
  readonly #watchers = new Set<(line: string) => void>();

  async drain(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const line of stream.pipeThrough(new TextLineStream())) {
      this.#lines.push(line);
      if (this.#lines.length > OUTPUT_LINES_MAX) this.#lines.shift();
      for (const watcher of this.#watchers) watcher(line);
    }
  }

  /** The first value that `pick` finds in a line, of those already written too. */
  async find<T>(pick: (line: string) => T | null): Promise<T> {
    for (const line of this.#lines) {
      const found = pick(line);
      if (found !== null) return found;
    }
    const { promise, resolve } = Promise.withResolvers<T>();
    const watcher = (line: string) => {
      const found = pick(line);
      if (found !== null) resolve(found);
    };
    this.#watchers.add(watcher);
    try {
      return await promise;
    } finally {
      this.#watchers.delete(watcher);
    }
  }

  text(): string {
    return this.#lines.join("\n");
  }
}

async function ready(
  output: Output,
  exited: Promise<Deno.CommandStatus>,
  child: Deno.ChildProcess,
): Promise<{ httpUrl: string; grpcAddress: string }> {
  const { promise: late, resolve: giveUp } = Promise.withResolvers<null>();
  const timer = setTimeout(() => giveUp(null), READY_TIMEOUT_MS);
  const found = await Promise.race([output.find(addressesIn), exited.then(() => null), late]);
  clearTimeout(timer);
  if (found !== null) return found;
  endQuietly(child, "SIGKILL");
  const status = await exited;
  throw new Error(`The hub did not get ready (exit code ${status.code}). It wrote:\n${output.text()}`);
}

/** The addresses of a ready line: `Event Hub is ready: http://127.0.0.1:8000  grpc://127.0.0.1:50051`. */
function addressesIn(line: string): { httpUrl: string; grpcAddress: string } | null {
  const [, httpUrl, grpcAddress = ""] = /is ready: (https?:\/\/\S+)(?: {2}grpc:\/\/(\S+))?/.exec(line) ?? [];
  return httpUrl === undefined ? null : { httpUrl, grpcAddress };
}

async function endProcess(
  options: {
    child: Deno.ChildProcess;
    exited: Promise<Deno.CommandStatus>;
    signal: Deno.Signal;
    timeoutMs: number;
  },
): Promise<Exit> {
  const startedAt = performance.now();
  endQuietly(options.child, options.signal);
  const timer = setTimeout(() => endQuietly(options.child, "SIGKILL"), options.timeoutMs);
  const status = await options.exited;
  clearTimeout(timer);
  return { code: status.code, signal: status.signal, tookMs: performance.now() - startedAt };
}

/** A process that has just ended by itself is not an error for who wants it to end. */
function endQuietly(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch (error) {
    if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
  }
}
