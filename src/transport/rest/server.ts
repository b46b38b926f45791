/** The REST interface: the routes, and what is the same for all of them. */
import { Hono } from "hono";
import type { Config } from "../../config.ts";
import type { DeadLetterApi } from "../../dead_letter_desk.ts";
import { HubError } from "../../errors.ts";
import type { HubApi } from "../../hub.ts";
import { BodyReader } from "../body.ts";
import { Cors } from "../cors.ts";
import { Deadlines } from "../deadlines.ts";
import { shown } from "../target.ts";
import { answerError } from "./errors.ts";
import { Exchange } from "./exchange.ts";
import { aggregateRoutes } from "./handlers_aggregates.ts";
import { deadLetterRoutes } from "./handlers_dead_letters.ts";
import { documentRoutes } from "./handlers_documents.ts";
import { eventRoutes } from "./handlers_events.ts";
import { ingestRoutes } from "./handlers_ingest.ts";
import { operationRoutes } from "./handlers_operations.ts";
import { declareParameters } from "./parameters.ts";
import type { Operations, Page, RestContext, Route } from "./route.ts";

export type { Operations, Page, Route } from "./route.ts";

/** What the interface stands on. */
export interface RestOptions {
  readonly hub: HubApi;
  readonly deadLetters: DeadLetterApi;
  readonly config: Config;
  readonly operations: Operations;
  readonly documents: { readonly schema: string; readonly protos: Readonly<Record<string, string>> };
  /** Pages for people by path, for example `/docs`. */
  readonly pages?: Readonly<Record<string, Page>>;
  /** What else is served, by path: it gets the requests of every method, and makes whole answers of its own. */
  readonly mounted?: Readonly<Record<string, (request: Request) => Response | Promise<Response>>>;
  /** Whether only the routes of operations are served; everything else is not found. */
  readonly onlyOperations?: boolean;
  /** Is told of every answer; a stream is answered when it begins. */
  readonly observe?: (route: string, status: number, seconds: number) => void;
}

/** A REST interface. */
export interface Rest {
  fetch(request: Request, info?: Deno.ServeHandlerInfo): Response | Promise<Response>;
  /**
   * Takes no new work but operations, and gives up bodies that are still coming, with an answer; call it before the
   * server is shut down. Harmless twice.
   */
  close(): void;
  /** What is served, for the documentation and its test. */
  readonly routes: readonly Route[];
}

/** Makes the REST interface of contract section 2. */
export function createRest(options: RestOptions): Rest {
  const { config, operations, documents, pages = {}, mounted = {}, onlyOperations = false, observe } = options;
  const bodies = new BodyReader({ timeoutMs: config.requestTimeoutMs });
  const context: RestContext = {
    hub: options.hub,
    deadLetters: options.deadLetters,
    config,
    operations,
    bodies,
    parameters: declareParameters(config.naiveZone),
  };
  const describe = async () => {
    // The schemas take a while to load, and most processes are never asked for them.
    const { describeApi } = await import("./openapi.ts");
    return describeApi(routes, { version: operations.version });
  };
  const routes: readonly Route[] = onlyOperations ? operationRoutes(context) : [
    ...ingestRoutes(context),
    ...eventRoutes(context),
    ...aggregateRoutes(context),
    ...deadLetterRoutes(context),
    ...operationRoutes(context),
    ...documentRoutes({ ...documents, pages }, describe),
  ];
  const cors = new Cors(config.corsOrigins);
  const deadlines = new Deadlines(config.requestTimeoutMs);
  const answer = async (name: string, request: Request, handle: Route["handle"]): Promise<Response> => {
    const startedAt = observe === undefined ? 0 : performance.now();
    const exchange = new Exchange(request, cors.headers(request));
    let response: Response;
    try {
      response = await handle(exchange);
    } catch (error) {
      response = answerError(exchange, error);
    }
    observe?.(name, response.status, (performance.now() - startedAt) / 1000);
    return request.method === "HEAD" ? await withLength(response) : response;
  };

  let closing = false;
  const whileOpen = (handle: Route["handle"]): Route["handle"] => (exchange) => {
    if (closing) throw new HubError("unavailable", "The hub is shutting down");
    return handle(exchange);
  };
  const app = new Hono();
  const methods = new Methods(routes);
  // The path that the router saw, with what need not be percent-encoded decoded.
  const other = (path: string): Route["handle"] => (exchange) => answerOther(exchange, { path, methods, cors });
  for (const [path, serve] of Object.entries(mounted)) app.all(path, ({ req }) => serve(req.raw));
  // A path that is only written to may look like another route's path with a variable part to a reader.
  for (const path of methods.unreadable) app.get(path, ({ req }) => answer("other", req.raw, other(req.path)));
  for (const route of routes) {
    const name = `${route.method} ${route.path}`;
    const inTime = route.method === "GET" ? withDeadline(deadlines, route) : route.handle;
    const handle = route.operation.tag === "operations" ? inTime : whileOpen(inTime);
    app.on(route.method, route.path.replaceAll(/\{(\w+)\}/g, ":$1"), ({ req }) => answer(name, req.raw, handle));
  }
  app.notFound(({ req }) => answer("other", req.raw, other(req.path)));
  return {
    routes,
    fetch: (request) => app.fetch(request),
    close: () => {
      closing = true;
      bodies.close();
    },
  };
}

/** Hono drops the body of an answer to HEAD; its length stays, as GET would tell it (RFC 9110, section 9.3.2). */
async function withLength(response: Response): Promise<Response> {
  if (response.body === null) return response;
  const { length } = await response.bytes();
  const headers = new Headers(response.headers);
  headers.set("content-length", String(length));
  return new Response(null, { status: response.status, headers });
}

/** Which methods a path has, for `Allow`. */
class Methods {
  readonly #paths: readonly { readonly pattern: RegExp; readonly methods: readonly string[] }[];
  /** Paths without variable parts that cannot be read. */
  readonly unreadable: readonly string[];

  constructor(routes: readonly Route[]) {
    const byPath = Map.groupBy(routes, ({ path }) => path);
    const reads = (path: string) => byPath.get(path)!.some(({ method }) => method === "GET");
    const paths = [...byPath.keys()];
    this.unreadable = paths.filter((path) => !reads(path) && !path.includes("{"));
    // A path without variable parts beats one with them, as it does in routing.
    this.#paths = paths.sort((a, b) => Number(a.includes("{")) - Number(b.includes("{"))).map((path) => ({
      pattern: new RegExp(`^${path.replaceAll(/[.+*?^$()|[\]\\]/g, "\\$&").replaceAll(/\{\w+\}/g, "[^/]+")}$`),
      methods: [...byPath.get(path)!.flatMap(({ method }) => method === "GET" ? ["GET", "HEAD"] : [method]), "OPTIONS"],
    }));
  }

  /** The methods of a path; `null` when the path is unknown. */
  of(path: string): readonly string[] | null {
    return this.#paths.find(({ pattern }) => pattern.test(path))?.methods ?? null;
  }
}

/** What is written has deadlines of its own, for its body and its commit; what is read gets one here. */
function withDeadline(deadlines: Deadlines, route: Route): Route["handle"] {
  return async (exchange) => {
    const handling = Promise.resolve(route.handle(exchange));
    let late = false;
    try {
      return await deadlines.guard(handling, () => {
        late = true;
        return new HubError("deadline_exceeded", "The hub did not find the answer in time");
      });
    } finally {
      // A stream that opens now has no reader any more.
      if (late) handling.then((response) => response.body?.cancel(), () => undefined);
    }
  };
}

/** A request that no route takes: another method of a known path, or an unknown path. */
function answerOther(exchange: Exchange, options: { path: string; methods: Methods; cors: Cors }): Response {
  const { path, methods, cors } = options;
  const { request } = exchange;
  const allowed = methods.of(path);
  if (allowed === null) {
    return answerError(exchange, new HubError("not_found", `There is nothing at ${shown(path)}`));
  }
  const allow = allowed.join(", ");
  if (request.method === "OPTIONS") {
    return new Response(null, {
      status: 204,
      headers: { allow, "x-request-id": exchange.requestId, ...cors.preflight(request, allow) },
    });
  }
  const error = new HubError("method_not_allowed", `${shown(request.method)} is not allowed here, but ${allow}`);
  return answerError(exchange, error, { headers: { allow } });
}
