/** Comma-separated values (RFC 4180), with the header line that names the members of the JSON contract. */
import { formatAmount } from "../../amount.ts";
import type { Event } from "../../event.ts";
import { formatTimestamp } from "../../timestamp.ts";
import type { RowJson } from "./convert.ts";

/** The media type of an answer, with the parameters of RFC 4180. */
export const CSV_CONTENT_TYPE = "text/csv; charset=utf-8; header=present";

const NEEDS_QUOTES = /[",\r\n]/;
/** A spreadsheet takes a text that begins so for a formula (OWASP, "CSV Injection"). */
const FORMULA = /^[=+\-@\t\r]/;

/** Events, a line each; `properties` is JSON. */
export function eventsCsv(events: readonly Event[]): string {
  const lines = events.map((event) =>
    [
      text(event.id),
      text(event.userId),
      text(event.eventType),
      formatAmount(event.amount),
      formatTimestamp(event.timestamp),
      text(event.properties ?? "{}"),
    ].join(",")
  );
  return table("id,user_id,event_type,amount,timestamp,properties", lines);
}

/** Rows of windows, a line each; what a row does not have is empty. */
export function aggregatesCsv(
  rows: readonly RowJson[],
  options: { groupByType: boolean; percentiles: boolean },
): string {
  const columns: (keyof RowJson)[] = [
    "start",
    "end",
    ...(options.groupByType ? ["event_type" as const] : []),
    ...["count", "total", "net", "min", "max", "avg"] as const,
    ...(options.percentiles ? ["p50", "p95", "p99"] as const : []),
    ...["revision", "closed"] as const,
  ];
  return table(columns.join(","), rows.map((row) => columns.map((column) => row[column] ?? "").join(",")));
}

/** A field of text. One that a spreadsheet would run as a formula gets an apostrophe in front. */
function text(value: string): string {
  const safe = FORMULA.test(value) ? "'" + value : value;
  return NEEDS_QUOTES.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function table(header: string, lines: readonly string[]): string {
  return [header, ...lines, ""].join("\r\n");
}
