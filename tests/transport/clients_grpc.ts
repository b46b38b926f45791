/** The hub over gRPC, `eventhub.v1`. */
import { type ClientDuplexStream, type MethodDefinition, type ServiceError, status } from "@grpc/grpc-js";
import { assertEquals } from "@std/assert";
import {
  type AggregateRow,
  Dimension,
  type Event,
  EventHubServiceService as methods,
  type EventInput,
  type EventResult,
  EventStatus,
  Fill,
  Order,
  type PublishStreamRequest,
  type PublishStreamResponse,
  ResetMode,
  ResetReason,
  type SubscribeResponse,
  Window,
} from "../../src/gen/eventhub/v1/eventhub.ts";
import type { Timestamp } from "../../src/gen/google/protobuf/timestamp.ts";
import { BadRequest, ErrorInfo, RetryInfo } from "../../src/gen/google/rpc/error_details.ts";
import { Status } from "../../src/gen/google/rpc/status.ts";
import { grpcClient as connect } from "../soak/send_grpc.ts";
import {
  type BatchAnswer,
  type BatchItem,
  type Client,
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

const WINDOWS = {
  "1m": Window.WINDOW_MINUTE,
  "5m": Window.WINDOW_FIVE_MINUTES,
  "15m": Window.WINDOW_QUARTER_HOUR,
  "1h": Window.WINDOW_HOUR,
  "1d": Window.WINDOW_DAY,
} as const;
const ORDERS = { asc: Order.ORDER_ASCENDING, desc: Order.ORDER_DESCENDING } as const;
const RFC_3339 = /^(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)?$/;

const SPELLING: Spelling = {
  member: (name) => `event.${fieldPath(name)}`,
  batchMember: fieldPath,
  parameter: (name) => PARAMETERS[name] ?? name,
};
const PARAMETERS: Readonly<Record<string, string>> = {
  from: "from",
  user_id: "filter.user_id",
  event_type: "filter.event_types",
};

/** A member that is not named like a field stands in brackets. */
function fieldPath(name: string): string {
  const [first = "", ...rest] = name.split(".");
  return first + rest.map((part) => /^\w+$/.test(part) ? `.${part}` : `[${JSON.stringify(part)}]`).join("");
}

/** Opens a client with a connection of its own, which sends many events by `PublishBatch` or by `PublishStream`. */
export function grpcClient(address: string, protocol: "grpc" | "grpc-stream" = "grpc"): Client {
  const client = connect(address);
  const call = <Request, Response>(method: MethodDefinition<Request, Response>, request: Request): Promise<Response> =>
    new Promise((resolve, reject) => {
      const { path, requestSerialize, responseDeserialize } = method;
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, response) => {
        if (error === null) resolve(response!);
        else reject(toRefusal(error));
      });
    });
  return {
    protocol,
    spelling: SPELLING,
    async publish(event): Promise<Published> {
      return await call(methods.publish, { event: toInput(event) });
    },
    async publishBatch(events): Promise<BatchAnswer> {
      if (protocol === "grpc-stream") return await publishStream(client.publishStream(), events);
      const answer = await call(methods.publishBatch, { events: events.map(toInput), omitStored: false });
      return { ...answer, results: answer.results.map(toItem) };
    },
    async get(id): Promise<SeenEvent | null> {
      try {
        return toSeen((await call(methods.getEvent, { id })).event!);
      } catch (error) {
        if (!(error instanceof Refusal) || error.status !== status.NOT_FOUND) throw error;
        assertEquals(error.code, "not_found");
        return null;
      }
    },
    async list({ limit, cursor, order = "desc", from, to, userId, eventTypes = [] }): Promise<Page> {
      const filter = { userId, eventTypes: [...eventTypes], from: toTimestamp(from), to: toTimestamp(to) };
      const page = await call(methods.listEvents, { filter, limit, cursor, order: ORDERS[order] });
      return { events: page.events.map(toSeen), next: page.nextCursor ?? null };
    },
    async rows({ from, to, window = "1m", byType, eventTypes = [], zeros, tz, percentiles = false }) {
      const { rows } = await call(methods.queryAggregates, {
        from: toTimestamp(from),
        to: toTimestamp(to),
        window: WINDOWS[window],
        groupBy: byType === true ? [Dimension.DIMENSION_EVENT_TYPE] : [],
        eventTypes: [...eventTypes],
        fill: zeros ? Fill.FILL_ZERO : Fill.FILL_UNSPECIFIED,
        tz,
        percentiles,
      });
      return rows.map(toRow);
    },
    async streamHead(): Promise<string> {
      return (await call(methods.listEvents, { limit: 1, order: Order.ORDER_UNSPECIFIED })).streamCursor;
    },
    follow({ after, userId, eventTypes = [] }): Promise<Live<LiveItem>> {
      const call = client.subscribe({ after, filter: { userId, eventTypes: [...eventTypes] } });
      // Cancelling makes an error that nobody waits for any more.
      call.on("error", () => {});
      return Promise.resolve(new PulledLive(items(call), () => call.cancel()));
    },
    [Symbol.asyncDispose]: () => Promise.resolve(client.close()),
  };
}

/** Sends events over a stream, and makes one answer of those that come, each of which is for the events of a commit. */
async function publishStream(
  call: ClientDuplexStream<PublishStreamRequest, PublishStreamResponse>,
  events: readonly SentEvent[],
): Promise<BatchAnswer> {
  const results = new Map<number, BatchItem>();
  const ids = new Map<number, string>();
  const put = (number: bigint, item: Omit<BatchItem, "index">) => {
    const index = Number(number);
    assertEquals(results.has(index), false, "Each number is answered once");
    results.set(index, { ...item, index });
  };
  events.forEach((event, index) => call.write({ number: BigInt(index), event: toInput(event) }));
  call.end();
  for await (const { stored, duplicates, rejected, givenIds } of call as AsyncIterable<PublishStreamResponse>) {
    for (const { number, id } of givenIds) ids.set(Number(number), id);
    const idOf = (number: bigint) => ids.get(Number(number)) ?? events[Number(number)]!.id!;
    for (const number of stored) put(number, { id: idOf(number), status: "stored", faults: [] });
    for (const number of duplicates) put(number, { id: idOf(number), status: "duplicate", faults: [] });
    for (const { number, ...rest } of rejected) put(number, toItem({ ...rest, index: Number(number) }));
  }
  const all = events.map((_, index) => results.get(index)!);
  const count = (...statuses: string[]) => all.filter(({ status }) => statuses.includes(status)).length;
  return {
    accepted: count("stored"),
    duplicates: count("duplicate"),
    rejected: count("conflict", "invalid", "malformed"),
    retryable: count("unavailable"),
    results: all,
  };
}

/** The refusal that an error of grpc-js is. */
export function toRefusal(error: ServiceError): Refusal {
  const trailer = error.metadata?.get("grpc-status-details-bin")[0];
  const details = trailer instanceof Uint8Array ? Status.decode(trailer).details : [];
  const find = (name: string) =>
    details.find(({ typeUrl }) => typeUrl === `type.googleapis.com/google.rpc.${name}`)?.value;
  const info = find("ErrorInfo");
  const bad = find("BadRequest");
  const retry = find("RetryInfo");
  const errorInfo = info === undefined ? null : ErrorInfo.decode(info);
  const violations = bad === undefined ? [] : BadRequest.decode(bad).fieldViolations;
  return new Refusal(error.details, {
    status: error.code,
    code: errorInfo?.reason ?? null,
    faults: violations.map(({ field, reason }) => ({ field, code: reason })),
    id: errorInfo?.metadata.get("id") ?? null,
    cursor: errorInfo?.metadata.get("cursor") ?? null,
    retryAfter: retry !== undefined && RetryInfo.decode(retry).retryDelay !== undefined,
  });
}

function toInput({ timestamp, properties, ...event }: SentEvent): EventInput {
  return { ...event, timestamp: toTimestamp(timestamp), properties };
}

/** A Timestamp knows neither zone nor text: a client converts, here without losing a digit. */
export function toTimestamp(text: string | undefined): Timestamp | undefined {
  if (text === undefined) return undefined;
  const match = RFC_3339.exec(text);
  if (match === null) throw new Error(`Cannot make a Timestamp of "${text}"`);
  const [, time, fraction = "", zone = "Z"] = match;
  const seconds = BigInt(Date.parse(`${time}${zone}`.toUpperCase()) / 1_000);
  return { seconds, nanos: Number(fraction.padEnd(9, "0")) };
}

function fromTimestamp(timestamp: Timestamp | undefined): string {
  const { seconds, nanos } = timestamp!;
  return new Date(Number(seconds) * 1_000 + nanos / 1_000_000).toISOString();
}

function toSeen({ id, userId, eventType, amount, timestamp, properties }: Event): SeenEvent {
  return { id, userId, eventType, amount, timestamp: fromTimestamp(timestamp), properties: properties ?? {} };
}

function toItem({ index, id, status, errors }: EventResult): BatchItem {
  return {
    index,
    id: id === "" ? null : id,
    status: EventStatus[status].replace("EVENT_STATUS_", "").toLowerCase(),
    faults: errors.map(({ field, code }) => ({ field, code })),
  };
}

function toRow(row: AggregateRow): Row {
  const { start, end, eventType, count, revision, min, max, avg, p50, p95, p99, total, net, closed } = row;
  return {
    start: fromTimestamp(start),
    end: fromTimestamp(end),
    eventType: eventType ?? null,
    count: Number(count),
    total,
    net,
    min: min ?? null,
    max: max ?? null,
    avg: avg ?? null,
    p50: p50 ?? null,
    p95: p95 ?? null,
    p99: p99 ?? null,
    revision: Number(revision),
    closed,
  };
}

async function* items(call: AsyncIterable<SubscribeResponse>): AsyncGenerator<LiveItem, void> {
  try {
    for await (const { message } of call) {
      switch (message?.$case) {
        case "event":
          yield { kind: "event", event: toSeen(message.event.event!), cursor: message.event.cursor };
          break;
        case "progress":
          yield { kind: "alive", cursor: message.progress.cursor };
          break;
        case "reset": {
          const { reason, mode, cursor } = message.reset;
          const word = (name: string) => name.split("_").at(-1)!.toLowerCase();
          yield { kind: "reset", reason: word(ResetReason[reason]), mode: word(ResetMode[mode]), cursor };
        }
      }
    }
  } catch (error) {
    const refusal = toRefusal(error as ServiceError);
    if (refusal.cursor === null) throw refusal;
    yield { kind: "end", reason: refusal.code!, cursor: refusal.cursor };
  }
}
