/** The hub over GraphQL, following by server-sent events or by WebSocket. */
import { assertEquals } from "@std/assert";
import { readSse } from "../soak/sse.ts";
import {
  type BatchAnswer,
  type Client,
  type FieldFault,
  type Live,
  type LiveItem,
  type Page,
  type Published,
  PulledLive,
  Refusal,
  type Row,
  type SeenEvent,
  type SentEvent,
  type Spelling,
} from "./clients.ts";
import { messagesOf } from "./clients_websocket.ts";

const EVENT = "{ id userId eventType amount amountExact timestamp properties cursor }";
const ROW = "{ start end eventType count total net min max avg p50 p95 p99 revision closed }";
const EVENT_STREAM = `subscription ($after: String, $filter: EventFilter) {
  eventStream(after: $after, filter: $filter) ${EVENT} }`;
const ROW_STREAM = `subscription ($window: Window, $groupBy: [Dimension!], $eventType: [String!]) {
  aggregateStream(window: $window, groupBy: $groupBy, eventType: $eventType) ${ROW} }`;
const WINDOWS = { "1m": "MINUTE", "5m": "FIVE_MINUTES", "15m": "QUARTER_HOUR", "1h": "HOUR", "1d": "DAY" } as const;
/** Arguments by their names in REST. */
const ARGUMENTS: Readonly<Record<string, string>> = {
  limit: "first",
  cursor: "after",
  user_id: "filter.userId",
  event_type: "filter.eventTypes",
};

/** An error of an answer. */
export interface GraphqlError {
  readonly message: string;
  readonly extensions: {
    readonly code: string;
    readonly errors?: readonly { pointer?: string; parameter?: string; code: string }[];
    readonly id?: string;
    readonly cursor?: string;
    readonly reason?: string;
    readonly mode?: string;
    readonly retryAfter?: number;
  };
}

/** A result of a query, or one message of a subscription. */
export interface Result<Data> {
  readonly data?: Data | null;
  readonly errors?: readonly GraphqlError[];
}

interface WireEvent extends SeenEvent {
  readonly amountExact: string;
  readonly cursor: string | null;
}

interface WireBatch extends Omit<BatchAnswer, "results"> {
  readonly results: { index: number; id: string | null; status: string; errors: { pointer: string; code: string }[] }[];
}

interface Connection {
  readonly edges: { node: WireEvent; cursor: string }[];
  readonly pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

const SPELLING: Spelling = {
  member: (name) => "/" + camelCase(name).replaceAll(".", "/"),
  batchMember: (name) => "/" + camelCase(name).replaceAll(".", "/"),
  parameter: (name) => ARGUMENTS[name] ?? camelCase(name),
};

function camelCase(name: string): string {
  const [first = "", ...rest] = name.split(".");
  return [first.replaceAll(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase()), ...rest].join(".");
}

/** Opens a client; nothing is kept open between calls. */
export function graphqlClient(httpUrl: string, protocol: "graphql" | "graphql-ws" = "graphql"): Client {
  const url = `${httpUrl}/graphql`;
  const post = async (accept: string, query: string, variables: unknown) =>
    await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", accept },
      body: JSON.stringify({ query, variables }),
    });
  const ask = async <Data>(query: string, variables: unknown): Promise<Data> =>
    dataOf(await (await post("application/json", query, variables)).json());
  const results = protocol === "graphql"
    ? <Data>(query: string, variables: unknown) => eventStream<Data>(post("text/event-stream", query, variables))
    : <Data>(query: string, variables: unknown) => messagesOf<Result<Data>>(url, { query, variables });
  return {
    protocol,
    spelling: SPELLING,
    async publish(input: SentEvent): Promise<Published> {
      const query = "mutation ($input: EventInput!) { publishEvent(input: $input) { id duplicate } }";
      return (await ask<{ publishEvent: Published }>(query, { input })).publishEvent;
    },
    async publishBatch(inputs): Promise<BatchAnswer> {
      const query = `mutation ($inputs: [EventInput!]!) { publishEvents(inputs: $inputs) {
        accepted duplicates rejected retryable results { index id status errors { pointer code } } } }`;
      return toBatch((await ask<{ publishEvents: WireBatch }>(query, { inputs })).publishEvents);
    },
    async get(id): Promise<SeenEvent | null> {
      const { event } = await ask<{ event: WireEvent | null }>(`query ($id: ID!) { event(id: $id) ${EVENT} }`, { id });
      if (event !== null) assertEquals(event.cursor, null, "Only events of a stream have a cursor");
      return event && toSeen(event);
    },
    async list({ limit, cursor, order, ...filter }): Promise<Page> {
      if (order !== undefined) throw new Error("GraphQL has no argument for the order");
      const query = `query ($first: Int, $after: String, $filter: EventFilter) {
        events(first: $first, after: $after, filter: $filter) {
          edges { node ${EVENT} cursor } pageInfo { hasNextPage endCursor } } }`;
      const { events: page } = await ask<{ events: Connection }>(query, { first: limit, after: cursor, filter });
      const { hasNextPage, endCursor } = page.pageInfo;
      return { events: page.edges.map(({ node }) => toSeen(node)), next: hasNextPage ? endCursor : null };
    },
    async rows({ window = "1m", byType, eventTypes, zeros, ...rest }): Promise<readonly Row[]> {
      const query = `query ($from: DateTime, $to: DateTime, $window: Window, $groupBy: [Dimension!],
        $eventType: [String!], $fill: Fill, $tz: String, $percentiles: Boolean) {
        aggregates(from: $from, to: $to, window: $window, groupBy: $groupBy, eventType: $eventType, fill: $fill,
          tz: $tz, percentiles: $percentiles) ${ROW} }`;
      const variables = { ...rest, ...windowVariables({ window, byType, eventTypes }), fill: zeros ? "ZERO" : "NONE" };
      return (await ask<{ aggregates: Row[] }>(query, variables)).aggregates;
    },
    async streamHead(): Promise<string> {
      return (await ask<{ streamHead: string }>("{ streamHead }", {})).streamHead;
    },
    follow({ after, ...filter }): Promise<Live<LiveItem>> {
      return Promise.resolve(new PulledLive(items(results(EVENT_STREAM, { after, filter }))));
    },
    async aggregatedMetrics(minutes) {
      const query =
        "query ($minutes: Int!) { aggregatedMetrics(minutes: $minutes) { totalAmount eventCount timeWindow } }";
      type Metric = { totalAmount: number; eventCount: number; timeWindow: string };
      const { timeWindow, ...metric } =
        (await ask<{ aggregatedMetrics: Metric }>(query, { minutes })).aggregatedMetrics;
      assertEquals(timeWindow, `last_${minutes}_minutes`);
      return metric;
    },
    followRows({ window = "1m", byType, eventTypes }): Promise<Live<Row>> {
      return Promise.resolve(
        new PulledLive(rows(results(ROW_STREAM, windowVariables({ window, byType, eventTypes })))),
      );
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function windowVariables(
  { window, byType, eventTypes }: { window: keyof typeof WINDOWS; byType?: boolean; eventTypes?: readonly string[] },
) {
  return { window: WINDOWS[window], groupBy: byType ? ["EVENT_TYPE"] : [], eventType: eventTypes };
}

/** The data of a result; throws a {@link Refusal} when it has errors. */
export function dataOf<Data>({ data, errors }: Result<Data>): Data {
  if (errors !== undefined) throw refusalOf(errors);
  return data!;
}

/** The refusal that the first of some errors is, with the faults of all. */
export function refusalOf(errors: readonly GraphqlError[]): Refusal {
  const [{ message, extensions }] = errors as [GraphqlError];
  return new Refusal(message, {
    status: extensions.code,
    faults: errors.flatMap((error) => error.extensions.errors ?? []).map(toFault),
    id: extensions.id ?? null,
    cursor: extensions.cursor ?? null,
    retryAfter: extensions.retryAfter !== undefined,
  });
}

/** An argument or variable is named before the place in it. */
function toFault({ pointer, parameter, code }: { pointer?: string; parameter?: string; code: string }): FieldFault {
  return { field: pointer ?? parameter ?? "", code };
}

function toSeen({ amountExact, cursor: _cursor, ...event }: WireEvent): SeenEvent {
  assertEquals(event.amount as unknown, Number(amountExact), "amount is the double nearest to amountExact");
  return { ...event, amount: amountExact };
}

function toBatch({ results, ...counts }: WireBatch): BatchAnswer {
  return {
    ...counts,
    results: results.map(({ index, id, status, errors }) => ({
      index,
      id,
      status: status.toLowerCase(),
      faults: errors.map(toFault),
    })),
  };
}

/** Results of a subscription over server-sent events (distinct connections mode). */
async function* eventStream<Data>(answer: Promise<Response>): AsyncGenerator<Result<Data>, void> {
  const response = await answer;
  const type = response.headers.get("content-type") ?? "";
  if (!type.startsWith("text/event-stream")) return yield await response.json();
  for await (const { event, data } of readSse(response.body!)) {
    if (event === "next") yield JSON.parse(data);
    else assertEquals([event, data], ["complete", ""]);
  }
}

async function* items(
  results: AsyncGenerator<Result<{ eventStream: WireEvent }>, void>,
): AsyncGenerator<LiveItem, void> {
  for await (const { data, errors } of results) {
    if (errors !== undefined) yield lastItem(errors);
    else yield { kind: "event", event: toSeen(data!.eventStream), cursor: data!.eventStream.cursor! };
  }
}

/** How a subscription ended. */
function lastItem(errors: readonly GraphqlError[]): LiveItem {
  const { code, cursor, reason, mode } = errors[0]!.extensions;
  if (code === "CURSOR_RESET") return { kind: "reset", reason: reason!, mode: mode!, cursor: cursor! };
  if (cursor !== undefined) return { kind: "end", reason: code, cursor };
  throw refusalOf(errors);
}

async function* rows(results: AsyncGenerator<Result<{ aggregateStream: Row }>, void>): AsyncGenerator<Row, void> {
  for await (const result of results) yield dataOf(result).aggregateStream;
}
