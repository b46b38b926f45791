/** A hub as seen over one protocol, in the same words for all of them: what the table of behaviours speaks. */
import { assertEquals, fail } from "@std/assert";
import type { ErrorCode } from "../../src/errors.ts";

/** The protocols, GraphQL with both of its ways to follow, gRPC with both of its ways to send many events. */
export type Protocol = "rest" | "graphql" | "graphql-ws" | "grpc" | "grpc-stream";

/** An event to send. What is left out is not sent; `amount` and `timestamp` are text, and may be nonsense. */
export interface SentEvent {
  readonly id?: string;
  readonly userId?: string;
  readonly eventType?: string;
  readonly amount?: string;
  readonly timestamp?: string;
  readonly properties?: Readonly<Record<string, unknown>>;
}

/** An event as it came back: `amount` in the digits of the wire, `timestamp` with three fraction digits and `Z`. */
export interface SeenEvent {
  readonly id: string;
  readonly userId: string;
  readonly eventType: string;
  readonly amount: string;
  readonly timestamp: string;
  readonly properties: unknown;
}

/** A single event that was taken. */
export interface Published {
  readonly id: string;
  readonly duplicate: boolean;
}

/** A faulty field in the protocol's own spelling. */
export interface FieldFault {
  readonly field: string;
  readonly code: string;
}

/** What became of one event of a batch. */
export interface BatchItem {
  readonly index: number;
  readonly id: string | null;
  readonly status: string;
  readonly faults: readonly FieldFault[];
}

/** What became of a batch. */
export interface BatchAnswer {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly retryable: number;
  readonly results: readonly BatchItem[];
}

/** Which events to list. */
export interface ListQuery {
  readonly userId?: string;
  readonly eventTypes?: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly limit?: number;
  readonly cursor?: string;
  readonly order?: "asc" | "desc";
}

/** A page of events; `next` is `null` at the end. */
export interface Page {
  readonly events: readonly SeenEvent[];
  readonly next: string | null;
}

/** A question about windows. */
export interface RowsQuery {
  readonly from?: string;
  readonly to?: string;
  readonly window?: "1m" | "5m" | "15m" | "1h" | "1d";
  readonly byType?: boolean;
  readonly eventTypes?: readonly string[];
  readonly zeros?: boolean;
  readonly tz?: string;
  readonly percentiles?: boolean;
}

/** A window. Amounts are decimal text, `null` where there is none. */
export interface Row {
  readonly start: string;
  readonly end: string;
  readonly eventType: string | null;
  readonly count: number;
  readonly total: string;
  readonly net: string;
  readonly min: string | null;
  readonly max: string | null;
  readonly avg: string | null;
  readonly p50: string | null;
  readonly p95: string | null;
  readonly p99: string | null;
  readonly revision: number;
  readonly closed: boolean;
}

/** What to follow. */
export interface FollowQuery {
  readonly after?: string;
  readonly userId?: string;
  readonly eventTypes?: readonly string[];
}

/** What a subscription gives. */
export type LiveItem =
  | { readonly kind: "event"; readonly event: SeenEvent; readonly cursor: string }
  /** Nothing new, but the cursor moved; `null` where the protocol cannot say where to. */
  | { readonly kind: "alive"; readonly cursor: string | null }
  | { readonly kind: "reset"; readonly reason: string; readonly mode: string; readonly cursor: string }
  | { readonly kind: "end"; readonly reason: string; readonly cursor: string | null };

/** A subscription that runs. Disposing it goes away; do that only while nobody waits for {@link Live.next}. */
export interface Live<Item> extends AsyncDisposable {
  /** The next item. Nothing is read ahead. Rejects with a {@link Refusal} when the hub did not take the subscription. */
  next(): Promise<Item>;
}

/** How a protocol names what the contract names in REST's words. */
export interface Spelling {
  /** A member of a single event, such as `user_id` or `properties.colour`. */
  member(name: string): string;
  /** A member of an event in a batch. */
  batchMember(name: string): string;
  /** A parameter of a question, such as `limit`. */
  parameter(name: string): string;
}

/** A hub over one protocol. Everything rejects with a {@link Refusal} when the hub refuses it. */
export interface Client extends AsyncDisposable {
  readonly protocol: Protocol;
  readonly spelling: Spelling;
  publish(event: SentEvent): Promise<Published>;
  publishBatch(events: readonly SentEvent[]): Promise<BatchAnswer>;
  /** `null` when there is none with this id. */
  get(id: string): Promise<SeenEvent | null>;
  list(query: ListQuery): Promise<Page>;
  rows(query: RowsQuery): Promise<readonly Row[]>;
  streamHead(): Promise<string>;
  follow(query: FollowQuery): Promise<Live<LiveItem>>;
  /** Only GraphQL has it. */
  readonly aggregatedMetrics?: (minutes: number) => Promise<{ totalAmount: number; eventCount: number }>;
  /** gRPC does not have it. */
  readonly followRows?: (query: Pick<RowsQuery, "window" | "byType" | "eventTypes">) => Promise<Live<Row>>;
}

/** An answer that is an error, in the protocol's own codes. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /** The HTTP status; `extensions.code`; the gRPC status. */
  readonly status: number | string;
  /** The code of the contract, where the protocol tells it. */
  readonly code: string | null;
  readonly faults: readonly FieldFault[];
  readonly id: string | null;
  readonly cursor: string | null;
  /** Whether the answer says when to try again. */
  readonly retryAfter: boolean;

  constructor(message: string, parts: Partial<Omit<Refusal, "name" | "message" | "stack" | "cause">>) {
    super(message);
    this.status = parts.status ?? "";
    this.code = parts.code ?? null;
    this.faults = parts.faults ?? [];
    this.id = parts.id ?? null;
    this.cursor = parts.cursor ?? null;
    this.retryAfter = parts.retryAfter ?? false;
  }
}

/** What an error is on a wire. */
interface Form {
  readonly rest: number;
  readonly graphql: string;
  readonly grpc: number;
}

const CLIENT_FAULT: Form = { rest: 422, graphql: "BAD_USER_INPUT", grpc: 3 };
const UNAVAILABLE: Form = { rest: 503, graphql: "UNAVAILABLE", grpc: 14 };

/** The table of section 6 of the contract, for the errors of a single answer; codes it does not give GraphQL are its own. */
export const FORMS = {
  invalid_argument: CLIENT_FAULT,
  malformed: { rest: 400, graphql: "BAD_REQUEST", grpc: 3 },
  conflict: { rest: 409, graphql: "CONFLICT", grpc: 6 },
  not_found: { rest: 404, graphql: "NOT_FOUND", grpc: 5 },
  method_not_allowed: { rest: 405, graphql: "METHOD_NOT_ALLOWED", grpc: 12 },
  not_acceptable: { rest: 406, graphql: "NOT_ACCEPTABLE", grpc: 12 },
  invalid_cursor: { ...CLIENT_FAULT, rest: 400 },
  range_too_large: CLIENT_FAULT,
  payload_too_large: { rest: 413, graphql: "PAYLOAD_TOO_LARGE", grpc: 8 },
  unsupported_media_type: { rest: 415, graphql: "UNSUPPORTED_MEDIA_TYPE", grpc: 12 },
  overloaded: UNAVAILABLE,
  unavailable: UNAVAILABLE,
  deadline_exceeded: { rest: 504, graphql: "TIMEOUT", grpc: 4 },
  internal: { rest: 500, graphql: "INTERNAL_SERVER_ERROR", grpc: 13 },
} as const satisfies Partial<Record<ErrorCode, Form>>;

/** The codes of {@link FORMS}. */
export type KnownCode = keyof typeof FORMS;

/** Waits for a refusal. */
export async function refusalOf(what: () => Promise<unknown>): Promise<Refusal> {
  try {
    await what();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  fail("Expected a refusal, but it was taken");
}

/** Fails unless it is refused with the code, in the form that the contract gives it in the client's protocol. */
export async function assertRefused(
  client: Client,
  what: () => Promise<unknown>,
  code: KnownCode,
): Promise<Refusal> {
  const refusal = await refusalOf(what);
  const form: Form = FORMS[code];
  switch (client.protocol) {
    case "rest":
      assertEquals([refusal.status, refusal.code], [form.rest, code], refusal.message);
      break;
    case "grpc":
    case "grpc-stream":
      assertEquals([refusal.status, refusal.code], [form.grpc, code], refusal.message);
      break;
    case "graphql":
    case "graphql-ws":
      assertEquals(refusal.status, form.graphql, refusal.message);
  }
  return refusal;
}

/** Takes items of a subscription until there are so many of a kind; those of other kinds are left out. */
export async function take<Kind extends LiveItem["kind"]>(
  live: Live<LiveItem>,
  kind: Kind,
  count: number,
): Promise<Extract<LiveItem, { kind: Kind }>[]> {
  const taken: Extract<LiveItem, { kind: Kind }>[] = [];
  while (taken.length < count) {
    const item = await live.next();
    if (item.kind === kind) taken.push(item as Extract<LiveItem, { kind: Kind }>);
    else if (item.kind === "end") fail(`The stream ended (${item.reason}) after ${taken.length} of ${count}`);
  }
  return taken;
}

/** A subscription whose items are pulled out of a generator. */
export class PulledLive<Item> implements Live<Item> {
  readonly #items: AsyncGenerator<Item, void>;
  readonly #stop: () => void;

  /** `stop` is called when the client goes away. */
  constructor(items: AsyncGenerator<Item, void>, stop: () => void = () => {}) {
    this.#items = items;
    this.#stop = stop;
  }

  async next(): Promise<Item> {
    const { done, value } = await this.#items.next();
    if (done) throw new Error("The stream ended without a word");
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop();
    await this.#items.return();
  }
}

/** Parses JSON, with the amounts of events as the digits they are written in. */
export function parseExactly(text: string): unknown {
  const parse = JSON.parse as (
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ) => unknown;
  return parse(text, (key, value, { source }) => key === "amount" && typeof value === "number" ? source : value);
}
