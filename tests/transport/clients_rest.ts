/** The hub over REST. */
import { assertEquals, assertMatch } from "@std/assert";
import { readSse, type SseMessage } from "../soak/sse.ts";
import {
  type BatchAnswer,
  type Client,
  type FieldFault,
  type FollowQuery,
  type ListQuery,
  type Live,
  type LiveItem,
  type Page,
  parseExactly,
  type Published,
  PulledLive,
  Refusal,
  type Row,
  type RowsQuery,
  type SeenEvent,
  type SentEvent,
  type Spelling,
} from "./clients.ts";

/** Members that every problem must have. */
const PROBLEM_MEMBERS = ["type", "title", "status", "detail", "instance", "code", "request_id"];
const JSON_NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;

interface WireFault {
  readonly pointer?: string;
  readonly parameter?: string;
  readonly code: string;
}

interface WireEvent {
  readonly id: string;
  readonly user_id: string;
  readonly event_type: string;
  readonly amount: string;
  readonly timestamp: string;
  readonly properties: unknown;
}

interface WireRow extends Omit<Row, "eventType" | "p50" | "p95" | "p99"> {
  readonly event_type?: string;
  readonly p50?: string | null;
  readonly p95?: string | null;
  readonly p99?: string | null;
}

interface WireBatch extends Omit<BatchAnswer, "results"> {
  readonly results: { index: number; id: string | null; status: string; errors?: WireFault[] }[];
}

const SPELLING: Spelling = {
  member: (name) => "/" + name.replaceAll(".", "/"),
  batchMember: (name) => "/" + name.replaceAll(".", "/"),
  parameter: (name) => name,
};

/** An event as JSON. An amount that JSON can have as a number is one, in the digits given. */
export function eventJson(event: SentEvent): string {
  const { id, userId, eventType, amount, timestamp, properties } = event;
  const members = [
    ...Object.entries({ id, user_id: userId, event_type: eventType, timestamp, properties })
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`),
    ...(amount === undefined ? [] : [`"amount":${JSON_NUMBER.test(amount) ? amount : JSON.stringify(amount)}`]),
  ];
  return `{${members.join(",")}}`;
}

/** Opens a client; nothing is kept open between calls. */
export function restClient(httpUrl: string): Client {
  const get = async (path: string) => await fetch(httpUrl + path);
  const post = async (path: string, body: string) =>
    await fetch(httpUrl + path, { method: "POST", headers: { "content-type": "application/json" }, body });
  return {
    protocol: "rest",
    spelling: SPELLING,
    async publish(event): Promise<Published> {
      const { status, ...published } = await read<Published & { status: string }>(
        await post("/events", eventJson(event)),
      );
      assertEquals(status, "success");
      return published;
    },
    async publishBatch(events): Promise<BatchAnswer> {
      return await readBatch(await post("/events/batch", `[${events.map(eventJson).join(",")}]`));
    },
    async get(id): Promise<SeenEvent | null> {
      const response = await get(`/events/${encodeURIComponent(id)}`);
      return await orNull(() => read<WireEvent>(response).then(toSeen));
    },
    async list(query): Promise<Page> {
      const response = await get(`/events?${listQuery(query)}`);
      const page = await read<{ events: WireEvent[]; next_cursor: string | null }>(response);
      assertEquals(response.headers.get("link") !== null, page.next_cursor !== null);
      return { events: page.events.map(toSeen), next: page.next_cursor };
    },
    async rows(query): Promise<readonly Row[]> {
      const { rows } = await read<{ rows: WireRow[] }>(await get(`/aggregates?${rowsQuery(query)}`));
      return rows.map(toRow);
    },
    async streamHead(): Promise<string> {
      const response = await get("/events?limit=1");
      await read(response);
      return response.headers.get("x-stream-cursor")!;
    },
    async follow(query): Promise<Live<LiveItem>> {
      return new PulledLive(items(await stream(await get(`/events/stream?${followQuery(query)}`))));
    },
    async followRows(query): Promise<Live<Row>> {
      return new PulledLive(rows(await stream(await get(`/aggregates/stream?${rowsQuery(query)}`))));
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The JSON of an answer; throws a {@link Refusal} when it is a problem, after a look at its form. */
export async function read<T>(response: Response): Promise<T> {
  const text = await response.text();
  assertMatch(response.headers.get("x-request-id") ?? "", /^.{1,128}$/);
  if (response.ok) return parseExactly(text) as T;
  throw problemOf(response, text);
}

/** The refusal that an answer is. Fails when it has not the form of a problem. */
export function problemOf(response: Response, text: string): Refusal {
  const { status, headers } = response;
  assertEquals(headers.get("content-type"), "application/problem+json", `${status} ${text}`);
  const problem = JSON.parse(text);
  assertEquals(PROBLEM_MEMBERS.filter((name) => !(name in problem)), [], text);
  assertEquals([problem.status, problem.request_id], [status, headers.get("x-request-id")]);
  if (status === 405) assertMatch(headers.get("allow") ?? "", /[A-Z]/);
  return new Refusal(problem.detail, {
    status,
    code: problem.code,
    faults: (problem.errors ?? []).map(toFault),
    id: problem.id ?? null,
    cursor: problem.cursor ?? null,
    retryAfter: /^[0-9]+$/.test(headers.get("retry-after") ?? ""),
  });
}

async function readBatch(response: Response): Promise<BatchAnswer> {
  const text = await response.text();
  // When nothing was taken the answer is a problem with the results as members.
  if (!response.ok) {
    const refusal = problemOf(response, text);
    if (!("results" in JSON.parse(text))) throw refusal;
  }
  const { accepted, duplicates, rejected, retryable, results } = JSON.parse(text) as WireBatch;
  const all = accepted + duplicates + rejected + retryable;
  const expected = accepted + duplicates === all ? 200 : accepted + duplicates > 0 ? 207 : retryable > 0 ? 503 : 422;
  assertEquals(response.status, expected, text.slice(0, 1_000));
  assertEquals(response.headers.has("retry-after"), expected === 503);
  return {
    accepted,
    duplicates,
    rejected,
    retryable,
    results: results.map(({ index, id, status, errors = [] }) => ({ index, id, status, faults: errors.map(toFault) })),
  };
}

async function orNull<T>(what: () => Promise<T>): Promise<T | null> {
  try {
    return await what();
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 404) throw error;
    assertEquals(error.code, "not_found");
    return null;
  }
}

function toFault({ pointer, parameter, code }: WireFault): FieldFault {
  return { field: pointer ?? parameter ?? "", code };
}

function toSeen(event: WireEvent): SeenEvent {
  const { id, user_id, event_type, amount, timestamp, properties } = event;
  return { id, userId: user_id, eventType: event_type, amount, timestamp, properties };
}

function toRow({ event_type, p50, p95, p99, ...row }: WireRow): Row {
  return { ...row, eventType: event_type ?? null, p50: p50 ?? null, p95: p95 ?? null, p99: p99 ?? null };
}

function listQuery({ userId, eventTypes, ...rest }: ListQuery): URLSearchParams {
  return parameters({ user_id: userId, event_type: eventTypes, ...rest });
}

function followQuery({ after, userId, eventTypes }: FollowQuery): URLSearchParams {
  return parameters({ after, user_id: userId, event_type: eventTypes });
}

function rowsQuery({ byType, eventTypes, zeros, percentiles, ...rest }: RowsQuery): URLSearchParams {
  return parameters({
    ...rest,
    group_by: byType ? "event_type" : undefined,
    event_type: eventTypes,
    fill: zeros ? "zero" : undefined,
    percentiles: percentiles ? "true" : undefined,
  });
}

function parameters(values: Record<string, string | number | readonly string[] | undefined>): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    for (const each of Array.isArray(value) ? value : [value]) query.append(name, String(each));
  }
  return query;
}

async function stream(response: Response): Promise<ReadableStream<Uint8Array>> {
  if (!response.ok) throw problemOf(response, await response.text());
  assertEquals(response.headers.get("content-type"), "text/event-stream");
  return response.body!;
}

async function* items(body: ReadableStream<Uint8Array>): AsyncGenerator<LiveItem, void> {
  for await (const message of readSse(body)) yield toItem(message);
}

function toItem({ event, id, data }: SseMessage): LiveItem {
  switch (event) {
    case "event":
      return { kind: "event", event: toSeen(parseExactly(data) as WireEvent), cursor: id! };
    case "reset": {
      const { reason, mode, cursor } = JSON.parse(data);
      assertEquals(id, cursor);
      return { kind: "reset", reason, mode, cursor };
    }
    case "end":
      return { kind: "end", ...JSON.parse(data) };
  }
  assertEquals([event, data], ["message", ""], "A block without an event is an id alone");
  return { kind: "alive", cursor: id };
}

async function* rows(body: ReadableStream<Uint8Array>): AsyncGenerator<Row, void> {
  for await (const { event, data } of readSse(body)) {
    if (event === "aggregate") yield toRow(JSON.parse(data));
  }
}
