/** Errors on the wire: problem details (RFC 9457), one table from code to status. */
import { getLogger } from "@logtape/logtape";
import { type ErrorCode, type HubError, toHubError } from "../../errors.ts";
import { shown } from "../target.ts";
import { type Exchange, PROBLEM_TYPE } from "./exchange.ts";

const log = getLogger(["eventhub", "rest"]);

/** Status and title of each code. `cursor_reset` and `slow_consumer` reach REST clients inside a stream only. */
export const STATUS = {
  invalid_argument: { status: 422, title: "The input is not valid" },
  malformed: { status: 400, title: "The request cannot be read" },
  conflict: { status: 409, title: "The id is taken by other content" },
  not_found: { status: 404, title: "Not found" },
  method_not_allowed: { status: 405, title: "The method is not allowed here" },
  not_acceptable: { status: 406, title: "No acceptable representation" },
  invalid_cursor: { status: 400, title: "The cursor is not valid" },
  range_too_large: { status: 422, title: "The range is too large" },
  cursor_reset: { status: 410, title: "The position is lost" },
  slow_consumer: { status: 503, title: "The reader was too slow" },
  unauthenticated: { status: 401, title: "Credentials are needed" },
  permission_denied: { status: 403, title: "Not permitted" },
  payload_too_large: { status: 413, title: "The body is too large" },
  unsupported_media_type: { status: 415, title: "The media type is not supported" },
  rate_limited: { status: 429, title: "Too many requests" },
  timeout: { status: 408, title: "The request came too slowly" },
  overloaded: { status: 503, title: "The hub is overloaded" },
  unavailable: { status: 503, title: "The hub is not available" },
  deadline_exceeded: { status: 504, title: "The hub took too long" },
  internal: { status: 500, title: "The hub failed" },
} as const satisfies Record<ErrorCode, { status: number; title: string }>;

/** The members of every problem. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  readonly code: ErrorCode;
  readonly request_id: string;
}

/** The members every problem has. */
export function problemOf(exchange: Exchange, error: { code: ErrorCode; message: string }): Problem {
  const { status, title } = STATUS[error.code];
  return {
    type: `urn:eventhub:problem:${error.code}`,
    title,
    status,
    detail: error.message,
    instance: shown(exchange.path),
    code: error.code,
    request_id: exchange.requestId,
  };
}

/** Headers that go with an error. */
export function problemHeaders(error: HubError): Record<string, string> {
  const headers: Record<string, string> = { "cache-control": "no-store" };
  if (error.retryAfterSeconds !== undefined) headers["retry-after"] = String(Math.ceil(error.retryAfterSeconds));
  // The rest of a body that came too slowly is not waited for.
  if (error.code === "timeout") headers.connection = "close";
  return headers;
}

/** The answer to anything thrown. What is not a `HubError` is logged here, once, and shown without detail. */
export function answerError(
  exchange: Exchange,
  thrown: unknown,
  options: { headers?: Record<string, string>; members?: Record<string, unknown> } = {},
): Response {
  const error = toHubError(thrown);
  if (error.code === "internal") {
    log.error("A request failed: {method} {path}", {
      method: shown(exchange.request.method),
      path: shown(exchange.path),
      request_id: exchange.requestId,
      cause: error.cause ?? error,
    });
  }
  const problem = {
    ...problemOf(exchange, error),
    ...(error.id === undefined ? {} : { id: error.id }),
    ...(error.errors.length === 0 ? {} : { errors: error.errors }),
    ...(error.cursor === undefined ? {} : { cursor: error.cursor }),
    ...options.members,
  };
  return exchange.answer(JSON.stringify(problem), {
    type: PROBLEM_TYPE,
    status: problem.status,
    headers: { ...problemHeaders(error), ...options.headers },
  });
}
