/** Following the live log over each protocol, in one form: events with cursors, and how it ended. */
import { followGrpc } from "./follow_grpc.ts";
import { readSse, type SseMessage } from "./sse.ts";

/** Ways to follow. */
export type FollowProtocol = "sse" | "graphql-sse" | "graphql-ws" | "grpc";

/** All ways to follow. */
export const FOLLOW_PROTOCOLS: readonly FollowProtocol[] = ["sse", "graphql-sse", "graphql-ws", "grpc"];

/** Where the hub is. */
export interface HubAddress {
  readonly httpUrl: string;
  readonly grpcAddress: string;
}

/** One connection that follows the log. */
export interface FollowOptions {
  readonly hub: HubAddress;
  /** The cursor to go on behind. */
  readonly after: string;
  /** Aborting cuts the connection; nothing is given afterwards. */
  readonly signal: AbortSignal;
  readonly onEvent: (id: string, cursor: string) => void;
  /** Called when the hub announces that continuity is lost, and goes on. Without it that counts as `lost`. */
  readonly onReset?: (reset: FollowReset) => void;
}

/** An announced loss of continuity. */
export interface FollowReset {
  readonly reason: string;
  readonly mode: string;
  readonly cursor: string;
}

/**
 * How a connection ended: `cut` by this side; `ended` by the hub, with its reason and cursor; `lost` without a word, or
 * with one that is not understood.
 */
export type FollowEnd =
  | { readonly kind: "cut" }
  | { readonly kind: "ended"; readonly reason: string; readonly cursor: string }
  | { readonly kind: "lost"; readonly detail: string };

/** The subscription both GraphQL transports ask for. */
export const SUBSCRIPTION = "subscription ($after: String) { eventStream(after: $after) { id cursor } }";

/** Follows until it ends. Never rejects. */
export async function follow(protocol: FollowProtocol, options: FollowOptions): Promise<FollowEnd> {
  try {
    const end = await FOLLOWERS[protocol](options);
    return options.signal.aborted ? { kind: "cut" } : end;
  } catch (error) {
    return options.signal.aborted ? { kind: "cut" } : { kind: "lost", detail: String(error) };
  }
}

const FOLLOWERS: Record<FollowProtocol, (options: FollowOptions) => Promise<FollowEnd>> = {
  "sse": followSse,
  "graphql-sse": followGraphqlSse,
  "graphql-ws": followWebSocket,
  "grpc": followGrpc,
};

async function followSse({ hub, after, signal, onEvent, onReset }: FollowOptions): Promise<FollowEnd> {
  const response = await fetch(`${hub.httpUrl}/events/stream`, { headers: { "last-event-id": after }, signal });
  for await (const message of messagesOf(response)) {
    if (signal.aborted) return { kind: "cut" };
    if (message.event === "event") onEvent(JSON.parse(message.data).id, message.id!);
    if (message.event === "end") return { kind: "ended", ...JSON.parse(message.data) };
    if (message.event === "reset" && onReset === undefined) return { kind: "lost", detail: `reset ${message.data}` };
    if (message.event === "reset") onReset?.(JSON.parse(message.data));
  }
  return { kind: "lost", detail: "the stream ended without a word" };
}

async function followGraphqlSse({ hub, after, signal, onEvent }: FollowOptions): Promise<FollowEnd> {
  const response = await fetch(`${hub.httpUrl}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", "accept": "text/event-stream" },
    body: JSON.stringify({ query: SUBSCRIPTION, variables: { after } }),
    signal,
  });
  for await (const message of messagesOf(response)) {
    if (signal.aborted) return { kind: "cut" };
    if (message.event !== "next") continue;
    const end = takeResult(JSON.parse(message.data), onEvent);
    if (end !== null) return end;
  }
  return { kind: "lost", detail: "the stream ended without a word" };
}

/** The messages of an event stream; any other answer is thrown with its text. */
async function* messagesOf(response: Response): AsyncGenerator<SseMessage> {
  const type = response.headers.get("content-type") ?? "";
  if (!response.ok || !type.startsWith("text/event-stream")) {
    throw new Error(`answered ${response.status} ${type}: ${(await response.text()).slice(0, 500)}`);
  }
  yield* readSse(response.body!);
}

/** An execution result of {@link SUBSCRIPTION}. */
interface ExecutionResult {
  readonly data?: { readonly eventStream: { readonly id: string; readonly cursor: string } | null } | null;
  readonly errors?: readonly GraphqlError[];
}

interface GraphqlError {
  readonly message: string;
  readonly extensions?: { readonly code?: string; readonly reason?: string; readonly cursor?: string };
}

function takeResult(result: ExecutionResult, onEvent: FollowOptions["onEvent"]): FollowEnd | null {
  if (result.errors !== undefined) return endOf(result.errors);
  const event = result.data?.eventStream;
  if (event) onEvent(event.id, event.cursor);
  return null;
}

/** The contract's codes of a subscription that the hub ended: `SLOW_CONSUMER` and `UNAVAILABLE` bring a cursor. */
function endOf(errors: readonly GraphqlError[]): FollowEnd {
  const { code, cursor, reason } = errors[0]?.extensions ?? {};
  if ((code === "SLOW_CONSUMER" || code === "UNAVAILABLE") && cursor !== undefined) {
    return { kind: "ended", reason: reason ?? code, cursor };
  }
  return { kind: "lost", detail: JSON.stringify(errors) };
}

/** `graphql-transport-ws` (github.com/enisdenjo/graphql-ws, PROTOCOL.md). */
function followWebSocket({ hub, after, signal, onEvent }: FollowOptions): Promise<FollowEnd> {
  const { promise, resolve } = Promise.withResolvers<FollowEnd>();
  const socket = new WebSocket(`${hub.httpUrl.replace("http", "ws")}/graphql`, "graphql-transport-ws");
  const send = (message: unknown) => socket.send(JSON.stringify(message));
  let end: FollowEnd | null = null;
  const cut = () => socket.close();
  signal.addEventListener("abort", cut);
  socket.onopen = () => signal.aborted ? socket.close() : send({ type: "connection_init" });
  socket.onmessage = ({ data }) => {
    if (signal.aborted || end !== null) return;
    const message = JSON.parse(data);
    if (message.type === "connection_ack") {
      send({ type: "subscribe", id: "1", payload: { query: SUBSCRIPTION, variables: { after } } });
    } else if (message.type === "ping") {
      send({ type: "pong" });
    } else if (message.type === "next") {
      end = takeResult(message.payload, onEvent);
    } else if (message.type === "error") {
      end = endOf(message.payload);
    }
    if (end !== null || message.type === "complete") socket.close(1000);
  };
  socket.onclose = ({ code, reason }) => {
    signal.removeEventListener("abort", cut);
    resolve(end ?? { kind: "lost", detail: `closed with ${code} ${reason}` });
  };
  return promise;
}
