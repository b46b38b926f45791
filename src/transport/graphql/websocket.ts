/**
 * GraphQL over WebSocket: the protocol graphql-transport-ws, by graphql-ws. `graphql-ws/use/deno` would close every
 * socket, because a server's socket on Deno does not know its protocol; so the protocol is given here.
 */
import { getLogger } from "@logtape/logtape";
import { execute, type ExecutionArgs, type ExecutionResult, getOperationAST } from "graphql";
import {
  type Context,
  GRAPHQL_TRANSPORT_WS_PROTOCOL,
  makeServer,
  MessageType,
  parseMessage,
  type Server,
  type SubscribePayload,
  type WebSocket as ProtocolSocket,
} from "graphql-ws";
import { HubError } from "../../errors.ts";
import {
  GRAPHQL_SOCKET_HELLO_MS,
  GRAPHQL_SOCKET_IDLE_SECONDS,
  GRAPHQL_SOCKET_OPERATIONS_MAX,
  GRAPHQL_SOCKETS_MAX,
  SOCKET_FAREWELL_MS,
} from "../../limits.ts";
import type { GraphqlContext } from "./builder.ts";
import type { Documents } from "./documents.ts";
import { shapeErrors } from "./errors.ts";
import { ResultStream } from "./result_stream.ts";
import { schema } from "./schema.ts";
import { type CloseReason, SocketConnection } from "./socket_connection.ts";

const log = getLogger(["eventhub", "graphql"]);

/** What operations on a socket are given. */
interface SocketContext extends GraphqlContext {
  readonly connection: SocketConnection;
}

/** What belongs to a socket. */
interface Extra extends Record<PropertyKey, unknown> {
  readonly connection: SocketConnection;
  readonly context: GraphqlContext;
}

type SocketArgs = ExecutionArgs & { contextValue: SocketContext };

/** What the sockets need. */
export interface SocketsOptions {
  readonly documents: Documents;
  /** Opens a subscription. */
  readonly subscribe: (
    args: ExecutionArgs & { contextValue: GraphqlContext },
  ) => Promise<ResultStream | ExecutionResult>;
}

/** All WebSockets of a thread. */
export class Sockets implements AsyncDisposable {
  readonly #documents: Documents;
  readonly #server: Server<Extra>;
  readonly #open = new Set<SocketConnection>();
  #closing = false;

  constructor({ documents, subscribe }: SocketsOptions) {
    this.#documents = documents;
    this.#server = makeServer<Record<string, unknown>, Extra>({
      connectionInitWaitTimeout: GRAPHQL_SOCKET_HELLO_MS,
      onSubscribe: (ctx, _id, payload) => this.#argumentsOf(ctx, payload),
      execute: async (args) => await executeShaped(args as SocketArgs),
      subscribe: async (args) => {
        const { contextValue } = args as SocketArgs;
        const result = await subscribe(args as SocketArgs);
        if (!(result instanceof ResultStream)) return shaped(result, contextValue);
        contextValue.connection.follow(result.ended);
        return new Messages(result);
      },
    });
  }

  /** Turns a request into a socket. Throws `HubError` when there are too many, or at the end. */
  upgrade(request: Request, context: GraphqlContext): Response {
    if (this.#closing) throw new HubError("unavailable", "The hub is shutting down");
    if (this.#open.size >= GRAPHQL_SOCKETS_MAX) throw new HubError("overloaded", "There are too many WebSockets");
    const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());
    const protocol = offered.includes(GRAPHQL_TRANSPORT_WS_PROTOCOL) ? GRAPHQL_TRANSPORT_WS_PROTOCOL : undefined;
    const { socket, response } = upgradeSocket(request, protocol);
    const connection: SocketConnection = new SocketConnection(socket, {
      protocol: protocol ?? "",
      opened: (adapter) => this.#server.opened(ofClient(adapter), { connection, context }),
      gone: () => this.#open.delete(connection),
      failed: (cause) => log.error("A WebSocket failed", { request_id: context.requestId, cause }),
    });
    this.#open.add(connection);
    return response;
  }

  /** Closes all sockets when their operations have said their last words, or after `SOCKET_FAREWELL_MS` in any case. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    const reason: CloseReason = { code: 1001, text: "The hub is shutting down" };
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(() => late.resolve(), SOCKET_FAREWELL_MS);
    const farewells = [...this.#open].map((connection) => connection.farewell(reason));
    await Promise.race([Promise.all(farewells), late.promise]);
    clearTimeout(timer);
    for (const connection of this.#open) connection.cut(reason);
  }

  /** What to execute, or why not. */
  #argumentsOf(ctx: Context<Record<string, unknown>, Extra>, payload: SubscribePayload) {
    const { connection, context } = ctx.extra;
    try {
      if (Object.keys(ctx.subscriptions).length > GRAPHQL_SOCKET_OPERATIONS_MAX) {
        const most = `At most ${GRAPHQL_SOCKET_OPERATIONS_MAX} operations may run on one WebSocket`;
        throw new HubError("overloaded", most);
      }
      const document = this.#documents.parse(payload.query);
      const faults = this.#documents.validate(document);
      if (faults.length > 0) return shapeErrors(faults, context);
      if (getOperationAST(document, payload.operationName)?.operation === "mutation") {
        throw new HubError("method_not_allowed", "Mutations are taken by POST of application/json only");
      }
      const contextValue: SocketContext = { ...context, connection };
      const { operationName, variables: variableValues } = payload;
      return { schema, document, operationName, variableValues, contextValue, hideSuggestions: true };
    } catch (error) {
      return shapeErrors([error], context);
    }
  }
}

/** What only a server sends. graphql-ws throws at it, which would look like a fault of the hub. */
const SERVER_MESSAGES: ReadonlySet<MessageType> = new Set([
  MessageType.ConnectionAck,
  MessageType.Next,
  MessageType.Error,
]);

/** The socket, closed as for any other invalid message when a client sends what only a server may. */
function ofClient(adapter: ProtocolSocket): ProtocolSocket {
  return {
    ...adapter,
    onMessage: (receive) =>
      adapter.onMessage(async (data) => {
        try {
          await receive(data);
        } catch (error) {
          if (!SERVER_MESSAGES.has(parseMessage(data).type)) throw error;
          await adapter.close(4400, "Only a server sends such a message");
        }
      }),
  };
}

/** The single results of a subscription; signs of life are the socket's own business. */
class Messages implements AsyncIterableIterator<ExecutionResult, undefined> {
  readonly #stream: ResultStream;
  #waiting: readonly ExecutionResult[] = [];
  #next = 0;

  constructor(stream: ResultStream) {
    this.#stream = stream;
  }

  async next(): Promise<IteratorResult<ExecutionResult, undefined>> {
    while (this.#next === this.#waiting.length) {
      const { done, value } = await this.#stream.next();
      if (done) return { done: true, value: undefined };
      this.#waiting = value.results;
      this.#next = 0;
    }
    return { done: false, value: this.#waiting[this.#next++]! };
  }

  async return(): Promise<IteratorResult<ExecutionResult, undefined>> {
    this.#waiting = [];
    this.#next = 0;
    return await this.#stream.return() as IteratorResult<ExecutionResult, undefined>;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

async function executeShaped(args: SocketArgs): Promise<ExecutionResult> {
  return shaped(await execute(args), args.contextValue);
}

function shaped(result: ExecutionResult, context: GraphqlContext): ExecutionResult {
  return result.errors === undefined ? result : { ...result, errors: shapeErrors(result.errors, context) };
}

function upgradeSocket(request: Request, protocol: string | undefined): Deno.WebSocketUpgrade {
  try {
    return Deno.upgradeWebSocket(request, {
      idleTimeout: GRAPHQL_SOCKET_IDLE_SECONDS,
      ...(protocol === undefined ? {} : { protocol }),
    });
  } catch (cause) {
    throw new HubError("malformed", "This is not a WebSocket handshake", { cause });
  }
}
