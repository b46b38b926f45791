/** The REST interface: the routes, and what is the same for all of them. */
import type { Config } from "../../config.ts";
import { HubError } from "../../errors.ts";
import type { HubApi } from "../../hub.ts";
import { BodyReader } from "../body.ts";
import { Cors } from "../cors.ts";
import { Deadlines } from "../deadlines.ts";
import { answerError } from "./errors.ts";
import { Exchange } from "./exchange.ts";
import { aggregateRoutes } from "./handlers_aggregates.ts";
import { documentRoutes } from "./handlers_documents.ts";
import { eventRoutes } from "./handlers_events.ts";
import { ingestRoutes } from "./handlers_ingest.ts";
import { operationRoutes } from "./handlers_operations.ts";
import { declareParameters } from "./parameters.ts";
import { Router } from "./router.ts";
import type { Operations, Page, RestContext, Route } from "./route.ts";

export type { Operations, Page, Route } from "./route.ts";

/** A route and how metrics call it, for example `POST /events`. */
type NamedRoute = Route & { readonly name: string };

/** What the interface stands on. */
export interface RestOptions {
  readonly hub: HubApi;
  readonly config: Config;
  readonly operations: Operations;
  readonly documents: { readonly schema: string; readonly protos: Readonly<Record<string, string>> };
  /** Pages for people by path, for example `/docs`. */
  readonly pages?: Readonly<Record<string, Page>>;
  /** Is told of every answer; a stream is answered when it begins. */
  readonly observe?: (route: string, status: number, seconds: number) => void;
}

/** A REST interface. */
export interface Rest {
  fetch(request: Request, info?: Deno.ServeHandlerInfo): Response | Promise<Response>;
  /** What is served, for the documentation and its test. */
  readonly routes: readonly Route[];
}

/** Makes the REST interface of contract section 2. */
export function createRest(options: RestOptions): Rest {
  const { hub, config, operations, documents, pages = {}, observe } = options;
  const context: RestContext = {
    hub,
    config,
    operations,
    bodies: new BodyReader({ timeoutMs: config.requestTimeoutMs }),
    parameters: declareParameters(config.naiveZone),
  };
  const describe = async () => {
    // The schemas take a while to load, and most processes are never asked for them.
    const { describeApi } = await import("./openapi.ts");
    return describeApi(routes, { version: operations.version });
  };
  const routes: readonly NamedRoute[] = [
    ...ingestRoutes(context),
    ...eventRoutes(context),
    ...aggregateRoutes(context),
    ...operationRoutes(context),
    ...documentRoutes({ ...documents, pages }, describe),
  ].map((route) => ({ ...route, name: `${route.method} ${route.path}` }));
  const router = new Router(routes);
  const cors = new Cors(config.corsOrigins);
  const deadlines = new Deadlines(config.requestTimeoutMs);
  const handle = (route: Route, exchange: Exchange): Response | Promise<Response> =>
    route.method === "GET" ? handleInTime(deadlines, route, exchange) : route.handle(exchange);
  const fetch = async (request: Request): Promise<Response> => {
    const startedAt = observe === undefined ? 0 : performance.now();
    const exchange = new Exchange(request, cors.headers(request));
    const route = router.find(request.method, exchange.path);
    let response: Response;
    try {
      response = route === null ? answerOther(exchange, { router, cors }) : await handle(route, exchange);
    } catch (error) {
      response = answerError(exchange, error);
    }
    observe?.(route?.name ?? "other", response.status, (performance.now() - startedAt) / 1000);
    return response;
  };
  return { fetch, routes };
}

/** What is written has deadlines of its own, for its body and its commit; what is read gets one here. */
async function handleInTime(deadlines: Deadlines, route: Route, exchange: Exchange): Promise<Response> {
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
}

/** A request that no route takes: another method of a known path, or an unknown path. */
function answerOther(exchange: Exchange, { router, cors }: { router: Router; cors: Cors }): Response {
  const { path, request } = exchange;
  const allowed = router.methods(path);
  if (allowed === null) return answerError(exchange, new HubError("not_found", `There is nothing at ${path}`));
  const allow = allowed.join(", ");
  if (request.method === "OPTIONS") {
    return new Response(null, {
      status: 204,
      headers: { allow, "x-request-id": exchange.requestId, ...cors.preflight(request, allow) },
    });
  }
  const error = new HubError("method_not_allowed", `${request.method} is not allowed here, but ${allow}`);
  return answerError(exchange, error, { headers: { allow } });
}
