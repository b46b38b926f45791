/** What the hub gives, as the JSON of the REST contract. Written by hand: it is made for every event of every list. */
import { formatAmount, formatAverage } from "../../amount.ts";
import type { DeadLetter } from "../../dead_letters.ts";
import type { Event } from "../../event.ts";
import type { Aggregates, WindowRow } from "../../hub.ts";
import type { RecountReport, Total } from "../../storage.ts";
import { formatTimestamp } from "../../timestamp.ts";
import type { WindowSize } from "../../window.ts";

/** An event as JSON text. Ids and types hold no character that JSON escapes, and properties are JSON already. */
export function eventJson(event: Event): string {
  return `{"id":"${event.id}","user_id":${JSON.stringify(event.userId)},"event_type":"${event.eventType}",` +
    `"amount":${formatAmount(event.amount)},"timestamp":"${formatTimestamp(event.timestamp)}",` +
    `"properties":${event.properties ?? "{}"}}`;
}

/** A page of events as JSON text. */
export function eventsJson(events: readonly Event[], nextCursor: string | null): string {
  return `{"events":[${events.map(eventJson).join(",")}],"next_cursor":${JSON.stringify(nextCursor)}}`;
}

/** A dead letter; its payload is an event, or a text where the message was none. */
export function deadLetterJson({ id, failedAt, code, detail, errors, payload }: DeadLetter) {
  return { id, failed_at: formatTimestamp(failedAt), code, detail, errors, payload: JSON.parse(payload) as unknown };
}

/** A row of windows as the contract has it; amounts are decimal text. */
export interface RowJson {
  readonly start: string;
  readonly end: string;
  readonly event_type?: string;
  readonly count: number;
  readonly total: string;
  readonly net: string;
  readonly min: string | null;
  readonly max: string | null;
  readonly avg: string | null;
  readonly p50?: string | null;
  readonly p95?: string | null;
  readonly p99?: string | null;
  readonly revision: number;
  readonly closed: boolean;
}

/** A row of windows; `percentiles` says whether they were asked for. */
export function rowJson(row: WindowRow, options: { percentiles: boolean }): RowJson {
  const { percentiles } = row;
  return {
    start: formatTimestamp(row.start),
    end: formatTimestamp(row.end),
    ...(row.eventType === null ? {} : { event_type: row.eventType }),
    count: row.count,
    total: formatAmount(row.total),
    net: formatAmount(row.net),
    min: decimal(row.min),
    max: decimal(row.max),
    avg: row.average === null ? null : formatAverage(row.average),
    ...(options.percentiles
      ? {
        p50: decimal(percentiles?.p50 ?? null),
        p95: decimal(percentiles?.p95 ?? null),
        p99: decimal(percentiles?.p99 ?? null),
      }
      : {}),
    revision: row.count,
    closed: row.closed,
  };
}

/** The answer of `GET /aggregates`. */
export function aggregatesJson(
  aggregates: Aggregates,
  options: { window: WindowSize; percentiles: boolean },
): { from: string; to: string; window: WindowSize; rows: RowJson[] } {
  return {
    from: formatTimestamp(aggregates.from),
    to: formatTimestamp(aggregates.to),
    window: options.window,
    rows: aggregates.rows.map((row) => rowJson(row, options)),
  };
}

/** The answer of a recount. */
export function recountJson(report: RecountReport) {
  return {
    events: report.events,
    cells: report.cells,
    differing: report.differing,
    differences: report.differences.map((difference) => ({
      start: formatTimestamp(difference.start),
      span: difference.span,
      event_type: difference.eventType,
      stored: totalJson(difference.stored),
      counted: totalJson(difference.counted),
    })),
    frozen_minutes: report.frozenMinutes,
  };
}

function totalJson(total: Total | null): { count: number; total: string } | null {
  return total === null ? null : { count: total.count, total: formatAmount(total.sum) };
}

function decimal(units: number | null): string | null {
  return units === null ? null : formatAmount(units);
}
