/** Resolvers of the root fields: decode → one call of the hub → encode. */
import { HubError } from "../../errors.ts";
import type { Published, WindowRow } from "../../hub.ts";
import { PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX } from "../../limits.ts";
import type { Total } from "../../storage.ts";
import { isTimeZone, type WindowSize } from "../../window.ts";
import type { GraphqlContext } from "./builder.ts";
import {
  badArgument,
  type BatchView,
  type EventFields,
  type EventView,
  type FilterFields,
  TENANT,
  toBatchView,
  toEventFilter,
  toEventTypes,
  toInput,
  toLiveFilter,
  toStart,
  toTime,
  toTimeRange,
} from "./convert.ts";
import { AggregateSource, EventSource } from "./source.ts";
import type { Connection } from "./types.ts";

const SENDER = { tenant: TENANT, source: "graphql" } as const;

/** `Query.lastEvents`: none when none are asked for; an error when they are too large, as it has no pages. */
export async function lastEvents(
  _root: unknown,
  { limit }: { limit: number },
  { hub }: GraphqlContext,
): Promise<EventView[]> {
  checkCount("limit", limit, 0);
  if (limit === 0) return [];
  const { events, nextCursor } = await hub.list({ tenant: TENANT }, { limit, order: "desc" });
  if (events.length < limit && nextCursor !== null) {
    const detail =
      `the newest ${limit} events are larger than one answer may be: ask for fewer, or for pages of \`events\``;
    throw badArgument("limit", "out_of_range", detail);
  }
  return events.map((event) => ({ event, cursor: null }));
}

/** `Query.aggregatedMetrics`. */
export async function aggregatedMetrics(
  _root: unknown,
  { minutes }: { minutes: number },
  { hub }: GraphqlContext,
): Promise<Total & { minutes: number }> {
  return { ...await hub.aggregatedMetrics(TENANT, minutes), minutes };
}

/** `Query.event`. */
export async function event(
  _root: unknown,
  { id }: { id: string },
  { hub }: GraphqlContext,
): Promise<EventView | null> {
  try {
    return { event: await hub.get(TENANT, id), cursor: null };
  } catch (error) {
    if (error instanceof HubError && error.code === "not_found") return null;
    throw error;
  }
}

/** `Query.events`. */
export async function events(
  _root: unknown,
  args: { first?: number | null; after?: string | null; filter?: FilterFields | null },
  { hub, naiveZone }: GraphqlContext,
): Promise<Connection> {
  const limit = args.first ?? PAGE_EVENTS_DEFAULT;
  checkCount("first", limit, 1);
  const filter = toEventFilter(args.filter, naiveZone);
  const cursor = args.after ?? undefined;
  const page = await hub.list(filter, { limit, order: "desc", cursor });
  const edges = page.events.map((event, i) => ({ node: { event, cursor: null }, cursor: page.cursorAt(i) }));
  return {
    edges,
    hasNextPage: page.nextCursor !== null,
    hasPreviousPage: cursor !== undefined,
    startCursor: edges[0]?.cursor ?? null,
    endCursor: page.nextCursor ?? edges.at(-1)?.cursor ?? null,
  };
}

/** Arguments of `Query.aggregates`. */
interface AggregatesArguments extends WindowArguments {
  readonly from?: unknown;
  readonly to?: unknown;
  readonly fill?: "none" | "zero" | null;
  readonly tz?: string | null;
  readonly percentiles?: boolean | null;
}

/** `Query.aggregates`. */
export async function aggregates(
  _root: unknown,
  args: AggregatesArguments,
  { hub, naiveZone }: GraphqlContext,
): Promise<readonly WindowRow[]> {
  const zone = args.tz ?? "UTC";
  if (!isTimeZone(zone)) throw badArgument("tz", "invalid_value", "must be an IANA time zone name");
  const { rows } = await hub.aggregates({
    ...toWindows(args),
    from: toTime("from", args.from, naiveZone),
    to: toTime("to", args.to, naiveZone),
    fill: args.fill === "zero",
    zone,
    percentiles: args.percentiles ?? false,
  });
  return rows;
}

/** `Query.streamHead`. */
export function streamHead(_root: unknown, _args: unknown, { hub }: GraphqlContext): Promise<string> {
  return hub.streamHead(TENANT);
}

/** `Mutation.publishEvent`. */
export function publishEvent(
  _root: unknown,
  { input }: { input: EventFields },
  { hub }: GraphqlContext,
): Promise<Published> {
  return hub.publish(toInput(input), SENDER);
}

/** `Mutation.publishEvents`. */
export async function publishEvents(
  _root: unknown,
  { inputs }: { inputs: readonly EventFields[] },
  { hub }: GraphqlContext,
): Promise<BatchView> {
  return toBatchView(await hub.publishBatch(inputs.map(toInput), SENDER));
}

/** `Subscription.eventStream`: what the resolver of the field is given are its single events. */
export async function subscribeEvents(
  _root: unknown,
  args: { after?: string | null; filter?: FilterFields | null },
  { hub, naiveZone }: GraphqlContext,
): Promise<AsyncIterable<EventView>> {
  const start = toStart(args.after, naiveZone);
  const range = toTimeRange(args.filter, naiveZone);
  const subscription = await hub.subscribe({ tenant: TENANT, start, filter: toLiveFilter(args.filter) });
  return new EventSource(subscription, range);
}

/** `Subscription.aggregateStream`: what the resolver of the field is given are its single rows. */
export async function subscribeAggregates(
  _root: unknown,
  args: WindowArguments,
  { hub }: GraphqlContext,
): Promise<AsyncIterable<WindowRow>> {
  return new AggregateSource(await hub.subscribeAggregates(toWindows(args)));
}

/** Arguments that say which windows. */
interface WindowArguments {
  readonly window?: WindowSize | null;
  readonly groupBy?: readonly "eventType"[] | null;
  readonly eventType?: readonly string[] | null;
}

function toWindows(args: WindowArguments) {
  return {
    tenant: TENANT,
    window: args.window ?? "1m",
    groupByType: args.groupBy?.includes("eventType") ?? false,
    eventTypes: toEventTypes("eventType", args.eventType),
  };
}

function checkCount(parameter: string, value: number, min: number): void {
  if (value >= min && value <= PAGE_EVENTS_MAX) return;
  throw badArgument(parameter, "out_of_range", `must be a whole number from ${min} to ${PAGE_EVENTS_MAX}`);
}
