/** From what became of an event in the store to what its sender is told. */
import { type ErrorCode, type FieldError, HubError, sentenceOf } from "./errors.ts";
import type { ParseResult } from "./event.ts";
import type { IngestResult } from "./hub.ts";
import type { AppendStatus } from "./storage.ts";

const REFUSED: Partial<Record<AppendStatus, FieldError>> = {
  conflict: { pointer: "/id", code: "mismatch", detail: "an event with this id and other content is stored already" },
  too_many_event_types: {
    pointer: "/event_type",
    code: "too_many_event_types",
    detail: "this would be one more event type than a tenant may have; put what varies in properties",
  },
  purged: { pointer: "/timestamp", code: "too_old", detail: "the events of this time have been purged by retention" },
};

/** The error of an input with faulty fields; its message names the first. */
export function refused(errors: readonly FieldError[], code: ErrorCode = "invalid_argument"): HubError {
  const [first] = errors;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : "";
  return new HubError(code, first === undefined ? "The input is not valid" : sentenceOf(first) + more, { errors });
}

/** The result of one event of a batch; a status of `null` is a deadline that passed. */
export function outcome(id: string, status: AppendStatus | null): IngestResult {
  if (status === "stored" || status === "duplicate") return { status, id };
  const error = status === null ? undefined : REFUSED[status];
  if (error === undefined) return { status: "unavailable", id };
  return { status: status === "conflict" ? "conflict" : "invalid", id, errors: [error] };
}

/** The result of an event of a batch that did not parse. */
export function invalid(parsed: ParseResult & { ok: false }): IngestResult {
  return { status: "invalid", id: parsed.id, errors: parsed.errors };
}

/** The error of a single event that was not taken; `id` is the one the hub gave it, if it did. */
export function refusal(status: AppendStatus | null, id: string | undefined): HubError {
  if (status === null) {
    return new HubError("deadline_exceeded", "Storing took too long; the outcome is unknown: retry with the same id", {
      id,
    });
  }
  const error = REFUSED[status];
  if (error === undefined) {
    return new HubError("unavailable", "The event is not known to be stored: retry with the same id", { id });
  }
  const code = status === "conflict" ? "conflict" : "invalid_argument";
  return refused([error], code);
}
