/** Hub errors as gRPC statuses with google.rpc details. */
import { Metadata, status as Status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { getLogger } from "@logtape/logtape";
import { Buffer } from "node:buffer";
import { type ErrorCode, type FieldError, HubError, toHubError } from "../../errors.ts";
import type { Any } from "../../gen/google/protobuf/any.ts";
import { BadRequest, ErrorInfo, RetryInfo } from "../../gen/google/rpc/error_details.ts";
import { Status as RichStatus } from "../../gen/google/rpc/status.ts";
import { GRPC_STATUS_DETAIL_CHARACTERS_MAX, REQUEST_ID_CHARACTERS_MAX } from "../../limits.ts";
import { toFieldError, toRequestError } from "./convert.ts";

const log = getLogger(["eventhub", "grpc"]);

/** The domain of every `ErrorInfo.reason`. */
export const ERROR_DOMAIN = "eventhub";

/** The trailer in which clients look for details. */
const DETAILS_TRAILER = "grpc-status-details-bin";
const REQUEST_ID = new RegExp(`^[\\x21-\\x7e]{1,${REQUEST_ID_CHARACTERS_MAX}}$`);

/** The status of each error. Codes that no call can give have the nearest status. */
export const STATUS_OF = {
  invalid_argument: Status.INVALID_ARGUMENT,
  malformed: Status.INVALID_ARGUMENT,
  conflict: Status.ALREADY_EXISTS,
  not_found: Status.NOT_FOUND,
  method_not_allowed: Status.UNIMPLEMENTED,
  not_acceptable: Status.UNIMPLEMENTED,
  invalid_cursor: Status.INVALID_ARGUMENT,
  range_too_large: Status.INVALID_ARGUMENT,
  cursor_reset: Status.ABORTED,
  slow_consumer: Status.RESOURCE_EXHAUSTED,
  unauthenticated: Status.UNAUTHENTICATED,
  permission_denied: Status.PERMISSION_DENIED,
  payload_too_large: Status.RESOURCE_EXHAUSTED,
  unsupported_media_type: Status.UNIMPLEMENTED,
  rate_limited: Status.RESOURCE_EXHAUSTED,
  timeout: Status.UNAVAILABLE,
  overloaded: Status.UNAVAILABLE,
  unavailable: Status.UNAVAILABLE,
  deadline_exceeded: Status.DEADLINE_EXCEEDED,
  internal: Status.INTERNAL,
} as const satisfies Record<ErrorCode, Status>;

/** Errors that grpc-js answers by itself, by what it says; some are the client's fault and yet INTERNAL there. */
const FOREIGN: readonly (readonly [words: RegExp, code: ErrorCode])[] = [
  [/^Received message (?:larger than max|that decompresses)/, "payload_too_large"],
  [/^Received message compressed with unsupported/, "unsupported_media_type"],
  [/^Failed to decompress message|^Invalid grpc-timeout|^Received (?:no|a second) request message/, "malformed"],
  [/^Deadline exceeded/, "deadline_exceeded"],
  [/^The server does not implement the method/, "method_not_allowed"],
];

/** A status as grpc-js takes it, from handlers and in events named `error`. */
export type CallStatus = Pick<ServiceError, "name" | "message" | "code" | "details" | "metadata">;

/** The id of a request for logs and answers: the client's `x-request-id` if it is one, otherwise a new one. */
export function requestIdOf(metadata: Metadata): string {
  const given = metadata.get("x-request-id")[0];
  return typeof given === "string" && REQUEST_ID.test(given) ? given : crypto.randomUUID();
}

/** What the making of a status needs to know. */
export interface StatusOptions {
  /** Of the request. */
  readonly metadata: Metadata;
  /** The fields are those of the EventInput in the request's field `event`. */
  readonly inEvent?: boolean;
  /** `false` leaves out when to try again. */
  readonly repeatable?: boolean;
}

/** The status of whatever a handler threw. What is not a `HubError` becomes `internal`, logged once with its cause. */
export function statusOf(error: unknown, options: StatusOptions): CallStatus {
  const known = toHubError(error);
  const requestId = requestIdOf(options.metadata);
  if (known.code === "internal") {
    log.error("A call failed in a way that was not expected", { requestId, cause: known.cause ?? known });
  }
  const code = STATUS_OF[known.code];
  const violations = violationsOf(known.errors, options.inEvent ?? false);
  const message = sentenceOf(known, violations).toWellFormed().slice(0, GRPC_STATUS_DETAIL_CHARACTERS_MAX);
  const details = detailsOf(known, { requestId, violations, repeatable: options.repeatable ?? true });
  const metadata = new Metadata();
  metadata.set(DETAILS_TRAILER, Buffer.from(RichStatus.encode({ code, message, details }).finish()));
  return { name: known.name, code, message, details: message, metadata };
}

/**
 * Gives a status that grpc-js made by itself (an oversized message, a passed deadline) the code and details that the
 * hub's own have; any other is returned as it is. `late` is what is known of the request when its deadline passes.
 */
export function withDetails<S extends { code: Status; details: string }>(
  status: S,
  late: { readonly id?: string; readonly repeatable?: boolean } = {},
): S {
  if (status.code === Status.OK) return status;
  const code = FOREIGN.find(([words]) => words.test(status.details))?.[1];
  if (code === undefined) return status;
  const error = new HubError(code, status.details, { id: late.id });
  const { code: number, metadata } = statusOf(error, { metadata: new Metadata(), repeatable: late.repeatable });
  return { ...status, code: number, metadata };
}

type Violations = BadRequest["fieldViolations"];

/** What is wrong with fields, in proto names; bounded, since clients refuse trailers beyond 8 KiB. */
function violationsOf(errors: readonly FieldError[], inEvent: boolean): Violations {
  const violations: Violations = [];
  let characters = 0;
  for (const error of errors) {
    const { field: path, code: reason, detail: description } = (inEvent ? toFieldError : toRequestError)(error);
    const field = !inEvent ? path : path === "" ? "event" : `event.${path}`;
    characters += field.length + description.length;
    if (characters > GRPC_STATUS_DETAIL_CHARACTERS_MAX && violations.length > 0) break;
    violations.push({ field, description, reason });
  }
  return violations;
}

/** What went wrong in a sentence; the hub's own would name fields as REST does. */
function sentenceOf(error: HubError, violations: Violations): string {
  const [first] = violations;
  if (first === undefined) return error.message;
  const more = error.errors.length - 1;
  return `${first.description}${more > 0 ? ` (and ${more} more)` : ""}`;
}

function detailsOf(
  error: HubError,
  options: { requestId: string; violations: Violations; repeatable: boolean },
): Any[] {
  const metadata = new Map([["request_id", options.requestId]]);
  if (error.id !== undefined) metadata.set("id", error.id);
  if (error.cursor !== undefined) metadata.set("cursor", error.cursor);
  const info: ErrorInfo = { reason: error.code, domain: ERROR_DOMAIN, metadata };
  const details = [packed("google.rpc.ErrorInfo", ErrorInfo.encode(info).finish())];
  if (options.violations.length > 0) {
    const fieldViolations = options.violations;
    details.push(packed("google.rpc.BadRequest", BadRequest.encode({ fieldViolations }).finish()));
  }
  if (error.retryAfterSeconds !== undefined && options.repeatable) {
    const retryDelay = durationOf(error.retryAfterSeconds);
    details.push(packed("google.rpc.RetryInfo", RetryInfo.encode({ retryDelay }).finish()));
  }
  return details;
}

/** Seconds as a google.protobuf.Duration. */
export function durationOf(seconds: number): { seconds: bigint; nanos: number } {
  const whole = Math.floor(seconds);
  return { seconds: BigInt(whole), nanos: Math.round((seconds - whole) * 1e9) };
}

function packed(name: string, value: Uint8Array): Any {
  return { typeUrl: `type.googleapis.com/${name}`, value: Buffer.from(value) };
}
