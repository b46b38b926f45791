/** Windows and exact counts, from the cells and, where a minute is cut, from the events. */
import type { Collection, Filter } from "mongodb";
import { HubError } from "../errors.ts";
import { AGGREGATE_CELLS_MAX, MONGODB_READ_MS, MONGODB_REPLY_DOCUMENTS } from "../limits.ts";
import { type AggregateQuery, type AggregateRow, spansOf, Summary } from "../rollup.ts";
import type { EventRange, Total } from "../storage.ts";
import { HOUR_MS, hourOf, MINUTE_MS, minuteOf } from "../window.ts";
import { type CellsDocument, readCells } from "./mongodb_cells.ts";
import type { Collections } from "./mongodb_connection.ts";
import { AMOUNT_MAX, type EventDocument, fromDecimal, hourKey, minuteKey, toDecimal } from "./mongodb_documents.ts";

type SpanName = "minute" | "hour";

/** The first time that has five digits in its year, and so no place among the keys. */
const TIME_END = Date.UTC(10_000, 0);

/** The rows of a query. Cells are folded into the rows as they come, so that a long range does not fill the memory. */
export async function aggregate(
  { rollups }: Pick<Collections, "rollups">,
  query: AggregateQuery,
): Promise<readonly AggregateRow[]> {
  const { tenant, percentiles } = query;
  const summary = new Summary(query);
  const projection = percentiles ? {} : { "cells.histogram": 0 };
  let cells = 0;
  for (const { span, start: from, end: to } of spansOf(query)) {
    const found = rollups.find(spansIn(span, { tenant, from, to }), { projection, maxTimeMS: MONGODB_READ_MS })
      .sort({ _id: 1 }).batchSize(MONGODB_REPLY_DOCUMENTS);
    for await (const document of found) {
      const { byType } = readCells(document);
      cells += byType.size;
      if (cells > AGGREGATE_CELLS_MAX) throw tooManyCells();
      const start = document.start.getTime();
      for (const [eventType, cell] of byType) {
        summary.add({ start, eventType, ...cell, histogram: percentiles ? cell.histogram : null });
      }
    }
  }
  return summary.rows();
}

function tooManyCells(): HubError {
  return new HubError(
    "range_too_large",
    `The answer would be made of more than ${AGGREGATE_CELLS_MAX} cells: ask for a shorter range or larger windows`,
  );
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

async function countCells(
  rollups: Collection<CellsDocument>,
  { span, tenant, from, to }: EventRange & { span: SpanName },
): Promise<Total> {
  let [count, sum] = [0, 0n];
  if (from >= to) return { count, sum };
  const found = rollups.find(spansIn(span, { tenant, from, to }), {
    projection: { "cells.histogram": 0 },
    maxTimeMS: MONGODB_READ_MS,
  })
    .batchSize(MONGODB_REPLY_DOCUMENTS);
  for await (const document of found) {
    for (const cell of readCells(document).byType.values()) {
      count += cell.count;
      sum += cell.sum;
    }
  }
  return { count, sum };
}

/** What a recount takes, as {@link countableOf} says it, that is settled. */
const COUNTABLE: Filter<EventDocument> = {
  arrival: { $type: "objectId" },
  pend: { $exists: false },
  event_type: { $type: "string" },
  amount: { $type: "decimal", $gte: toDecimal(BigInt(-AMOUNT_MAX)), $lte: toDecimal(BigInt(AMOUNT_MAX)) },
};

/** A part of one minute. Decimal128 adds exactly up to 34 digits, which no sum of events reaches. */
async function countEvents(events: Collection<EventDocument>, { tenant, from, to }: EventRange): Promise<Total> {
  if (from >= to) return { count: 0, sum: 0n };
  const [total] = await events.aggregate<{ count: number | bigint; sum: unknown }>([
    { $match: { tenant, timestamp: { $gte: new Date(from), $lt: new Date(to) }, ...COUNTABLE } },
    { $group: { _id: null, count: { $sum: 1 }, sum: { $sum: "$amount" } } },
  ], { maxTimeMS: MONGODB_READ_MS }).toArray();
  if (total === undefined) return { count: 0, sum: 0n };
  const sum = fromDecimal(total.sum);
  if (sum === null) {
    throw new Error(`Cannot add up the events of ${tenant} from ${new Date(from).toISOString()}: an amount is damaged`);
  }
  return { count: Number(total.count), sum };
}
