/** `metrics`: counts, totals and percentiles by window. */
import { Command, InvalidArgumentError, Option } from "commander";
import { Client, type Query } from "./client.ts";
import type { AggregateAnswerRow, AggregatesAnswer } from "./contract.ts";
import { duration, outputOption, repeated, urlOption } from "./options.ts";
import { type Column, formatTable } from "./table.ts";
import { note, print } from "./terminal.ts";

interface MetricsOptions {
  readonly url: string;
  readonly output: "table" | "json" | "csv";
  readonly from?: string;
  readonly to?: string;
  readonly last?: number;
  readonly window: string;
  readonly groupBy?: string;
  readonly type?: readonly string[];
  readonly fill: string;
  readonly tz?: string;
  readonly percentiles: boolean;
}

const EXAMPLES = `
The range is widened to whole windows; without one it is the last hour. A window is closed when it has ended 5 seconds
ago; a late event still changes it. net = purchases − returns − refunds.

Examples:
  deno task cli metrics
  deno task cli metrics --last 24h --window 1h --group-by event_type --percentiles
  deno task cli metrics --from 2026-07-01T00:00:00+02:00 --last 31d --window 1d --tz Europe/Berlin -o csv`;

/** The command. */
export function metricsCommand(): Command {
  return new Command("metrics")
    .description("show counts, totals and percentiles by window")
    .option("--from <time>", "begin of the range (RFC 3339)")
    .option("--to <time>", "end of the range (RFC 3339)")
    .option("--last <duration>", "length of the range, when only one end or none is given", duration)
    .addOption(new Option("--window <size>", "size of a window").choices(["1m", "5m", "15m", "1h", "1d"]).default("1m"))
    .addOption(new Option("--group-by <dimension>", "a row for each").choices(["event_type"]))
    .option("--type <type>", "only events of this type, repeatable", repeated)
    .addOption(new Option("--fill <what>", "rows of windows without events").choices(["none", "zero"]).default("none"))
    .option("--tz <zone>", "time zone of days, for example Europe/Berlin")
    .option("--percentiles", "add p50, p95 and p99 (within 1 %)", false)
    .addOption(outputOption("table", "json", "csv"))
    .addOption(urlOption())
    .addHelpText("after", EXAMPLES)
    .action(show);
}

async function show(options: MetricsOptions): Promise<void> {
  const client = new Client(options.url);
  const query: Query = {
    ...range(options),
    window: options.window,
    group_by: options.groupBy,
    event_type: options.type,
    fill: options.fill,
    tz: options.tz,
    percentiles: options.percentiles ? "true" : undefined,
  };
  if (options.output === "csv") {
    const response = await client.ok("/aggregates", { query, headers: { accept: "text/csv" } });
    return print(await response.text());
  }
  const answer = await client.json<AggregatesAnswer>("/aggregates", { query });
  if (options.output === "json") return print(JSON.stringify(answer, null, 2) + "\n");
  if (answer.rows.length > 0) print(table(answer.rows, options));
  else note(`No events from ${answer.from} to ${answer.to}.`);
}

/** The ends of the range; `--last` fills in the one that is missing. */
export function range(options: { from?: string; to?: string; last?: number }, now = Date.now()): {
  from?: string;
  to?: string;
} {
  const { from, to, last } = options;
  if (last === undefined) return { from, to };
  if (from !== undefined && to !== undefined) {
    throw new InvalidArgumentError("Give --last with --from or with --to or alone, not with both.");
  }
  if (from !== undefined) return { from, to: new Date(timeOf("--from", from) + last).toISOString() };
  const end = to === undefined ? now : timeOf("--to", to);
  return { from: new Date(end - last).toISOString(), to: new Date(end).toISOString() };
}

function timeOf(option: string, text: string): number {
  // Only the hub knows in which zone it reads a time without one.
  const time = /(?:z|[+-]\d\d:\d\d)$/i.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(time)) {
    throw new InvalidArgumentError(`${option}: with --last, expected a time with its zone: 2026-07-15T12:00:00Z.`);
  }
  return time;
}

function table(rows: readonly AggregateAnswerRow[], { groupBy, percentiles }: MetricsOptions): string {
  const columns: Column[] = [{ heading: "START" }, { heading: "END" }];
  if (groupBy) columns.push({ heading: "TYPE" });
  for (const heading of ["COUNT", "TOTAL", "NET", "MIN", "AVG", "MAX"]) columns.push({ heading, right: true });
  if (percentiles) { for (const heading of ["P50", "P95", "P99"]) columns.push({ heading, right: true }); }
  columns.push({ heading: "STATE" });
  return formatTable(
    columns,
    rows.map((row) => {
      const cells = [row.start, row.end];
      if (groupBy) cells.push(row.event_type ?? "");
      cells.push(String(row.count), row.total, row.net, row.min ?? "–", row.avg ?? "–", row.max ?? "–");
      if (percentiles) cells.push(row.p50 ?? "–", row.p95 ?? "–", row.p99 ?? "–");
      cells.push(row.closed ? "closed" : "open");
      return cells;
    }),
  );
}
