/** `events`: lists what is stored. */
import { Command, Option } from "commander";
import { PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX } from "../limits.ts";
import { Client, type Query } from "./client.ts";
import type { EventAnswer, EventsAnswer } from "./contract.ts";
import { Incomplete } from "./failure.ts";
import { outputOption, repeated, urlOption, whole } from "./options.ts";
import { Progress } from "./progress.ts";
import { type Column, formatTable } from "./table.ts";
import { note, onInterrupt, print } from "./terminal.ts";

interface EventsOptions {
  readonly url: string;
  readonly output: "table" | "json" | "csv";
  readonly user?: string;
  readonly type?: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly order: "asc" | "desc";
  readonly limit: number;
  readonly all: boolean;
  readonly cursor?: string;
}

/** One page in the form it is printed in, and where the next one begins. */
interface Page {
  readonly text: string;
  readonly count: number;
  readonly next: string | null;
}

const COLUMNS: readonly Column[] = [
  { heading: "TIMESTAMP" },
  { heading: "TYPE" },
  { heading: "AMOUNT", right: true },
  { heading: "USER" },
  { heading: "ID" },
  { heading: "PROPERTIES" },
];

const EXAMPLES = `
JSON output is one event a line.

Examples:
  deno task cli events
  deno task cli events --user alice --type purchase --limit 10
  deno task cli events --from 2026-07-01T00:00:00Z --to 2026-08-01T00:00:00Z --all -o csv > july.csv`;

/** The command. */
export function eventsCommand(): Command {
  return new Command("events")
    .description("list stored events")
    .option("--user <id>", "only events of this user")
    .option("--type <type>", "only events of this type, repeatable", repeated)
    .option("--from <time>", "only events at this time or later (RFC 3339)")
    .option("--to <time>", "only events before this time (RFC 3339)")
    .addOption(
      new Option("--order <order>", "by timestamp, newest or oldest first").choices(["desc", "asc"]).default("desc"),
    )
    .option("--limit <events>", "at most so many", whole(1, 1_000_000_000), PAGE_EVENTS_DEFAULT)
    .option("--all", "all of them, whatever the limit", false)
    .option("--cursor <cursor>", "go on where an earlier list ended")
    .addOption(outputOption("table", "json", "csv"))
    .addOption(urlOption())
    .addHelpText("after", EXAMPLES)
    .action(list);
}

async function list(options: EventsOptions): Promise<void> {
  using interrupted = onInterrupt();
  using progress = new Progress(null);
  const client = new Client(options.url);
  const { user, type, from, to, order } = options;
  const filter = { user_id: user, event_type: type, from, to, order };
  let left = options.all ? Infinity : options.limit;
  let cursor: string | null = options.cursor ?? null;
  let listed = 0;
  for (let first = true; first || (cursor !== null && left > 0); first = false) {
    if (interrupted.aborted) throw new Incomplete(`Stopped. Go on with: --cursor ${cursor}`);
    const limit = String(Math.min(left, PAGE_EVENTS_MAX));
    const query: Query = { ...filter, limit, cursor: cursor ?? undefined };
    const page: Page = options.output === "csv"
      ? await csvPage(client, { query, first })
      : await jsonPage(client, { query, first, output: options.output });
    progress.clear();
    print(page.text);
    left -= page.count;
    listed += page.count;
    cursor = page.next;
    if (!Deno.stdout.isTerminal()) progress.show(listed);
  }
  progress.clear();
  if (cursor !== null) note(`There is more: --all, or go on with --cursor ${cursor}`);
}

async function jsonPage(
  client: Client,
  { query, first, output }: { query: Query; first: boolean; output: "table" | "json" },
): Promise<Page> {
  const { events, next_cursor: next } = await client.json<EventsAnswer>("/events", { query });
  if (output === "json") return { text: events.map((event) => JSON.stringify(event) + "\n").join(""), ...end() };
  const table = formatTable(COLUMNS, events.map(row));
  return { text: first ? table : table.slice(table.indexOf("\n") + 1), ...end() };

  function end() {
    return { count: events.length, next };
  }
}

function row({ timestamp, event_type, amount, user_id, id, properties }: EventAnswer): string[] {
  const extra = Object.keys(properties ?? {}).length > 0 ? JSON.stringify(properties) : "";
  return [timestamp, event_type, String(amount), user_id, id, extra];
}

/** The hub writes the CSV; of the pages behind the first the heading is left out. */
async function csvPage(client: Client, { query, first }: { query: Query; first: boolean }): Promise<Page> {
  const response = await client.ok("/events", { query, headers: { accept: "text/csv" } });
  const text = await response.text();
  const headingEnd = text.indexOf("\n") + 1;
  const rows = text.slice(headingEnd);
  return { text: first ? text : rows, count: countRecords(rows), next: nextCursor(response.headers.get("link")) };
}

/** Records of CSV: a line feed within quotes belongs to its field. */
function countRecords(text: string): number {
  let records = 0;
  let quoted = false;
  for (const character of text) {
    if (character === '"') quoted = !quoted;
    if (character === "\n" && !quoted) records++;
  }
  return text === "" || text.endsWith("\n") ? records : records + 1;
}

function nextCursor(link: string | null): string | null {
  const target = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link ?? "")?.[1];
  return target === undefined ? null : new URL(target, "http://hub").searchParams.get("cursor");
}
