/** `dead-letters`: inbound messages that could not be taken: listed, shown, taken after all, deleted. */
import { Command } from "commander";
import { EVENT_BODY_BYTES_MAX, PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX } from "../limits.ts";
import { Client } from "./client.ts";
import type { DeadLetterAnswer, DeadLettersAnswer } from "./contract.ts";
import { letterPath, type OutputOptions, redrive, type RedriveOptions, remove } from "./dead_letters_redrive.ts";
import { Incomplete } from "./failure.ts";
import { duration, outputOption, urlOption, whole } from "./options.ts";
import { type Column, formatTable } from "./table.ts";
import { note, onInterrupt, print, shown } from "./terminal.ts";

interface ListOptions extends OutputOptions {
  readonly limit: number;
  readonly cursor?: string;
}

const COLUMNS: readonly Column[] = [
  { heading: "FAILED AT" },
  { heading: "CODE" },
  { heading: "ID" },
  { heading: "REASON" },
];

const EXAMPLES = `
Examples:
  deno task cli dead-letters
  deno task cli dead-letters show in:3f0c:1752580800000-0
  deno task cli dead-letters redrive --all
  deno task cli dead-letters redrive in:3f0c:1752580800000-0 --file - < corrected.json
  deno task cli dead-letters delete in:3f0c:1752580800000-0`;

/** The command with its subcommands; without one it lists. */
export function deadLettersCommand(): Command {
  return new Command("dead-letters")
    .description("inbound messages that could not be taken: list, show, redrive, delete")
    .addHelpText("after", EXAMPLES)
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(
      new Command("show")
        .description("show one, with every fault and what was sent")
        .argument("<id>", "as the list shows it")
        .addOption(outputOption("table", "json"))
        .addOption(urlOption())
        .action(show),
    )
    .addCommand(redriveCommand())
    .addCommand(
      new Command("delete")
        .description("delete them; their events are not taken")
        .argument("<ids...>", "as the list shows them")
        .addOption(outputOption("table", "json"))
        .addOption(urlOption())
        .action(remove),
    );
}

function listCommand(): Command {
  return new Command("list")
    .description("list them, newest first")
    .option("--limit <letters>", "at most so many", whole(1, 1_000_000_000), PAGE_EVENTS_DEFAULT)
    .option("--cursor <cursor>", "go on where an earlier list ended")
    .addOption(outputOption("table", "json"))
    .addOption(urlOption())
    .addHelpText("after", "\nJSON output is one dead letter a line.")
    .action(list);
}

function redriveCommand(): Command {
  return new Command("redrive")
    .description("have their events taken after all; each is deleted when its event is stored")
    .argument("[ids...]", "as the list shows them")
    .option("--all", "all that are there", false)
    .option(
      "--file <path>",
      `one id: the corrected event as JSON, at most ${EVENT_BODY_BYTES_MAX} bytes; - is standard input`,
    )
    .option("--retry-for <duration>", "how long to repeat a request that may succeed later", duration, 30_000)
    .addOption(outputOption("table", "json"))
    .addOption(urlOption())
    .addHelpText(
      "after",
      "\nA corrected event keeps the id it had and may leave it out. What cannot be taken stays; repeating is harmless.",
    )
    .action((ids: readonly string[], options: RedriveOptions) => redrive(ids, options));
}

async function list(options: ListOptions): Promise<void> {
  using interrupted = onInterrupt();
  const client = new Client(options.url);
  let left = options.limit;
  let cursor: string | null = options.cursor ?? null;
  for (let first = true; first || (cursor !== null && left > 0); first = false) {
    if (interrupted.aborted) throw new Incomplete(`Stopped. Go on with: --cursor ${cursor}`);
    const query = { limit: String(Math.min(left, PAGE_EVENTS_MAX)), cursor: cursor ?? undefined };
    const page: DeadLettersAnswer = await client.json<DeadLettersAnswer>("/dead-letters", { query });
    print(options.output === "json" ? page.dead_letters.map(line).join("") : table(page.dead_letters, first));
    left -= page.dead_letters.length;
    cursor = page.next_cursor;
  }
  if (cursor !== null) note(`There is more: a larger --limit, or go on with --cursor ${cursor}`);
}

function line(letter: DeadLetterAnswer): string {
  return JSON.stringify(letter) + "\n";
}

function table(letters: readonly DeadLetterAnswer[], withHeading: boolean): string {
  const text = formatTable(COLUMNS, letters.map(({ failed_at, code, id, detail }) => [failed_at, code, id, detail]));
  return withHeading ? text : text.slice(text.indexOf("\n") + 1);
}

async function show(id: string, { url, output }: OutputOptions): Promise<void> {
  const letter = await new Client(url).json<DeadLetterAnswer>(letterPath(id));
  if (output === "json") return print(JSON.stringify(letter, null, 2) + "\n");
  const { failed_at, code, detail, errors, payload } = letter;
  const lines = [`id         ${letter.id}`, `failed at  ${failed_at}`, `code       ${code}`, `reason     ${detail}`];
  for (const { pointer, parameter, detail } of errors) {
    lines.push(`  ${pointer || parameter || "the event"}: ${detail}`);
  }
  const sent = typeof payload === "string" ? [payload] : JSON.stringify(payload, null, 2).split("\n");
  print([...lines, "", ...sent].map((each) => shown(each) + "\n").join(""));
}
