/** `rollups`: whether the metrics equal a recount of the events, and making them so. */
import { Command } from "commander";
import { Client } from "./client.ts";
import type { RecountAnswer } from "./contract.ts";
import { Incomplete } from "./failure.ts";
import { range } from "./metrics.ts";
import { duration, outputOption, urlOption } from "./options.ts";
import { type Column, formatTable } from "./table.ts";
import { note, print } from "./terminal.ts";

interface RollupsOptions {
  readonly url: string;
  readonly output: "table" | "json";
  readonly from?: string;
  readonly to?: string;
  readonly last?: number;
}

const COLUMNS: readonly Column[] = [
  { heading: "START" },
  { heading: "SPAN" },
  { heading: "TYPE" },
  { heading: "STORED", right: true },
  { heading: "COUNTED", right: true },
];

const EXAMPLES = `
The range is one of event time and is widened to whole hours; without one it is everything.

Examples:
  deno task cli rollups verify
  deno task cli rollups verify --last 24h
  deno task cli rollups rebuild --from 2026-07-15T00:00:00Z --to 2026-07-16T00:00:00Z`;

/** The command with its two subcommands. */
export function rollupsCommand(): Command {
  return new Command("rollups")
    .description("recount the events and compare the metrics with it")
    .addCommand(subcommand("verify", "recount and compare; exit code 1 when something differs"))
    .addCommand(subcommand("rebuild", "recount and replace what differs"));
}

function subcommand(name: "verify" | "rebuild", description: string): Command {
  return new Command(name)
    .description(description)
    .option("--from <time>", "begin of the range (RFC 3339)")
    .option("--to <time>", "end of the range (RFC 3339)")
    .option("--last <duration>", "length of the range, when only one end or none is given", duration)
    .addOption(outputOption("table", "json"))
    .addOption(urlOption())
    .addHelpText("after", EXAMPLES)
    .action((options: RollupsOptions) => recount(name, options));
}

async function recount(name: "verify" | "rebuild", options: RollupsOptions): Promise<void> {
  const report = await new Client(options.url).json<RecountAnswer>(`/admin/rollups/${name}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(range(options)),
    // A recount of a long range takes as long as it takes.
    timeoutMs: null,
  });
  if (options.output === "json") print(JSON.stringify(report, null, 2) + "\n");
  else tell(report);
  if (name === "verify" && report.differing > 0) throw new Incomplete();
}

function tell(report: RecountAnswer): void {
  const number = (value: number) => value.toLocaleString("en");
  print(
    `${number(report.events)} events recounted in ${number(report.cells)} cells; ${number(report.differing)} differ\n`,
  );
  if (report.differences.length > 0) {
    print(formatTable(
      COLUMNS,
      report.differences.map(({ start, span, event_type, stored, counted }) => [
        start,
        span,
        event_type,
        total(stored),
        total(counted),
      ]),
    ));
  }
  if (report.frozen_minutes > 0) {
    note(`${number(report.frozen_minutes)} minutes were left out: retention has purged events of them.`);
  }
}

function total(value: RecountAnswer["differences"][number]["stored"]): string {
  return value === null ? "–" : `${value.count} / ${value.total}`;
}
