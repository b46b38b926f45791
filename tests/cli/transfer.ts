/** Stores with a history, and the command line that moves them, with the flags of `deno task transfer`. */
import { createHash } from "node:crypto";
import { assertEquals } from "@std/assert";
import type { Event } from "../../src/event.ts";
import type { EventStore } from "../../src/storage.ts";
import type { StoreTransfer } from "../../src/transfer.ts";
import { summarise } from "../../src/cli/transfer_summary.ts";
import { events, HOUR, MINUTE, NOON, ONE, store } from "../storage/conformance/events.ts";
import { openFile, temporaryFolder } from "../storage/sqlite.ts";
import { type Outcome, text } from "./process.ts";

const ROOT = new URL("../../", import.meta.url);
const TYPES = ["purchase", "refund", "return", "exchange"];
/** What was received before it is purged. */
const BORDER = NOON + 12 * HOUR;

/** A folder to work in; stores lie in `data` below it. */
export interface Folder extends AsyncDisposable {
  readonly path: string;
  /** URL of a store there. */
  store(name: string): string;
  /** Path of a file there. */
  file(name: string): string;
}

/** A new folder. */
export function workFolder(): Folder {
  const folder = temporaryFolder();
  Deno.mkdirSync(`${folder.path}/data`);
  return {
    path: folder.path,
    store: (name) => `sqlite:./data/${name}.db`,
    file: (name) => `${folder.path}/${name}`,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** Runs `deno task transfer` in a folder; `out` takes standard output into a file there, `deaf` closes it at once. */
export async function runTransfer(
  folder: Folder,
  args: readonly string[],
  { out, env = {}, task = "transfer", deaf = false }: {
    out?: string;
    env?: Record<string, string>;
    task?: string;
    deaf?: boolean;
  } = {},
): Promise<Outcome> {
  const { tasks } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  const [program, run, ...flags] = (tasks[task].command as string).split(/\s+/);
  const main = flags.pop()!;
  assertEquals([program, run, main], ["deno", "run", "src/cli/main.ts"]);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--config", new URL("deno.json", ROOT).pathname, ...flags, new URL(main, ROOT).pathname, ...args],
    cwd: folder.path,
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = deaf ? child.stdout.cancel().then(() => "") : text(child.stdout);
  const [stdout, stderr, { code }] = await Promise.all([output, text(child.stderr), child.status]);
  if (out !== undefined) Deno.writeTextFileSync(folder.file(out), stdout);
  return { code, stdout: out === undefined ? stdout : "", stderr };
}

/** Fills a SQLite file: purged events, some left in frozen minutes, late ones, tenants, erased users, long properties. */
export async function fillStore(folder: Folder, name: string, count: number): Promise<void> {
  await using open = await openFile(`${folder.path}/data/${name}.db`);
  await fill(open.store, count);
}

/** Fills a store with a history of about so many events, of which a quarter is purged; answers all. */
export async function fill(target: EventStore, count: number): Promise<Event[]> {
  const all = events(count, (i) => ({
    id: `order-${i}`,
    tenant: i % 3 === 0 ? "shop-2" : "default",
    eventType: TYPES[i % TYPES.length]!,
    amount: (i * 7_919) % 2_000_003 - 700_000 + (i % 97 === 0 ? 900_000_000 * ONE : 0),
    userId: `user-${i % 50}`,
    // Most in order, some late; the times of the first quarter come again later.
    timestamp: i % 10 === 0 ? NOON + (i * 997) % (2 * HOUR) : NOON + Math.floor(i * 10 * HOUR / count),
    timestampGiven: i % 4 !== 0,
    receivedAt: i < count / 4 ? BORDER - 1 : BORDER + i,
    source: (["rest", "graphql", "grpc", "redis", "import"] as const)[i % 5]!,
    properties: i % 5 === 0 ? null : JSON.stringify({ note: "ü\u2028\n".repeat(i % 301 === 0 ? 2_000 : i % 3), n: i }),
  }));
  for (let i = 0; i < all.length; i += 1_000) await store(target, all.slice(i, i + 1_000));
  await target.settle();
  await target.erase("default", "user-7");
  await target.purge(BORDER);
  return all;
}

/** What a test compares of two stores: totals, and fingerprints of every cell. */
export async function countsOf(transfer: StoreTransfer): Promise<unknown> {
  await transfer.begin();
  const { totals, ...cells } = await summarise(transfer);
  return { totals: [...totals.entries()], ...cells };
}

/** The same of a SQLite file. */
export async function countsOfFile(folder: Folder, name: string): Promise<unknown> {
  await using open = await openFile(`${folder.path}/data/${name}.db`);
  return await countsOf(open.transfer);
}

/** The lines of an export. */
export function linesOf(folder: Folder, name: string): string[] {
  return Deno.readTextFileSync(folder.file(name)).trimEnd().split("\n");
}

/** Writes lines as an export whose fingerprint is right, whatever they say; the last one is the end. */
export function writeSealed(folder: Folder, name: string, lines: readonly string[]): void {
  const hash = createHash("sha256");
  for (const line of lines.slice(0, -1)) hash.update(`${line}\n`);
  const end = { ...JSON.parse(lines.at(-1)!), sha256: hash.digest("hex") };
  Deno.writeTextFileSync(folder.file(name), [...lines.slice(0, -1), JSON.stringify(end)].join("\n") + "\n");
}

/** A minute that {@link fill} leaves frozen, and one that it does not. */
export const FROZEN_MINUTE = NOON + MINUTE;
