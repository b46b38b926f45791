/** `generate`: events to try things out with, sent at a steady rate. */
import { Command, InvalidArgumentError } from "commander";
import { newEventId } from "../event_id.ts";
import { CLI_BATCH_EVENTS_MAX } from "../limits.ts";
import { wait } from "../worker.ts";
import { Client } from "./client.ts";
import { Delivery, type Outgoing } from "./delivery.ts";
import { Incomplete } from "./failure.ts";
import { type GeneratedEvent, generateEvents } from "./generator.ts";
import { duration, outputOption, urlOption, whole } from "./options.ts";
import { Progress } from "./progress.ts";
import { report } from "./send.ts";
import { note, onInterrupt, print, shown } from "./terminal.ts";

/** At most so many requests a second: faster than that the events go out in batches. */
const TICK_MS = 50;
const USERS_DEFAULT = 100;
const RATE_DEFAULT = 10;

interface GenerateOptions {
  readonly url: string;
  readonly output: "table" | "json";
  readonly rate: number;
  readonly count?: number;
  readonly users: number;
  readonly seed?: number;
  readonly spread?: number;
  readonly print: boolean;
  readonly retryFor: number;
}

const EXAMPLES = `
Types are purchase, return, refund and exchange; amounts have two decimals. The same --seed gives the same users, types
and amounts in the same order. With --spread the timestamps lie evenly over the time before now (it needs --count).
Without --count it goes on until Ctrl-C.

Examples:
  deno task cli generate
  deno task cli generate --count 100000 --rate 0 --spread 24h
  deno task cli generate --count 1000 --seed 7 --print > events.ndjson`;

/** The command. */
export function generateCommand(): Command {
  return new Command("generate")
    .description("send made-up events at a steady rate")
    .option("--rate <events>", "events a second; 0 = as fast as the hub takes them", whole(0, 1_000_000), RATE_DEFAULT)
    .option("--count <events>", "stop after so many", whole(1, 1_000_000_000))
    .option("--users <number>", "how many users the events belong to", whole(1, 10_000_000), USERS_DEFAULT)
    .option("--seed <number>", "make the same events again", whole(0, 4_294_967_295))
    .option("--spread <duration>", "lay the timestamps over so long a time before now", duration)
    .option("--print", "print NDJSON without ids instead of sending (needs --count)", false)
    .option("--retry-for <duration>", "how long to repeat a request that may succeed later", duration, 30_000)
    .addOption(outputOption("table", "json"))
    .addOption(urlOption())
    .addHelpText("after", EXAMPLES)
    .action((options: GenerateOptions) => {
      const { count } = options;
      if (count === undefined && (options.print || options.spread !== undefined)) {
        throw new InvalidArgumentError("--print and --spread need --count.");
      }
      const seed = options.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!;
      const events = generateEvents({ users: options.users, seed });
      if (options.print) return printEvents(events, options);
      return sendEvents(events, options);
    });
}

function printEvents(events: Iterator<GeneratedEvent, never>, options: GenerateOptions): void {
  const stamp = stamper(options);
  for (let index = 0; index < options.count!; index++) {
    print(JSON.stringify({ ...events.next().value, ...stamp(index) }) + "\n");
  }
}

async function sendEvents(events: Iterator<GeneratedEvent, never>, options: GenerateOptions): Promise<void> {
  using interrupted = onInterrupt();
  using progress = new Progress(options.count ?? null);
  const delivery = new Delivery(new Client(options.url), {
    forMs: options.retryFor,
    signal: interrupted,
    gzip: false,
    onRefusal: ({ line, id, status, detail }) => note(shown(`event ${line} (id ${id}): ${status}: ${detail}`)),
  });
  const stamp = stamper(options);
  const count = options.count ?? Infinity;
  const began = performance.now();
  let made = 0;
  const next = (): Outgoing => {
    const id = newEventId();
    const event = { id, ...events.next().value, ...stamp(made) };
    return { line: ++made, id, text: JSON.stringify(event) };
  };
  try {
    while (made < count && !interrupted.aborted) {
      const due = dueBy({ elapsedMs: performance.now() - began, rate: options.rate, made });
      const batch = Array.from({ length: Math.min(due, CLI_BATCH_EVENTS_MAX, count - made) }, next);
      await delivery.send(batch);
      progress.show(delivery.done);
      if (due === batch.length && options.rate > 0 && made < count) await wait(TICK_MS, interrupted);
    }
  } finally {
    progress.clear();
    if (delivery.done > 0) report(delivery.tally, options.output);
  }
  if (delivery.tally.refused > 0) throw new Incomplete();
}

/** How many events should go out now to keep the rate; the first at once. */
export function dueBy({ elapsedMs, rate, made }: { elapsedMs: number; rate: number; made: number }): number {
  if (rate === 0) return CLI_BATCH_EVENTS_MAX;
  return Math.max(0, Math.floor((elapsedMs * rate) / 1_000) + 1 - made);
}

/** Timestamps by `--spread`, oldest first; none without it, so that the hub takes the time of receipt. */
function stamper({ spread, count }: GenerateOptions): (index: number) => { timestamp?: string } {
  if (spread === undefined || count === undefined) return () => ({});
  const start = Date.now() - spread;
  return (index) => ({ timestamp: new Date(start + Math.floor((spread * index) / count)).toISOString() });
}
