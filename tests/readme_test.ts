/** README.md tells the truth: its tour is run command by command, its tables are compared, its links are followed. */
import { assert, assertEquals } from "@std/assert";
import { describeConfig, loadConfig } from "../src/config.ts";
import { startHub } from "./harness.ts";

const ROOT = new URL("../", import.meta.url);
/** Far longer than any command of the tour takes, and shorter than the time-outs behind which a fault could hide. */
const COMMAND_TIMEOUT_MS = 20_000;
const PAGES = ["README.md", "CHANGELOG.md", "docs/architecture.md", "docs/design.md", "docs/operations.md"];

const granted = (["run", "read", "write", "net", "env"] as const)
  .every((name) => Deno.permissions.querySync({ name }).state === "granted");
const need = granted ? "" : " (needs processes, files and network: deno task test)";

/** A command of the tour and what the page says comes back. */
interface Command {
  readonly line: number;
  /** `sh` or `js`. */
  readonly language: string;
  /** Runs until it is stopped. */
  readonly live: boolean;
  readonly source: string;
  readonly expected: string | null;
}

/** The fenced blocks of a section: a command, and the block right behind it as its output. */
function commandsOf(page: string, heading: string): Command[] {
  const commands: Command[] = [];
  const lines = page.split("\n");
  const start = lines.indexOf(heading);
  for (let at = start + 1; at < lines.length && !lines[at]!.startsWith("## "); at++) {
    const fence = /^```(sh|js)( live)?$/.exec(lines[at]!);
    if (fence === null) continue;
    const source = blockAt(lines, at);
    let next = at + source.length + 2;
    const output = /^```(json)?$/.test(lines[next] ?? "") ? blockAt(lines, next) : null;
    if (output !== null) next += output.length + 2;
    commands.push({
      line: at + 2,
      language: fence[1]!,
      live: fence[2] !== undefined,
      source: source.join("\n"),
      expected: output?.join("\n") ?? null,
    });
    at = next - 1;
  }
  return commands;
}

function blockAt(lines: readonly string[], fence: number): string[] {
  return lines.slice(fence + 1, lines.indexOf("```", fence + 1));
}

/** What the page says as a pattern: `…` stands for anything within a line. */
function pattern(expected: string): string {
  return expected.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("[^\\n]*?");
}

/** Where a program is on the PATH. */
function isInstalled(program: string): boolean {
  return new Deno.Command("sh", { args: ["-c", `command -v ${program}`], stdout: "null" }).outputSync().success;
}

/** The command as it must be typed for a hub on other ports than the usual ones. */
function spawn(command: Command, hub: { httpUrl: string; grpcAddress: string }): Deno.ChildProcess {
  const source = command.source
    .replaceAll("localhost:8000", new URL(hub.httpUrl).host)
    .replaceAll("localhost:50051", hub.grpcAddress);
  if (command.language === "js") {
    const url = `data:text/javascript,${encodeURIComponent(source)}`;
    return new Deno.Command(Deno.execPath(), { args: ["run", "--no-config", "--allow-net", url], ...PIPES }).spawn();
  }
  // `deno task cli` with the other address; a live command replaces the shell, so that stopping reaches it.
  const prelude =
    `deno() { shift 2; "${Deno.execPath()}" run -q --no-prompt --allow-net src/cli/main.ts "$@" --url ${hub.httpUrl}; }`;
  const script = command.live ? `exec ${source}` : `${prelude}\n${source}`;
  return new Deno.Command("bash", { args: ["-c", script], ...PIPES }).spawn();
}

const PIPES = { cwd: ROOT, stdin: "null", stdout: "piped", stderr: "piped" } as const;

async function run(command: Command, hub: { httpUrl: string; grpcAddress: string }): Promise<void> {
  const child = spawn(command, hub);
  const late = setTimeout(() => child.kill("SIGKILL"), COMMAND_TIMEOUT_MS);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(late);
  const text = new TextDecoder().decode(stdout).trim();
  assertEquals(code, 0, `exit code ${code}: ${text}${new TextDecoder().decode(stderr)}`);
  if (command.expected === null) return;
  assert(new RegExp(`^${pattern(command.expected)}$`).test(text), `It says\n${command.expected}\nbut it is\n${text}`);
}

/** Follows a command until it has written what the page says, then stops it. */
async function follow(command: Command, hub: { httpUrl: string; grpcAddress: string }): Promise<void> {
  const child = spawn(command, hub);
  const late = setTimeout(() => child.kill("SIGKILL"), COMMAND_TIMEOUT_MS);
  const wanted = new RegExp(pattern(command.expected ?? ""));
  const errors = new Response(child.stderr).text();
  let text = "";
  for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += piece;
    if (!wanted.test(text)) continue;
    clearTimeout(late);
    child.kill("SIGKILL");
    break;
  }
  clearTimeout(late);
  await child.status;
  assert(wanted.test(text), `It says\n${command.expected}\nbut it is\n${text}${await errors}`);
  await errors;
}

const required = granted ? (Deno.env.get("EVENTHUB_TEST_REQUIRE") ?? "").split(",") : [];
const missing = granted ? ["curl", "grpcurl"].filter((program) => !isInstalled(program)) : [];
const runnable = granted && (!missing.includes("curl") || required.includes("curl"));

Deno.test({
  name: `README: the tour${need}${granted && !runnable ? " (needs curl)" : ""}`,
  ignore: !runnable,
  fn: async (test) => {
    await using hub = await startHub();
    const commands = commandsOf(Deno.readTextFileSync(new URL("README.md", ROOT)), "## A tour");
    assert(commands.length >= 15, `The tour has only ${commands.length} commands`);
    for (const command of commands) {
      const program = missing.find((name) => command.source.startsWith(name) && !required.includes(name));
      await test.step({
        name: `line ${command.line}: ${command.source.split("\n")[0]!.slice(0, 80)}${
          program ? ` (needs ${program})` : ""
        }`,
        ignore: program !== undefined,
        fn: () => command.live ? follow(command, hub) : run(command, hub),
      });
    }
  },
});

const files = Deno.permissions.querySync({ name: "read" }).state === "granted";

Deno.test({
  name: `README: the configuration table names every setting${files ? "" : " (needs --allow-read: deno task test)"}`,
  ignore: !files,
  fn: () => {
    const section = Deno.readTextFileSync(new URL("README.md", ROOT)).split("## Configuration")[1]!.split("\n## ")[0]!;
    const rows = section.split("\n").filter((line) => line.startsWith("| `"));
    const named = rows.flatMap((row) => row.split("|")[1]!.match(/EVENTHUB_\w+/g) ?? []);
    const settings = Object.keys(describeConfig(loadConfig({}, { isTerminal: false })));
    const onlyOff = ["EVENTHUB_AUTH", "EVENTHUB_RATE_LIMIT"];
    assertEquals(named.sort(), settings.filter((name) => !onlyOff.includes(name)).sort());
  },
});

Deno.test({
  name: `docs: every link to a file of the project leads somewhere${
    files ? "" : " (needs --allow-read: deno task test)"
  }`,
  ignore: !files,
  fn: () => {
    const broken: string[] = [];
    for (const page of PAGES) {
      const text = Deno.readTextFileSync(new URL(page, ROOT));
      for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)) {
        const url = new URL(target!, new URL(page, ROOT));
        try {
          Deno.statSync(url);
        } catch (error) {
          if (!(error instanceof Deno.errors.NotFound)) throw error;
          broken.push(`${page}: ${target}`);
        }
      }
    }
    assertEquals(broken, []);
  },
});
