/** Windows and exact counts, from the cells and, where a minute is cut, from the events. */
import type { Collection, Filter } from "mongodb";
import { AGGREGATE_ROWS_MAX, MONGODB_REPLY_DOCUMENTS } from "../limits.ts";
import { type AggregateQuery, type AggregateRow, type KeyedCell, spanFor, summarise } from "../rollup.ts";
import type { EventRange, Total } from "../storage.ts";
import { HOUR_MS, hourOf, MINUTE_MS, minuteOf, type Window, windowOf } from "../window.ts";
import { Cells, type CellsDocument, readCells } from "./mongodb_cells.ts";
import type { Collections } from "./mongodb_connection.ts";
import { type EventDocument, fromDecimal, hourKey, minuteKey } from "./mongodb_documents.ts";

type SpanName = "minute" | "hour";

/** The first time that has five digits in its year, and so no place among the keys. */
const TIME_END = Date.UTC(10_000, 0);

/** The rows of a query. Cells are merged into windows as they come, so that a long range does not fill the memory. */
export async function aggregate(
  { rollups }: Pick<Collections, "rollups">,
  query: AggregateQuery,
): Promise<readonly AggregateRow[]> {
  const { tenant, from, to, eventTypes } = query;
  const wanted = eventTypes === null ? null : new Set(eventTypes);
  const windows = new Map<number, Cells>();
  let window: Window = { start: 0, end: 0 };
  const found = rollups.find(spansIn(spanFor(query), { tenant, from, to }), {
    projection: query.percentiles ? {} : { "cells.histogram": 0 },
  }).sort({ _id: 1 }).batchSize(MONGODB_REPLY_DOCUMENTS);
  for await (const document of found) {
    const start = document.start.getTime();
    if (start < window.start || start >= window.end) window = windowOf(start, query.window, query.zone);
    let cells = windows.get(window.start);
    if (cells === undefined) {
      // More than these are refused in any case, and told so below.
      if (windows.size > AGGREGATE_ROWS_MAX) break;
      windows.set(window.start, cells = new Cells());
    }
    for (const [eventType, cell] of readCells(document).byType) {
      if (wanted === null || wanted.has(eventType)) cells.mergeType(eventType, cell);
    }
  }
  return summarise(keyed(windows, query), query);
}

/** Exact count and sum of a range of milliseconds, of the events that are settled. */
export async function count(collections: Collections, { tenant, from, to }: EventRange): Promise<Total> {
  if (from >= to) return { count: 0, sum: 0n };
  const events = (from: number, to: number) => countEvents(collections.events, { tenant, from, to });
  const firstMinute = Math.ceil(from / MINUTE_MS) * MINUTE_MS;
  const lastMinute = minuteOf(to);
  if (firstMinute > lastMinute) return await events(from, to);
  const cells = (span: SpanName, from: number, to: number) =>
    countCells(collections.rollups, { span, tenant, from, to });
  const firstHour = Math.min(Math.ceil(firstMinute / HOUR_MS) * HOUR_MS, lastMinute);
  const lastHour = Math.max(hourOf(lastMinute), firstHour);
  const parts = await Promise.all([
    events(from, firstMinute),
    cells("minute", firstMinute, firstHour),
    cells("hour", firstHour, lastHour),
    cells("minute", lastHour, lastMinute),
    events(lastMinute, to),
  ]);
  return parts.reduce((total, part) => ({ count: total.count + part.count, sum: total.sum + part.sum }));
}

/** The filter of the minutes or hours that start in a half-open range: their keys sort as their times do. */
export function spansIn(span: SpanName, { tenant, from, to }: EventRange): Filter<CellsDocument> {
  const keyOf = span === "hour" ? hourKey : minuteKey;
  const start = keyOf(tenant, Math.min(Math.max(from, 0), TIME_END - 1));
  const end = to >= TIME_END ? `${tenant}:${span};` : keyOf(tenant, Math.max(to, 0));
  return { _id: { $gte: start, $lt: end } };
}

/** As cells of the whole window, so that each is folded into the right row. */
function* keyed(windows: ReadonlyMap<number, Cells>, query: AggregateQuery): Generator<KeyedCell> {
  for (const [start, cells] of windows) {
    for (const [eventType, cell] of cells.byType) {
      const histogram = query.percentiles ? cell.histogram : null;
      yield { start: Math.max(start, query.from), eventType, ...cell, histogram };
    }
  }
}

async function countCells(
  rollups: Collection<CellsDocument>,
  { span, tenant, from, to }: EventRange & { span: SpanName },
): Promise<Total> {
  let [count, sum] = [0, 0n];
  if (from >= to) return { count, sum };
  const found = rollups.find(spansIn(span, { tenant, from, to }), { projection: { "cells.histogram": 0 } })
    .batchSize(MONGODB_REPLY_DOCUMENTS);
  for await (const document of found) {
    for (const cell of readCells(document).byType.values()) {
      count += cell.count;
      sum += cell.sum;
    }
  }
  return { count, sum };
}

/** A part of one minute. Decimal128 adds exactly up to 34 digits, which no sum of events reaches. */
async function countEvents(events: Collection<EventDocument>, { tenant, from, to }: EventRange): Promise<Total> {
  if (from >= to) return { count: 0, sum: 0n };
  const [total] = await events.aggregate<{ count: number | bigint; sum: unknown }>([
    {
      $match: {
        tenant,
        timestamp: { $gte: new Date(from), $lt: new Date(to) },
        arrival: { $exists: true },
        pend: { $exists: false },
      },
    },
    { $group: { _id: null, count: { $sum: 1 }, sum: { $sum: "$amount" } } },
  ]).toArray();
  return total === undefined
    ? { count: 0, sum: 0n }
    : { count: Number(total.count), sum: fromDecimal(total.sum) ?? 0n };
}
