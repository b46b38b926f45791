/** What a store must answer, computed in the plainest way from the events alone. */
import type { Event } from "../../../src/event.ts";
import type { AggregateQuery, AggregateRow } from "../../../src/rollup.ts";
import type { EventFilter, EventPage, EventRange, EventStore, PageRequest, Total } from "../../../src/storage.ts";
import { HOUR, MINUTE, TENANT } from "./events.ts";

/** A query for all events of a range by minutes; a case gives what it is about. */
export function query(given: Partial<AggregateQuery> & { from: number; to: number }): AggregateQuery {
  return {
    tenant: TENANT,
    window: "1m",
    groupByType: false,
    eventTypes: null,
    fill: false,
    zone: "UTC",
    percentiles: false,
    ...given,
  };
}

/** The events of a filter in the order of a list; `stored` is in the order of arrival. */
export function listed(stored: readonly Event[], filter: EventFilter, order: "asc" | "desc"): Event[] {
  const found = stored.filter((event) =>
    event.tenant === filter.tenant && (filter.userId === undefined || event.userId === filter.userId) &&
    (filter.eventTypes === undefined || filter.eventTypes.includes(event.eventType)) &&
    event.timestamp >= (filter.from ?? -Infinity) && event.timestamp < (filter.to ?? Infinity)
  );
  found.sort((a, b) => a.timestamp - b.timestamp);
  return order === "asc" ? found : found.reverse();
}

/** All pages of a list. */
export async function listAll(
  store: Pick<EventStore, "list">,
  filter: EventFilter,
  page: Omit<PageRequest, "after">,
): Promise<Event[]> {
  const all: Event[] = [];
  let after: EventPage["next"] = null;
  do {
    const { events, next }: EventPage = await store.list(filter, after === null ? page : { ...page, after });
    if (events.length > page.limit) throw new Error(`A page of ${events.length} events, asked for ${page.limit}`);
    all.push(...events);
    after = next;
  } while (after !== null);
  return all;
}

/** Count and sum of a range. */
export function totalOf(stored: readonly Event[], range: EventRange): Total {
  const found = listed(stored, range, "asc");
  return { count: found.length, sum: found.reduce((sum, event) => sum + BigInt(event.amount), 0n) };
}

/** The rows of a query for windows that are a fixed number of minutes; without percentiles. */
export function rowsOf(stored: readonly Event[], query: AggregateQuery): AggregateRow[] {
  const length = { "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "1h": HOUR, "1d": 24 * HOUR }[query.window];
  const { tenant, from, to } = query;
  const found = listed(stored, { tenant, from, to, eventTypes: query.eventTypes ?? undefined }, "asc");
  const types = query.groupByType ? [...new Set(found.map((event) => event.eventType))].sort() : [null];
  const rows: AggregateRow[] = [];
  for (let start = Math.floor(from / length) * length; start < to; start += length) {
    const inWindow = found.filter((event) => event.timestamp >= start && event.timestamp < start + length);
    for (const type of types) {
      const ofType = inWindow.filter((event) => type === null || event.eventType === type);
      if (ofType.length > 0 || query.fill) rows.push(rowOf(ofType, { start, end: start + length, eventType: type }));
    }
  }
  return rows;
}

/** The row of these events. */
export function rowOf(
  inRow: readonly Event[],
  window: { start: number; end: number; eventType: string | null },
): AggregateRow {
  const amounts = inRow.map((event) => event.amount);
  const total = amounts.reduce((sum, amount) => sum + BigInt(amount), 0n);
  const net = inRow.reduce((sum, { eventType, amount }) => sum + signOf(eventType) * BigInt(amount), 0n);
  const count = inRow.length;
  const { start, end, eventType } = window;
  const none = count === 0;
  return {
    start,
    end,
    eventType,
    count,
    total,
    net,
    min: none ? null : amounts.reduce((a, b) => Math.min(a, b)),
    max: none ? null : amounts.reduce((a, b) => Math.max(a, b)),
    average: none ? null : halfEven(total, BigInt(count)),
    percentiles: null,
  };
}

function signOf(eventType: string): bigint {
  return eventType === "purchase" ? 1n : eventType === "return" || eventType === "refund" ? -1n : 0n;
}

/** `sum / count`, a tie going to the even neighbour. */
function halfEven(sum: bigint, count: bigint): bigint {
  // The quotient of BigInt is cut towards zero; the floor is taken first, so that only one direction is left.
  const floor = sum / count - (sum % count < 0n ? 1n : 0n);
  const twice = 2n * (sum - floor * count);
  if (twice < count) return floor;
  if (twice > count) return floor + 1n;
  return floor % 2n === 0n ? floor : floor + 1n;
}
