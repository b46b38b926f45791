/** The command line as a process of its own, started with the flags of `deno task cli`. */

const ROOT = new URL("../../", import.meta.url);

/** What a command line did. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Whether this process may start others; `deno task test` grants it, bare `deno test` does not. */
const canStart = (["run", "read", "write", "net", "env"] as const)
  .every((name) => Deno.permissions.querySync({ name }).state === "granted");

/**
 * A test that starts processes; without the permissions for it, or where something is `lacking` (a text that says what;
 * empty = nothing), it is ignored and says so.
 */
export function processTest(name: string, fn: () => Promise<void>, { lacking = "" } = {}): void {
  const reason = canStart ? lacking : "needs --allow-run, --allow-net and files: deno task test";
  Deno.test({ name: `${name}${reason && ` (${reason})`}`, ignore: reason !== "", fn });
}

/** Runs a command line to its end. */
export async function runCli(args: readonly string[], options: { stdin?: string } = {}): Promise<Outcome> {
  const child = spawnCli(args, { stdin: options.stdin === undefined ? "null" : "piped" });
  const collected = Promise.all([text(child.stdout), text(child.stderr), child.status]);
  if (options.stdin !== undefined) {
    await new Blob([options.stdin]).stream().pipeTo(child.stdin);
  }
  const [stdout, stderr, status] = await collected;
  return { code: status.code, stdout, stderr };
}

/** Starts a command line. */
export function spawnCli(args: readonly string[], options: { stdin?: "piped" | "null" } = {}): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [...cliArguments(), ...args],
    cwd: ROOT,
    stdin: options.stdin ?? "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** All of a stream as text. */
export function text(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  return new Response(stream).text();
}

/** The arguments of `deno task cli`. */
function cliArguments(): string[] {
  const settings = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  const [program, ...words] = (settings.tasks.cli.command as string).split(/\s+/);
  if (program !== "deno") throw new Error(`Cannot start the command line: its task is "${settings.tasks.cli.command}"`);
  return words;
}
