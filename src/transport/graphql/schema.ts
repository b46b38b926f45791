/** The fields of Query, Mutation and Subscription. */
import { type GraphQLSchema, printSchema } from "graphql";
import {
  AGGREGATED_METRICS_MINUTES_MAX,
  BATCH_EVENTS_MAX,
  PAGE_EVENTS_DEFAULT,
  PAGE_EVENTS_MAX,
} from "../../limits.ts";
import { builder } from "./builder.ts";
import * as handlers from "./handlers.ts";
import { EventFilter, EventInput } from "./inputs.ts";
import {
  Aggregate,
  AggregatedMetric,
  Dimension,
  EventConnection,
  EventType,
  Fill,
  PublishBatchResult,
  PublishResult,
  WindowType,
} from "./types.ts";

builder.queryType({
  description: "What is stored.",
  fields: (t) => ({
    lastEvents: t.field({
      type: [EventType],
      description: "The newest events by timestamp, newest first; an error when they take more than 3.5 MiB.",
      args: {
        limit: t.arg.int({ required: true, defaultValue: 5, description: `How many: 0–${PAGE_EVENTS_MAX}.` }),
      },
      resolve: handlers.lastEvents,
    }),
    aggregatedMetrics: t.field({
      type: AggregatedMetric,
      description: "Exact totals of the events of the last minutes by the hub's clock, of all types.",
      args: {
        minutes: t.arg.int({
          required: true,
          defaultValue: 1,
          description: `How many minutes: 1–${AGGREGATED_METRICS_MINUTES_MAX}.`,
        }),
      },
      resolve: handlers.aggregatedMetrics,
    }),
    event: t.field({
      type: EventType,
      nullable: true,
      description: "One event; null when there is none with this id.",
      args: { id: t.arg.id({ required: true, description: "The id of the event." }) },
      resolve: handlers.event,
    }),
    events: t.field({
      type: EventConnection,
      description: "Events by timestamp, newest first, in pages.",
      args: {
        first: t.arg.int({
          defaultValue: PAGE_EVENTS_DEFAULT,
          description: `Length of the page: 1–${PAGE_EVENTS_MAX}. It may be shorter.`,
        }),
        after: t.arg.string({ description: "`endCursor` of the page before, or the cursor of an edge." }),
        filter: t.arg({ type: EventFilter, description: "Which events." }),
      },
      resolve: handlers.events,
    }),
    aggregates: t.field({
      type: [Aggregate],
      description: "Totals by windows of event time; at most 10,000 rows.",
      args: {
        from: t.arg({ type: "DateTime", description: "Start of the range, floored to a window; default an hour ago." }),
        to: t.arg({ type: "DateTime", description: "End of the range, ceiled to a window; default now." }),
        window: t.arg({ type: WindowType, defaultValue: "1m", description: "Length of the windows." }),
        groupBy: t.arg({ type: [Dimension], description: "What to split windows by." }),
        eventType: t.arg.stringList({ description: "Only events of these types." }),
        fill: t.arg({ type: Fill, defaultValue: "none", description: "What happens to windows without events." }),
        tz: t.arg.string({ description: "IANA time zone of windows of a day; default UTC." }),
        percentiles: t.arg.boolean({ defaultValue: false, description: "Whether to compute `p50`, `p95` and `p99`." }),
      },
      resolve: handlers.aggregates,
    }),
    streamHead: t.string({
      description: "The live cursor of now. Take it first, then list, then subscribe with it as `after`: no gap.",
      resolve: handlers.streamHead,
    }),
  }),
});

builder.mutationType({
  description: "What can be changed. By POST with application/json only.",
  fields: (t) => ({
    publishEvent: t.field({
      type: PublishResult,
      description: "Stores an event durably before it answers. Errors tell all faulty fields in `extensions.errors`.",
      args: { input: t.arg({ type: EventInput, required: true, description: "The event." }) },
      resolve: handlers.publishEvent,
    }),
    publishEvents: t.field({
      type: PublishBatchResult,
      description: `Stores up to ${BATCH_EVENTS_MAX} events, each with a result of its own.`,
      args: { inputs: t.arg({ type: [EventInput], required: true, description: "The events." }) },
      resolve: handlers.publishEvents,
    }),
  }),
});

builder.subscriptionType({
  description: "What happens now, over server-sent events or a WebSocket.",
  fields: (t) => ({
    eventStream: t.field({
      type: EventType,
      description:
        "Every event in the order it was stored. When the position is lost it ends with code `CURSOR_RESET`, " +
        "when it is cut with `SLOW_CONSUMER` or `UNAVAILABLE`: subscribe again with `extensions.cursor`.",
      args: {
        after: t.arg.string({
          description: "`latest` (the default), `earliest`, a cursor, or a time of receipt (RFC 3339).",
        }),
        filter: t.arg({ type: EventFilter, description: "Which events." }),
      },
      subscribe: handlers.subscribeEvents,
      resolve: (event) => event,
    }),
    aggregateStream: t.field({
      type: Aggregate,
      description:
        "The rows of the last two windows, then a row whenever a window changes (at most once a second) or " +
        "closes.",
      args: {
        window: t.arg({ type: WindowType, defaultValue: "1m", description: "Length of the windows." }),
        groupBy: t.arg({ type: [Dimension], description: "What to split windows by." }),
        eventType: t.arg.stringList({ description: "Only events of these types." }),
      },
      subscribe: handlers.subscribeAggregates,
      resolve: (row) => row,
    }),
  }),
});

/** The executable schema. */
export const schema: GraphQLSchema = builder.toSchema({ sortSchema: false });

/** The schema as text; `schema.graphql` is its committed copy. */
export const sdl: string = printSchema(schema) + "\n";
