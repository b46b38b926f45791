/** `/graphql`: queries and mutations over HTTP, subscriptions over server-sent events and WebSocket, and GraphiQL. */
import type { ExecutionArgs, ExecutionResult } from "graphql";
import type { Config } from "../../config.ts";
import { HubError } from "../../errors.ts";
import type { HubApi } from "../../hub.ts";
import { BodyReader } from "../body.ts";
import { Cors } from "../cors.ts";
import { requestIdOf } from "../request_id.ts";
import type { GraphqlContext } from "./builder.ts";
import { Documents } from "./documents.ts";
import { createEngine, type HttpContext } from "./engine.ts";
import { refusalResponse } from "./errors.ts";
import { graphiqlPage, wantsPage } from "./graphiql.ts";
import { openResultStream, ResultStream } from "./result_stream.ts";
import { sdl } from "./schema.ts";
import { Sockets } from "./websocket.ts";

/** What the interface stands on. */
export interface GraphqlOptions {
  readonly hub: HubApi;
  readonly config: Config;
}

/**
 * A GraphQL interface. Disposing it takes no new work and gives up bodies that are still coming, both with an answer, ends
 * all subscriptions with their cursors, and closes all WebSockets.
 */
export interface Graphql extends AsyncDisposable {
  fetch(request: Request): Response | Promise<Response>;
  /** The schema as text. */
  readonly sdl: string;
}

const METHODS = "GET, POST, OPTIONS";

/** Makes the GraphQL interface of contract section 3. */
export function createGraphql({ hub, config }: GraphqlOptions): Graphql {
  const documents = new Documents({ introspection: config.introspection === "on" });
  const streams = new Streams();
  const subscribe = (args: ExecutionArgs & { contextValue: GraphqlContext }) => streams.open(args);
  const bodies = new BodyReader({ timeoutMs: config.requestTimeoutMs });
  const engine = createEngine({ documents, subscribe, bodies });
  const sockets = new Sockets({ documents, subscribe });
  const cors = new Cors(config.corsOrigins);
  let closing = false;

  const answer = async (request: Request, requestId: string): Promise<Response> => {
    const context: GraphqlContext = { hub, requestId, naiveZone: config.naiveZone };
    if (request.method !== "GET" && request.method !== "POST") {
      throw new HubError("method_not_allowed", "GraphQL is asked by GET and POST");
    }
    if (config.graphiql === "on" && wantsPage(request)) return await graphiqlPage(request);
    const http: HttpContext = { ...context, opened: { stream: null } };
    const response = await engine(request, http);
    // The engine refuses an unknown media type without a word.
    if (response.status !== 406) return response;
    throw new HubError("not_acceptable", "Accept application/json, or text/event-stream for a subscription");
  };

  return {
    sdl,
    async fetch(request) {
      const requestId = requestIdOf(request);
      let response: Response;
      try {
        if (closing) throw new HubError("unavailable", "The hub is shutting down");
        if (request.headers.get("upgrade")?.toLowerCase() === "websocket") {
          // Pages of other sites may open WebSockets anywhere, and no browser asks first, as it does for CORS.
          if (!cors.allows(request)) throw new HubError("permission_denied", "This origin may not use the hub");
          return sockets.upgrade(request, { hub, requestId, naiveZone: config.naiveZone });
        }
        response = request.method === "OPTIONS"
          ? new Response(null, { status: 204, headers: { allow: METHODS } })
          : await answer(request, requestId);
      } catch (error) {
        response = refusalResponse(error, { requestId });
      }
      response.headers.set("x-request-id", requestId);
      const shared = request.method === "OPTIONS" ? cors.preflight(request, METHODS) : cors.headers(request);
      // Appended: an answer may vary with more than its origin.
      for (const [name, value] of Object.entries(shared ?? {})) response.headers.append(name, value);
      return response;
    },
    async [Symbol.asyncDispose]() {
      closing = true;
      bodies.close();
      streams.close();
      await sockets[Symbol.asyncDispose]();
    },
  };
}

/** The subscriptions that run. */
class Streams {
  readonly #open = new Set<ResultStream>();
  #closing = false;

  async open(args: ExecutionArgs & { contextValue: GraphqlContext }): Promise<ResultStream | ExecutionResult> {
    const result = await openResultStream(args, (stream) => this.#open.delete(stream));
    if (!(result instanceof ResultStream)) return result;
    this.#open.add(result);
    if (this.#closing) result.end();
    return result;
  }

  /** Lets all of them end with their cursors. */
  close(): void {
    this.#closing = true;
    for (const stream of this.#open) stream.end();
  }
}
