/** Errors on the wire: one table from code to `extensions.code`, and the only place where errors are shaped. */
import { getLogger } from "@logtape/logtape";
import { GraphQLError, Kind } from "graphql";
import { type ErrorCode, type FieldError, HubError, toHubError } from "../../errors.ts";
import { ERROR_MESSAGE_CHARACTERS_MAX } from "../../limits.ts";
import { spellFieldError, spellMessage } from "./convert.ts";

const log = getLogger(["eventhub", "graphql"]);

/** `extensions.code` of each code. Those the contract gives no GraphQL code concern the request as HTTP alone. */
export const CODES = {
  invalid_argument: "BAD_USER_INPUT",
  malformed: "BAD_REQUEST",
  conflict: "CONFLICT",
  not_found: "NOT_FOUND",
  method_not_allowed: "METHOD_NOT_ALLOWED",
  not_acceptable: "NOT_ACCEPTABLE",
  invalid_cursor: "BAD_USER_INPUT",
  range_too_large: "BAD_USER_INPUT",
  cursor_reset: "CURSOR_RESET",
  slow_consumer: "SLOW_CONSUMER",
  unauthenticated: "UNAUTHENTICATED",
  permission_denied: "FORBIDDEN",
  payload_too_large: "PAYLOAD_TOO_LARGE",
  unsupported_media_type: "UNSUPPORTED_MEDIA_TYPE",
  rate_limited: "RATE_LIMITED",
  timeout: "REQUEST_TIMEOUT",
  overloaded: "UNAVAILABLE",
  unavailable: "UNAVAILABLE",
  deadline_exceeded: "TIMEOUT",
  internal: "INTERNAL_SERVER_ERROR",
} as const satisfies Record<ErrorCode, string>;

/** HTTP status of the codes that can refuse a request before it is GraphQL; any other is answered with 200. */
const REQUEST_STATUS: Partial<Record<ErrorCode, number>> = {
  malformed: 400,
  method_not_allowed: 405,
  not_acceptable: 406,
  permission_denied: 403,
  payload_too_large: 413,
  unsupported_media_type: 415,
  timeout: 408,
  unavailable: 503,
  overloaded: 503,
  internal: 500,
};

/** What the engine and graphql-js call errors of their own, in the words of the table. */
const FOREIGN_CODES: Readonly<Record<string, ErrorCode>> = {
  GRAPHQL_PARSE_FAILED: "malformed",
  BAD_REQUEST: "malformed",
  GRAPHQL_VALIDATION_FAILED: "invalid_argument",
  OPERATION_RESOLUTION_FAILURE: "invalid_argument",
};

/** What the shaping of an error needs to know. */
export interface ErrorOptions {
  readonly requestId: string;
}

/** The HTTP status of a request that was refused as a whole. */
export function statusOf(code: ErrorCode): number {
  return REQUEST_STATUS[code] ?? 400;
}

/** A refusal of the request as a whole, before it is GraphQL, for the engine; its answer has the code's HTTP status. */
export function refuse(error: HubError, headers: Record<string, string> = {}): GraphQLError {
  if (error.retryAfterSeconds !== undefined) headers["retry-after"] = String(Math.ceil(error.retryAfterSeconds));
  return new GraphQLError(error.message, {
    originalError: error,
    extensions: { http: { status: statusOf(error.code), headers } },
  });
}

/**
 * The error as a client may see it: with `extensions.code`, field errors in GraphQL's spelling, and everything a retry
 * needs. What is not a `HubError` or a fault of the query is logged here, once, and shown without detail.
 */
export function shapeError(error: unknown, { requestId }: ErrorOptions): GraphQLError {
  const located = error instanceof GraphQLError ? error : null;
  const cause = located === null ? error : causeOf(located);
  if (cause !== null) return shapeHubError(toHubError(cause), located, requestId);
  const { message, extensions } = located!;
  const { code, http, originalError: _original, ...rest } = extensions;
  const variable = code === undefined ? variableFault(located!) : null;
  return rebuild(located, message, {
    ...rest,
    code: codeOf(code, http),
    ...(variable === null ? {} : { errors: [variable] }),
    ...(http !== undefined ? { http } : variable !== null ? { http: { status: 400, spec: true } } : {}),
  });
}

/** {@link shapeError} of each, without what only concerns HTTP: for messages inside a stream or a socket. */
export function shapeErrors(errors: readonly unknown[], options: ErrorOptions): GraphQLError[] {
  return errors.map((error) => {
    const shaped = shapeError(error, options);
    const { http: _http, ...extensions } = shaped.extensions;
    return rebuild(shaped, shaped.message, extensions);
  });
}

function shapeHubError(error: HubError, located: GraphQLError | null, requestId: string): GraphQLError {
  if (error.code === "internal") {
    log.error("A request failed: {path}", {
      path: located?.path?.join(".") ?? "",
      request_id: requestId,
      cause: error.cause ?? error,
    });
  }
  const http = located?.extensions.http;
  const faults = faultsOf(error);
  return rebuild(located, spellMessage(error), {
    code: CODES[error.code],
    ...(faults.length === 0 ? {} : { errors: faults.map(spellFieldError) }),
    ...(error.id === undefined ? {} : { id: error.id }),
    ...(error.retryAfterSeconds === undefined ? {} : { retryAfter: error.retryAfterSeconds }),
    ...(error.cursor === undefined ? {} : { cursor: error.cursor }),
    ...(error.code === "internal" ? { requestId } : {}),
    ...(http === undefined ? {} : { http }),
  });
}

/** The fields at fault; a cursor comes in one argument only, so the hub does not name it. */
function faultsOf({ code, message, errors }: HubError): readonly FieldError[] {
  if (code !== "invalid_cursor" || errors.length > 0) return errors;
  return [{ parameter: "after", code: "invalid_value", detail: message }];
}

/** What a resolver threw; `null` when the fault is in the query itself. */
function causeOf(error: GraphQLError): unknown {
  let original: unknown = error;
  while (original instanceof GraphQLError && original.originalError !== undefined) original = original.originalError;
  if (!(original instanceof GraphQLError)) return original;
  // A value that a scalar could not write has a path but no place in the query: that is the hub's own fault.
  return error.path !== undefined && original !== error && original.nodes === undefined ? original : null;
}

/** Where a variable does not fit its type. `parameter` is the variable, `pointer` the place in its value. */
function variableFault(error: GraphQLError): FieldError | null {
  const node = error.nodes?.[0];
  if (node?.kind !== Kind.VARIABLE_DEFINITION || error.path !== undefined) return null;
  const name = node.variable.name.value;
  const place = new RegExp(` at "${name}((?:\\.\\w+|\\[\\d+\\])*)"; `).exec(error.message)?.[1] ?? "";
  const unknown = / Field "(\w+)" is not defined by type /.exec(error.message);
  const pointer = place.replaceAll(/\.(\w+)|\[(\d+)\]/g, "/$1$2") + (unknown === null ? "" : `/${unknown[1]}`);
  const missing = / was not provided\.$| must not be null\.$|; Expected non-nullable type /.test(error.message);
  return {
    parameter: `$${name}`,
    ...(pointer === "" ? {} : { pointer }),
    code: unknown !== null ? "unknown_field" : missing ? "required" : "invalid_type",
    detail: shorten(error.message),
  };
}

/** The code of an error that did not come from the hub. */
function codeOf(given: unknown, http: unknown): string {
  if ((http as { status?: number } | undefined)?.status === 405) return CODES.method_not_allowed;
  if (Object.values<unknown>(CODES).includes(given)) return given as string;
  return CODES[FOREIGN_CODES[String(given)] ?? "invalid_argument"];
}

function rebuild(error: GraphQLError | null, message: string, extensions: Record<string, unknown>): GraphQLError {
  const { nodes, source, positions, path } = error ?? {};
  return new GraphQLError(shorten(message), { nodes, source, positions, path, extensions });
}

/** A message in bounded length: those of graphql-js repeat the value that was sent, however long it is. */
export function shorten(message: string): string {
  return message.length <= ERROR_MESSAGE_CHARACTERS_MAX
    ? message
    : message.slice(0, ERROR_MESSAGE_CHARACTERS_MAX).toWellFormed() + "…";
}

/** The answer to a request that is refused before it reaches the engine. */
export function refusalResponse(error: unknown, { requestId }: ErrorOptions): Response {
  const hubError = toHubError(error);
  const [shaped] = shapeErrors([error], { requestId });
  const headers = new Headers({ "content-type": "application/json; charset=utf-8" });
  if (hubError.retryAfterSeconds !== undefined) {
    headers.set("retry-after", String(Math.ceil(hubError.retryAfterSeconds)));
  }
  if (hubError.code === "method_not_allowed") headers.set("allow", "GET, POST, OPTIONS");
  return new Response(JSON.stringify({ errors: [shaped] }), { status: statusOf(hubError.code), headers });
}
