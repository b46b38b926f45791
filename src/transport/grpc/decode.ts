/**
 * Bytes to messages, strictly. The readers that ts-proto generates skip what they do not know, and what is of another
 * wire type than declared: a client's mistake would then go unnoticed. So the bytes are looked at first, against the
 * table of fields that is generated with the readers, and every fault is told by its field.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { type FieldError, HubError } from "../../errors.ts";
import { FIELDS } from "../../gen/descriptors.ts";
import { FIELD_ERRORS_MAX, GRPC_NESTING_LEVELS_MAX } from "../../limits.ts";

/** A message, or why it could not be read; a reader that throws would make grpc-js answer INTERNAL. */
export type Decoded<T> = { readonly ok: true; readonly message: T } | { readonly ok: false; readonly error: HubError };

/** What a generated message object offers for reading. */
export interface MessageReader<T> {
  decode(reader: BinaryReader): T;
}

/** A deserialiser for grpc-js that never throws. */
export function safely<T>(decode: (bytes: Uint8Array) => T): (bytes: Uint8Array) => Decoded<T> {
  return (bytes) => {
    try {
      return { ok: true, message: decode(bytes) };
    } catch (error) {
      return { ok: false, error: error instanceof HubError ? error : malformed("request", error) };
    }
  };
}

/** A strict reader of a generated message; `name` is its full name. Throws `invalid_argument` or `malformed`. */
export function strictly<T>(name: string, reader: MessageReader<T>): (bytes: Uint8Array) => T {
  return (bytes) => {
    try {
      const faults: FieldError[] = [];
      look(new BinaryReader(bytes), { name, end: bytes.length, pointer: "", level: 1 }, faults);
      if (faults.length > 0) throw refusedFields(faults);
      return reader.decode(new BinaryReader(bytes));
    } catch (error) {
      throw error instanceof HubError ? error : malformed(name, error);
    }
  };
}

/** Bytes that are no such message. */
export function malformed(name: string, cause: unknown): HubError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new HubError("malformed", `The bytes are no ${name}: ${reason}`, { cause });
}

/** The error for a request with fields that it should not have, or not so. */
export function refusedFields(errors: readonly FieldError[]): HubError {
  return new HubError("invalid_argument", errors[0]!.detail, { errors });
}

/** What is wrong with a field that cannot be taken, by its number; `null` when it is as declared. */
export function fieldFault(message: string, number: number, wire: WireType, pointer = ""): FieldError | null {
  const field = FIELDS[message]?.[number];
  if (field === undefined) {
    const detail = `${message} has no field ${number}; is the client's proto newer than the hub?`;
    return { pointer: `${pointer}/${number}`, code: "unknown_field", detail };
  }
  const packed = field.repeated === true && wire === WireType.LengthDelimited;
  if (field.wire === wire || packed) return null;
  const detail = `${field.name} has wire type ${wire}; ${message} declares it with ${field.wire}`;
  return { pointer: `${pointer}/${field.name}`, code: "invalid_type", detail };
}

interface Place {
  readonly name: string;
  readonly end: number;
  readonly pointer: string;
  readonly level: number;
}

/** Walks one message to its end. Throws when the bytes are cut, a text is not UTF-8, or it is nested too deeply. */
function look(reader: BinaryReader, place: Place, faults: FieldError[]): void {
  const { name, end, pointer, level } = place;
  if (level > GRPC_NESTING_LEVELS_MAX) throw new Error(`more than ${GRPC_NESTING_LEVELS_MAX} levels of messages`);
  while (reader.pos < end) {
    const [number, wire] = reader.tag();
    const fault = fieldFault(name, number, wire, pointer);
    const field = FIELDS[name]?.[number];
    if (fault !== null) {
      if (faults.length < FIELD_ERRORS_MAX) faults.push(fault);
      reader.skip(wire, number);
    } else if (field?.text) {
      reader.string(true);
    } else if (field?.message !== undefined) {
      const length = reader.uint32();
      const inner = { name: field.message, end: reader.pos + length, level: level + 1 };
      if (inner.end > end) throw new RangeError("premature EOF");
      look(reader, { ...inner, pointer: `${pointer}/${field.name}` }, faults);
    } else {
      reader.skip(wire, number);
    }
  }
  if (reader.pos !== end) throw new RangeError("premature EOF");
}
