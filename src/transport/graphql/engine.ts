/** Yoga over the schema: GraphQL over HTTP, with its own reading of requests, limits, errors and event streams. */
import { execute, type ExecutionArgs, type ExecutionResult, type GraphQLError } from "graphql";
import { type Plugin, YogaServer } from "graphql-yoga";
import { HubError } from "../../errors.ts";
import type { BodyReader } from "../body.ts";
import type { GraphqlContext } from "./builder.ts";
import type { Documents } from "./documents.ts";
import { refuse, shapeError, shapeErrors } from "./errors.ts";
import { toEventStream, wantsEventStream } from "./event_stream.ts";
import { readParameters } from "./parameters.ts";
import { ResultStream } from "./result_stream.ts";
import { schema } from "./schema.ts";

/** What Yoga is given with a request. */
export interface HttpContext extends GraphqlContext {
  /** Where the subscription of this request is put, on its way around Yoga's own wrapping of results. */
  readonly opened: { stream: ResultStream | null };
}

/** What the engine is made of. */
export interface EngineOptions {
  readonly documents: Documents;
  readonly bodies: BodyReader;
  /** Opens a subscription. */
  readonly subscribe: (
    args: ExecutionArgs & { contextValue: GraphqlContext },
  ) => Promise<ResultStream | ExecutionResult>;
}

/** Answers a GraphQL request over HTTP. */
export type Engine = (request: Request, context: HttpContext) => Promise<Response>;

/**
 * Makes the engine. It is Yoga without the server around it (`createYoga`), which is for other runtimes and would take
 * a third of the time of a mutation. What is Yoga's default and is off here: CORS for everybody, GraphiQL from a CDN, its landing page,
 * multipart and urlencoded bodies, batching, masking and logging of errors (`errors.ts` does both).
 */
export function createEngine(options: EngineOptions): Engine {
  const yoga = new YogaServer<HttpContext, Record<never, never>>({
    schema,
    plugins: [executionPlugin(options), httpPlugin(options)],
    cors: false,
    graphiql: false,
    landingPage: false,
    multipart: false,
    batching: false,
    maskedErrors: false,
    logging: false,
    parserAndValidationCache: false,
    maxRequestBodySize: false,
  });
  // Nothing here runs on behind an answer, so there is nothing to wait for.
  const waitUntil = (): void => {};
  return async (request, context) => await yoga.handle(request, { ...context, waitUntil });
}

/** Parsing, validation and execution by graphql-js, cached and limited. */
function executionPlugin({ documents, subscribe }: EngineOptions): Plugin<HttpContext> {
  return {
    onParse({ setParseFn }) {
      setParseFn((text: string) => documents.parse(text));
    },
    onValidate({ setValidationFn }) {
      setValidationFn((_schema, document) => documents.validate(document));
    },
    onExecute({ setExecuteFn }) {
      setExecuteFn((args: ExecutionArgs) => execute({ ...args, hideSuggestions: true }));
    },
    onSubscribe({ setSubscribeFn }) {
      setSubscribeFn(async (args: ExecutionArgs) => {
        const contextValue = args.contextValue as HttpContext;
        const result = await subscribe({ ...args, contextValue });
        if (result instanceof ResultStream) contextValue.opened.stream = result;
        return result;
      });
    },
  };
}

/** Requests in, results out. */
function httpPlugin({ bodies }: EngineOptions): Plugin<HttpContext> {
  return {
    onRequestParse({ setRequestParser }) {
      setRequestParser(async (request) => {
        try {
          return await readParameters(request, bodies);
        } catch (error) {
          if (!(error instanceof HubError)) throw error;
          // The rest of a body that came too slowly is not waited for.
          throw refuse(error, error.code === "timeout" ? { connection: "close" } : {});
        }
      });
    },
    onResultProcess({ request, result, setResult, resultProcessor, setResultProcessor, serverContext }) {
      const { opened: { stream }, requestId } = serverContext as unknown as HttpContext;
      if (stream !== null) {
        // Yoga found nothing for a subscription in what the client accepts, and is about to refuse it.
        if (resultProcessor === undefined) void stream.return();
        else setResultProcessor(() => toEventStream(stream), "text/event-stream");
        return;
      }
      const { errors, ...rest } = result as ExecutionResult;
      if (!wantsEventStream(request)) {
        if (errors !== undefined) {
          setResult({
            ...rest,
            errors: errors.map((error) => shapeError(error, { requestId })),
          });
        }
        return;
      }
      const shaped = errors === undefined ? rest : { ...rest, errors: shapeErrors(errors, { requestId }) };
      setResultProcessor(() => toEventStream(shaped, statusIn(errors)), "text/event-stream");
    },
  };
}

/** The status of a request that was refused before it was GraphQL; 200 otherwise. */
function statusIn(errors: readonly GraphQLError[] = []): number {
  for (const { extensions } of errors) {
    const http = extensions.http as { status?: number; spec?: boolean } | undefined;
    if (http?.status !== undefined && http.spec !== true) return http.status;
  }
  return 200;
}
