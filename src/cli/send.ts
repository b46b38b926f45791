/** `send`: one event from options or JSON, or NDJSON from standard input. */
import { Command, InvalidArgumentError } from "commander";
import { newEventId } from "../event_id.ts";
import { CLI_BATCH_BYTES_MAX, CLI_BATCH_EVENTS_MAX } from "../limits.ts";
import { Client } from "./client.ts";
import type { SentAnswer } from "./contract.ts";
import { Delivery, type Outgoing, persist, type Refusal, retryable, type Tally } from "./delivery.ts";
import { Incomplete } from "./failure.ts";
import { type InputLine, LineReader } from "./lines.ts";
import { duration, outputOption, repeated, urlOption, whole } from "./options.ts";
import { Progress } from "./progress.ts";
import { note, onInterrupt, print, shown } from "./terminal.ts";

const BATCH_LINES_DEFAULT = 500;

interface SendOptions {
  readonly url: string;
  readonly output: "table" | "json";
  readonly json?: string;
  readonly id?: string;
  readonly user?: string;
  readonly type?: string;
  readonly amount?: string;
  readonly timestamp?: string;
  readonly property?: readonly string[];
  readonly idPrefix?: string;
  readonly batch: number;
  readonly gzip: boolean;
  readonly retryFor: number;
}

const EXAMPLES = `
Every event is sent with an id, so that repeating a request stores nothing twice. Lines without an id get a new one;
with --id-prefix the id is the prefix and the number of the line, so that a whole file can be sent again as well.

Examples:
  deno task cli send --user alice --type purchase --amount 12.50
  deno task cli send --json '{"user_id":"alice","event_type":"purchase","amount":12.5}'
  deno task cli send < events.ndjson
  deno task cli send --id-prefix orders-2026-07 --gzip < orders.ndjson`;

/** The command. */
export function sendCommand(): Command {
  return new Command("send")
    .description("send one event, or NDJSON from standard input")
    .option("--user <id>", "user_id of the event")
    .option("--type <type>", "event_type of the event, for example purchase")
    .option("--amount <decimal>", "amount of the event, at most 4 fraction digits")
    .option("--timestamp <time>", "when it happened (RFC 3339); missing = now")
    .option("--property <name=text>", "a property, repeatable; for values that are no text use --json", repeated)
    .option("--id <id>", "id of the event; missing = a new one")
    .option("--json <text>", "the whole event as JSON")
    .option("--id-prefix <prefix>", "standard input: give line n the id <prefix>:<n> when it has none")
    .option(
      "--batch <lines>",
      "standard input: most lines of a request",
      whole(1, CLI_BATCH_EVENTS_MAX),
      BATCH_LINES_DEFAULT,
    )
    .option("--gzip", "standard input: compress what is sent", false)
    .option("--retry-for <duration>", "how long to repeat a request that may succeed later", duration, 30_000)
    .addOption(outputOption("table", "json"))
    .addOption(urlOption())
    .addHelpText("after", EXAMPLES)
    .action((options: SendOptions) => {
      const text = single(options);
      if (text !== null) return sendOne(text, options);
      if (Deno.stdin.isTerminal()) {
        throw new InvalidArgumentError(
          "Nothing to send: give --user, --type and --amount, or --json, or pipe NDJSON in.",
        );
      }
      return sendLines(options);
    });
}

/** The JSON of the one event the options describe; `null` when they describe none. */
function single(options: SendOptions): string | null {
  const { id, user, type, amount, timestamp, property } = options;
  const fields = [id, user, type, amount, timestamp, property].some((value) => value !== undefined);
  if (options.json !== undefined) {
    if (fields) throw new InvalidArgumentError("Give the event either as --json or by its own options, not both.");
    return options.json;
  }
  if (!fields) return null;
  const properties = property && Object.fromEntries(property.map(splitProperty));
  // The amount goes out as text, so that it stays as it was typed.
  return JSON.stringify({ id, user_id: user, event_type: type, amount, timestamp, properties });
}

function splitProperty(text: string): [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError(`Expected --property name=text, got "${text}".`);
  return [text.slice(0, at), text.slice(at + 1)];
}

async function sendOne(json: string, options: SendOptions): Promise<void> {
  const outgoing = prepare({ number: 1, text: json }, newEventId);
  if ("detail" in outgoing) throw new InvalidArgumentError(`--json: ${outgoing.detail}.`);
  using interrupted = onInterrupt();
  const client = new Client(options.url);
  let answer: SentAnswer | undefined;
  await persist(async () => {
    try {
      answer = await client.json<SentAnswer>("/events", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: outgoing.text,
      });
      return null;
    } catch (error) {
      return retryable(error, client);
    }
  }, { forMs: options.retryFor, signal: interrupted });
  if (options.output === "json") print(JSON.stringify(answer) + "\n");
  else print(`${answer!.duplicate ? "already there" : "stored"} ${shown(answer!.id)}\n`);
}

async function sendLines(options: SendOptions): Promise<void> {
  using interrupted = onInterrupt();
  using progress = new Progress(null);
  const delivery = new Delivery(new Client(options.url), {
    forMs: options.retryFor,
    signal: interrupted,
    gzip: options.gzip,
    onRefusal: (refusal) => {
      progress.clear();
      note(describeRefusal(refusal));
    },
  });
  const reader = new LineReader(Deno.stdin.readable, interrupted);
  let last = 0;
  let ended = false;
  try {
    for (;;) {
      const lines = await reader.take({ lines: options.batch, bytes: CLI_BATCH_BYTES_MAX });
      if (lines.length === 0) break;
      last = lines.at(-1)!.number;
      await delivery.send(prepareAll(lines, { options, delivery }));
      progress.show(delivery.done);
    }
    ended = true;
  } finally {
    progress.clear();
    if (ended || delivery.done > 0) report(delivery.tally, options.output);
  }
  if (interrupted.aborted) throw new Incomplete(`Stopped: nothing behind line ${last} was sent.`);
  if (delivery.tally.refused > 0) throw new Incomplete();
}

function prepareAll(lines: readonly InputLine[], context: { options: SendOptions; delivery: Delivery }): Outgoing[] {
  const { idPrefix } = context.options;
  const outgoing: Outgoing[] = [];
  for (const line of lines) {
    const prepared = prepare(line, idPrefix === undefined ? newEventId : () => `${idPrefix}:${line.number}`);
    if ("detail" in prepared) context.delivery.refuse(prepared);
    else outgoing.push(prepared);
  }
  return outgoing;
}

/**
 * A line with an id. The id is put into the text rather than into a parsed value, so that whatever the line holds
 * arrives as it was written.
 */
export function prepare(line: InputLine, newId: () => string): Outgoing | Refusal {
  const { number } = line;
  if ("fault" in line) return { line: number, id: null, status: "malformed", detail: line.fault };
  let value: unknown;
  try {
    value = JSON.parse(line.text);
  } catch (error) {
    const detail = `Not JSON: ${error instanceof Error ? error.message : error}`;
    return { line: number, id: null, status: "malformed", detail };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { line: number, id: null, text: line.text };
  }
  if ("id" in value && Object.hasOwn(value, "id")) {
    return { line: number, id: typeof value.id === "string" ? value.id : null, text: line.text };
  }
  const id = newId();
  const rest = line.text.trim().slice(1);
  const comma = Object.keys(value).length > 0 ? "," : "";
  return { line: number, id, text: `{"id":${JSON.stringify(id)}${comma}${rest}` };
}

function describeRefusal({ line, id, status, detail }: Refusal): string {
  return shown(`line ${line}${id === null ? "" : ` (id ${id})`}: ${status}: ${detail}`);
}

/** Tells what became of everything that was sent. */
export function report(tally: Tally, output: "table" | "json"): void {
  if (output === "json") return print(JSON.stringify(tally) + "\n");
  const count = (value: number) => value.toLocaleString("en");
  const { stored, duplicates, refused } = tally;
  note(`${count(stored)} stored, ${count(duplicates)} already there, ${count(refused)} not taken`);
}
