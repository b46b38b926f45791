/**
 * Bytes to events, without the generated readers: these bound nothing while they read (8 MiB of empty lists would become
 * 200 MB of objects), lose a property named `__proto__`, and let one bad event spoil its batch.
 *
 * An event becomes what `JSON.parse` would give for the same event over REST, so that the hub itself tells every fault
 * with its own words; a field that cannot be taken becomes a member that the hub refuses.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { type FieldError, HubError } from "../../errors.ts";
import type { FaultBudget } from "../../faults.ts";
import { FIELDS } from "../../gen/descriptors.ts";
import {
  BATCH_EVENTS_MAX,
  BATCH_FIELD_ERRORS_MAX,
  FIELD_ERRORS_MAX,
  GRPC_PROPERTIES_BYTES_MAX,
  PROPERTIES_JSON_BYTES_MAX,
} from "../../limits.ts";
import { formatTimestamp } from "../../timestamp.ts";
import { toMilliseconds } from "./convert.ts";
import { fieldFault, malformed, refusedFields } from "./decode.ts";
import { endOf, readStruct } from "./struct_reader.ts";

/** An event in the member names of the REST contract; missing members are `undefined`. */
export type EventInput = Record<string, unknown>;

/** The bytes in the place of an event are none. */
export class MalformedEvent {
  readonly error: HubError;

  constructor(cause: unknown) {
    this.error = malformed(EVENT, cause);
  }
}

/** What stands in the place of an event. */
export type ReadEvent = EventInput | MalformedEvent;

/** What a PublishStream message holds. */
export interface StreamedEvent {
  readonly number: bigint;
  readonly event: ReadEvent | undefined;
  /** What is wrong with the message around the event. */
  readonly faults: readonly FieldError[];
  readonly bytes: number;
}

const EVENT = "eventhub.v1.EventInput";
/** Refused by the hub as too long, in place of properties that would be, but cost too much to read. */
const OVERSIZED = { oversized: "x".repeat(PROPERTIES_JSON_BYTES_MAX) };
/** Refused by the hub as no timestamp. */
const NO_TIMESTAMP = "out of range";

/** Reads eventhub.v1.PublishRequest: the event. */
export function readPublishRequest(bytes: Uint8Array): ReadEvent {
  let event: ReadEvent | undefined;
  readMessage("eventhub.v1.PublishRequest", bytes, (reader, number) => {
    if (number === 1) event = readEvent(reader);
  });
  if (event === undefined) {
    throw refusedFields([{ pointer: "/event", code: "required", detail: "event is required" }]);
  }
  return event;
}

/** Reads eventhub.v1.PublishBatchRequest. Throws `payload_too_large` at the first event too many. */
export function readPublishBatchRequest(bytes: Uint8Array): { events: ReadEvent[]; omitStored: boolean } {
  const events: ReadEvent[] = [];
  const budget = { left: BATCH_FIELD_ERRORS_MAX };
  let omitStored = false;
  readMessage("eventhub.v1.PublishBatchRequest", bytes, (reader, number) => {
    if (number === 2) {
      omitStored = reader.bool();
      return;
    }
    if (events.length === BATCH_EVENTS_MAX) {
      throw new HubError("payload_too_large", `A batch may hold ${BATCH_EVENTS_MAX} events; none was stored`);
    }
    events.push(readEvent(reader, budget));
  });
  return { events, omitStored };
}

/** Reads eventhub.v1.PublishStreamRequest. */
export function readPublishStreamRequest(bytes: Uint8Array): StreamedEvent {
  const name = "eventhub.v1.PublishStreamRequest";
  let number = 0n;
  let event: ReadEvent | undefined;
  let faults: FieldError[] = [];
  const take = (reader: BinaryReader, field: number) => {
    if (field === 1) number = BigInt(reader.uint64());
    else event = readEvent(reader);
  };
  try {
    faults = walk(name, new BinaryReader(bytes), take);
  } catch (error) {
    throw malformed(name, error);
  }
  return { number, event, faults, bytes: bytes.length };
}

function readMessage(name: string, bytes: Uint8Array, take: (reader: BinaryReader, number: number) => void): void {
  let faults: FieldError[];
  try {
    faults = walk(name, new BinaryReader(bytes), take);
  } catch (error) {
    throw error instanceof HubError ? error : malformed(name, error);
  }
  if (faults.length > 0) throw refusedFields(faults);
}

/** Gives every declared field of the message to `take`, which reads it, and answers what is wrong with the others. */
function walk(name: string, reader: BinaryReader, take: (reader: BinaryReader, number: number) => void): FieldError[] {
  const faults = new Map<number, FieldError>();
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (FIELDS[name]![number]?.wire === wire) {
      take(reader, number);
    } else {
      if (faults.size < FIELD_ERRORS_MAX) faults.set(number, fieldFault(name, number, wire)!);
      reader.skip(wire, number);
    }
  }
  if (reader.pos !== reader.len) throw new RangeError("premature EOF");
  return [...faults.values()];
}

/** Reads an event with its length before it; what is wrong inside ends at its end. */
function readEvent(reader: BinaryReader, budget?: FaultBudget): ReadEvent {
  const end = endOf(reader, reader.len);
  try {
    return readFields(reader, end, budget);
  } catch (error) {
    reader.pos = end;
    return new MalformedEvent(error);
  }
}

function readFields(reader: BinaryReader, end: number, budget: FaultBudget = { left: FIELD_ERRORS_MAX }): EventInput {
  // All members from the start: objects of one shape are quicker for everybody behind.
  const input: EventInput = {
    id: undefined,
    user_id: undefined,
    event_type: undefined,
    amount: undefined,
    timestamp: undefined,
    properties: undefined,
  };
  let refused = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 10:
        input.id = reader.string(true);
        break;
      case 18:
        input.user_id = reader.string(true);
        break;
      case 26:
        input.event_type = reader.string(true);
        break;
      case 34:
        input.amount = reader.string(true);
        break;
      case 42:
        input.timestamp = readTimestamp(reader, end);
        break;
      case 50:
        input.properties = readProperties(reader, end);
        break;
      default:
        // As the hub tells them: what nobody is told need not be kept.
        if (refused > 0 && (refused >= FIELD_ERRORS_MAX || budget.left <= 0)) {
          refuse(reader, tag, null);
          break;
        }
        refused += 1;
        budget.left -= 1;
        refuse(reader, tag, input);
    }
  }
  if (reader.pos !== end) throw new RangeError("premature EOF");
  return input;
}

/** Makes of a field that cannot be taken a member that the hub refuses: of a wrong type, or unknown. */
function refuse(reader: BinaryReader, tag: number, input: EventInput | null): void {
  const number = tag >>> 3;
  const wire: WireType = tag & 7;
  if (number === 0 || wire > 5) throw new Error(`illegal tag ${tag}`);
  reader.skip(wire, number);
  if (input === null) return;
  const name = FIELDS[EVENT]![number]?.name;
  // A symbol is of no type that a member may have; a number would pass as an amount.
  if (name === undefined) input[`field_${number}`] = null;
  else input[name] = WRONG_WIRE_TYPE;
}

const WRONG_WIRE_TYPE = Symbol("wrong wire type");

/** A google.protobuf.Timestamp as the text that the hub reads. */
function readTimestamp(reader: BinaryReader, limit: number): string {
  const end = endOf(reader, limit);
  let seconds: bigint | number = 0;
  let nanos = 0;
  let known = true;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 8) seconds = reader.int64() as bigint;
    else if (tag === 16) nanos = reader.int32();
    else {
      reader.skip(tag & 7, tag >>> 3);
      known = false;
    }
  }
  if (reader.pos !== end) throw new RangeError("premature EOF");
  const milliseconds = known ? toMilliseconds(seconds, nanos) : null;
  return milliseconds === null ? NO_TIMESTAMP : formatTimestamp(milliseconds);
}

function readProperties(reader: BinaryReader, limit: number): unknown {
  const end = endOf(reader, limit);
  if (end - reader.pos <= GRPC_PROPERTIES_BYTES_MAX) {
    const struct = readStruct(reader, end);
    if (struct !== null) return struct;
  }
  reader.pos = end;
  return OVERSIZED;
}
