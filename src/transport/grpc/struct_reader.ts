/** Bytes of a google.protobuf.Struct to a JSON value, bounded while it is read. */
import type { BinaryReader } from "@bufbuild/protobuf/wire";
import { GRPC_NESTING_LEVELS_MAX, GRPC_PROPERTIES_VALUES_MAX } from "../../limits.ts";

const TOO_MANY = Symbol("too many values");

/**
 * The struct that ends at `end`; `null` when it holds more than `GRPC_PROPERTIES_VALUES_MAX` values, the reader then
 * stands somewhere inside. Throws when the bytes are no struct.
 */
export function readStruct(reader: BinaryReader, end: number): Record<string, unknown> | null {
  return new StructReader(reader).struct(end, 1);
}

/** The end of what follows, from its length; throws when that lies beyond the end of what it is in. */
export function endOf(reader: BinaryReader, limit: number): number {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > limit) throw new RangeError("premature EOF");
  return end;
}

class StructReader {
  readonly #reader: BinaryReader;
  #left = GRPC_PROPERTIES_VALUES_MAX;

  constructor(reader: BinaryReader) {
    this.#reader = reader;
  }

  struct(end: number, level: number): Record<string, unknown> | null {
    const struct: Record<string, unknown> = {};
    while (this.#reader.pos < end) {
      this.#expect(10);
      const entryEnd = endOf(this.#reader, end);
      let key = "";
      let value: unknown = null;
      while (this.#reader.pos < entryEnd) {
        const tag = this.#reader.uint32();
        if (tag === 10) key = this.#reader.string(true);
        else if (tag === 18) value = this.#value(endOf(this.#reader, entryEnd), level + 1);
        else throw new Error(`a member has no field with tag ${tag}`);
        if (value === TOO_MANY) return null;
      }
      this.#close(entryEnd);
      // Assigning to `__proto__` would set the prototype and lose the property.
      if (key === "__proto__") {
        Object.defineProperty(struct, key, { value, enumerable: true, configurable: true, writable: true });
      } else struct[key] = value;
    }
    this.#close(end);
    return struct;
  }

  #list(end: number, level: number): unknown[] | null {
    const list: unknown[] = [];
    while (this.#reader.pos < end) {
      this.#expect(10);
      const value = this.#value(endOf(this.#reader, end), level + 1);
      if (value === TOO_MANY) return null;
      list.push(value);
    }
    this.#close(end);
    return list;
  }

  #value(end: number, level: number): unknown {
    if (--this.#left < 0) return TOO_MANY;
    if (level > GRPC_NESTING_LEVELS_MAX) throw new Error(`more than ${GRPC_NESTING_LEVELS_MAX} levels of values`);
    let value: unknown = null;
    while (this.#reader.pos < end) {
      const tag = this.#reader.uint32();
      if (tag === 8) value = this.#null();
      else if (tag === 17) value = this.#reader.double();
      else if (tag === 26) value = this.#reader.string(true);
      else if (tag === 32) value = this.#reader.bool();
      else if (tag === 42) value = this.struct(endOf(this.#reader, end), level) ?? TOO_MANY;
      else if (tag === 50) value = this.#list(endOf(this.#reader, end), level) ?? TOO_MANY;
      else throw new Error(`a value has no field with tag ${tag}`);
      if (value === TOO_MANY) return value;
    }
    this.#close(end);
    return value;
  }

  #null(): null {
    this.#reader.int32();
    return null;
  }

  #expect(tag: number): void {
    const found = this.#reader.uint32();
    if (found !== tag) throw new Error(`tag ${found} where ${tag} belongs`);
  }

  #close(end: number): void {
    if (this.#reader.pos !== end) throw new RangeError("premature EOF");
  }
}
