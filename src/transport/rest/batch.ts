/** Batches on the wire: from a body to the inputs of the hub, and from their results to the answer. */
import { type FieldError, HubError } from "../../errors.ts";
import { type FaultBudget, pointerToken } from "../../faults.ts";
import type { IngestResult } from "../../hub.ts";
import { BATCH_EVENTS_MAX, BATCH_FIELD_ERRORS_MAX, NDJSON_LINE_BYTES_MAX } from "../../limits.ts";
import { decodeUtf8, jsonFault, parseJson } from "../body.ts";
import { fromStructured, type MappedEvent } from "./cloud_event.ts";

/** The media types of a batch. */
export const BATCH_TYPES = ["application/json", "application/x-ndjson", "application/cloudevents-batch+json"] as const;

/** What becomes of an event of a batch, before and after the hub was asked. */
export type BatchResult = IngestResult | Malformed | { readonly status: "pending" };

/** A line that is not JSON. */
export interface Malformed {
  readonly status: "malformed";
  readonly id: null;
  readonly errors: readonly FieldError[];
}

/** A decoded batch: `results` has a place for each event, `pending` where the hub is to be asked with an input. */
export interface Batch {
  readonly inputs: readonly unknown[];
  readonly results: BatchResult[];
  /** Numbers of the lines the events stood on, from 1; `null` when the body has no lines. */
  readonly lines: readonly number[] | null;
  /** Names a fault of an event by its place in what was sent; by the index of the input. */
  readonly locate: (input: number, error: FieldError) => FieldError;
}

/** The faults that an event would have, without storing it. */
export type FindFaults = (input: unknown, budget: FaultBudget) => readonly FieldError[];

const PENDING = { status: "pending" } as const;
const asItIs = (_input: number, error: FieldError): FieldError => error;
const LINE_FEED = 10;

/** Reads the body of a batch. Throws `malformed`, `invalid_argument` or `payload_too_large` when all of it is wrong. */
export function decodeBatch(
  bytes: Uint8Array,
  options: { type: (typeof BATCH_TYPES)[number]; findFaults: FindFaults },
): Batch {
  switch (options.type) {
    case "application/json": {
      const inputs = checkCount(eventsOf(parseJson(bytes)));
      return { inputs, results: inputs.map(() => PENDING), lines: null, locate: asItIs };
    }
    case "application/x-ndjson":
      return decodeLines(bytes);
    case "application/cloudevents-batch+json":
      return decodeCloudEvents(parseJson(bytes), options.findFaults);
  }
}

/** Puts what the hub answered into the places that wait for it. */
export function settle(batch: Batch, answers: readonly IngestResult[]): void {
  const { results, locate } = batch;
  let input = 0;
  for (let index = 0; index < results.length; index++) {
    if (results[index]!.status !== "pending") continue;
    const answer = answers[input]!;
    results[index] = "errors" in answer
      ? { ...answer, errors: answer.errors.map((error) => locate(input, error)) }
      : answer;
    input += 1;
  }
}

function eventsOf(body: unknown): readonly unknown[] {
  if (Array.isArray(body)) return body;
  const errors: FieldError[] = [];
  if (typeof body !== "object" || body === null) {
    errors.push({ pointer: "", code: "invalid_type", detail: 'A batch must be an array, or {"events": [...]}' });
  } else {
    const events: unknown = "events" in body ? body.events : undefined;
    const others = Object.keys(body).filter((name) => name !== "events");
    if (Array.isArray(events) && others.length === 0) return events;
    if (events === undefined) {
      errors.push({ pointer: "/events", code: "required", detail: "events is required" });
    } else if (!Array.isArray(events)) {
      errors.push({ pointer: "/events", code: "invalid_type", detail: "events must be an array" });
    }
    for (const name of others.slice(0, 8)) {
      errors.push({
        pointer: "/" + pointerToken(name),
        code: "unknown_field",
        detail: "A batch has the member events only",
      });
    }
  }
  throw new HubError("invalid_argument", errors[0]!.detail, { errors });
}

function checkCount<T>(events: readonly T[]): readonly T[] {
  if (events.length > BATCH_EVENTS_MAX) throw tooMany();
  return events;
}

function tooMany(): HubError {
  const message = `A batch may hold ${BATCH_EVENTS_MAX} events; this one holds more, and none was stored`;
  return new HubError("payload_too_large", message);
}

function decodeLines(bytes: Uint8Array): Batch {
  const inputs: unknown[] = [];
  const results: BatchResult[] = [];
  const numbers: number[] = [];
  let number = 0;
  for (const line of splitLines(bytes)) {
    number += 1;
    if (typeof line === "string" && line.trim() === "") continue;
    if (results.length === BATCH_EVENTS_MAX) throw tooMany();
    numbers.push(number);
    const fault = typeof line === "string" ? parseLine(line, inputs) : line.fault;
    results.push(fault === null ? PENDING : malformed(fault));
  }
  return { inputs, results, lines: numbers, locate: asItIs };
}

/** Appends the value of a line; answers what is wrong with it when it has none. */
function parseLine(line: string, inputs: unknown[]): FieldError | null {
  if (isTooLong(line)) {
    return { pointer: "", code: "too_long", detail: `A line may have at most ${NDJSON_LINE_BYTES_MAX} bytes` };
  }
  try {
    inputs.push(JSON.parse(line));
    return null;
  } catch (error) {
    return { pointer: "", code: "invalid_format", detail: `The line is not JSON: ${jsonFault(error)}` };
  }
}

/**
 * The lines of the body. As a rule it is decoded in one go; when it is not UTF-8 as a whole, each line is decoded by
 * itself, so that a bad one harms no other.
 */
function* splitLines(bytes: Uint8Array): Iterable<string | { readonly fault: FieldError }> {
  let text: string;
  try {
    text = decodeUtf8(bytes);
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    yield* splitBytes(bytes);
    return;
  }
  for (let start = 0; start < text.length;) {
    const end = text.indexOf("\n", start);
    const stop = end < 0 ? text.length : end;
    yield text.slice(start, stop);
    start = stop + 1;
  }
}

function* splitBytes(bytes: Uint8Array): Iterable<string | { readonly fault: FieldError }> {
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(LINE_FEED, start);
    const stop = end < 0 ? bytes.length : end;
    try {
      yield decodeUtf8(bytes.subarray(start, stop));
    } catch (error) {
      if (!(error instanceof HubError)) throw error;
      yield { fault: { pointer: "", code: "invalid_format", detail: "The line is not UTF-8" } };
    }
    start = stop + 1;
  }
}

function isTooLong(line: string): boolean {
  if (line.length > NDJSON_LINE_BYTES_MAX) return true;
  // A UTF-16 unit becomes at most three bytes, so most lines need not be measured.
  return line.length * 3 > NDJSON_LINE_BYTES_MAX && new TextEncoder().encode(line).length > NDJSON_LINE_BYTES_MAX;
}

function malformed(error: FieldError): Malformed {
  return { status: "malformed", id: null, errors: [error] };
}

function decodeCloudEvents(body: unknown, findFaults: FindFaults): Batch {
  if (!Array.isArray(body)) {
    const errors: FieldError[] = [{ pointer: "", code: "invalid_type", detail: "A batch must be an array" }];
    throw new HubError("invalid_argument", "A batch of CloudEvents must be an array", { errors });
  }
  const mapped: MappedEvent[] = [];
  const budget = { left: BATCH_FIELD_ERRORS_MAX };
  const results = checkCount(body).map((element): BatchResult => {
    const event = fromStructured(element, budget);
    if (event.errors.length === 0) {
      mapped.push(event);
      return PENDING;
    }
    const id = typeof event.input?.id === "string" ? event.input.id.toWellFormed() : null;
    return { status: "invalid", id, errors: allFaults(event, findFaults, budget) };
  });
  return {
    inputs: mapped.map(({ input }) => input),
    results,
    lines: null,
    locate: (input, error) => mapped[input]!.locate(error),
  };
}

/** Everything that is wrong with a CloudEvent that cannot be taken: with its attributes, and with the event in it. */
function allFaults(event: MappedEvent, findFaults: FindFaults, budget: FaultBudget): readonly FieldError[] {
  if (event.input === null || budget.left <= 0) return event.errors;
  return [...event.errors, ...findFaults(event.input, budget).map(event.locate)];
}
