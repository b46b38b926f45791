/** Ways to send events to a hub over HTTP: one by one, in NDJSON batches, as GraphQL mutations. */
import { readJson } from "./api.ts";
import type { TypicalEvent } from "./typical_event.ts";

/**
 * What a sender was told of one event. `unknown`: no answer, or one that says "retry with the same id"; whether the
 * event is stored is open. Answers that no correct hub gives are thrown.
 */
export type Told = "stored" | "duplicate" | "conflict" | "unknown";

/** Ways to send. */
export type SendProtocol = "rest" | "ndjson" | "graphql" | "grpc" | "grpc-batch" | "grpc-stream";

/** Sends events over one protocol. */
export interface Sender {
  readonly protocol: SendProtocol;
  /** Events that one {@link send} carries at most. */
  readonly batchEvents: number;
  /** Sends and waits for the answer: one an event, in order. */
  send(events: readonly TypicalEvent[]): Promise<readonly Told[]>;
  /** Lets go of connections. */
  close(): void;
}

/** Statuses with which a hub asks for a retry. */
const RETRY_STATUSES: ReadonlySet<number> = new Set([408, 429, 503, 504]);
const RETRY_CODES: ReadonlySet<string> = new Set(["UNAVAILABLE", "TIMEOUT", "RATE_LIMITED"]);

/** `POST /events`. */
export function restSender(httpUrl: string): Sender {
  return {
    protocol: "rest",
    batchEvents: 1,
    send: async (events) => {
      const told: Told[] = [];
      for (const event of events) told.push(await postEvent(httpUrl, event));
      return told;
    },
    close: () => {},
  };
}

/** `POST /events/batch` with NDJSON. */
export function ndjsonSender(httpUrl: string, batchEvents: number): Sender {
  return { protocol: "ndjson", batchEvents, send: (events) => postNdjson(httpUrl, events), close: () => {} };
}

/** The mutation `publishEvent`, one document an event. */
export function graphqlSender(httpUrl: string): Sender {
  return {
    protocol: "graphql",
    batchEvents: 1,
    send: async (events) => {
      const told: Told[] = [];
      for (const event of events) told.push(await mutate(httpUrl, event));
      return told;
    },
    close: () => {},
  };
}

/** POST that answers `null` when the connection broke before the whole answer was there. */
async function post(url: string, contentType: string, body: string): Promise<{ status: number; text: string } | null> {
  try {
    const response = await fetch(url, { method: "POST", headers: { "content-type": contentType }, body });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    if (error instanceof TypeError || error instanceof Deno.errors.Http) return null;
    throw error;
  }
}

async function postEvent(httpUrl: string, event: TypicalEvent): Promise<Told> {
  const answer = await post(`${httpUrl}/events`, "application/json", JSON.stringify(event));
  if (answer === null || RETRY_STATUSES.has(answer.status)) return "unknown";
  if (answer.status === 409) return "conflict";
  const body = await readJson<{ status: string; id: string; duplicate: boolean }>(
    new Response(answer.text, { status: answer.status }),
    "POST /events",
  );
  if (body.status !== "success" || body.id !== event.id) throw new Error(`POST /events answered ${answer.text}`);
  return body.duplicate ? "duplicate" : "stored";
}

async function postNdjson(httpUrl: string, events: readonly TypicalEvent[]): Promise<readonly Told[]> {
  const body = events.map((event) => JSON.stringify(event)).join("\n") + "\n";
  const answer = await post(`${httpUrl}/events/batch`, "application/x-ndjson", body);
  if (answer === null) return events.map(() => "unknown");
  const { results } = JSON.parse(answer.text) as { results?: { index: number; id: string; status: string }[] };
  if (results === undefined) {
    if (RETRY_STATUSES.has(answer.status)) return events.map(() => "unknown");
    throw new Error(`POST /events/batch answered ${answer.status}: ${answer.text.slice(0, 1_000)}`);
  }
  return events.map((event, index) => {
    const result = results[index];
    if (result?.id !== event.id) throw new Error(`POST /events/batch mixed up event ${event.id}: ${answer.text}`);
    return toldBy(result.status, event);
  });
}

async function mutate(httpUrl: string, event: TypicalEvent): Promise<Told> {
  const query = "mutation ($input: EventInput!) { publishEvent(input: $input) { id duplicate } }";
  const variables = {
    input: {
      id: event.id,
      userId: event.user_id,
      eventType: event.event_type,
      amount: event.amount,
      timestamp: event.timestamp,
    },
  };
  const answer = await post(`${httpUrl}/graphql`, "application/json", JSON.stringify({ query, variables }));
  if (answer === null || RETRY_STATUSES.has(answer.status)) return "unknown";
  const { data, errors } = JSON.parse(answer.text) as {
    data?: { publishEvent: { id: string; duplicate: boolean } } | null;
    errors?: { extensions?: { code?: string } }[];
  };
  const code = errors?.[0]?.extensions?.code;
  if (code === "CONFLICT") return "conflict";
  if (code !== undefined && RETRY_CODES.has(code)) return "unknown";
  if (data?.publishEvent?.id !== event.id) throw new Error(`publishEvent answered ${answer.text}`);
  return data.publishEvent.duplicate ? "duplicate" : "stored";
}

/** The word of a batch answer for one event; `invalid` is thrown, because every event sent here is valid. */
export function toldBy(status: string, event: TypicalEvent): Told {
  if (status === "stored" || status === "duplicate" || status === "conflict") return status;
  if (status === "unavailable") return "unknown";
  throw new Error(`Event ${event.id} was answered ${status}`);
}
