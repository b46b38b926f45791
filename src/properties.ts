/** The free part of an event: a JSON object of bounded size, depth and keys, kept as JSON text. */
import type { FieldErrorCode } from "./errors.ts";
import { type Faults, pointerToken } from "./faults.ts";
import { PROPERTIES_DEPTH_LEVELS_MAX, PROPERTIES_JSON_BYTES_MAX, PROPERTIES_KEY_CHARACTERS_MAX } from "./limits.ts";

const PLAIN_KEY = new RegExp(`^[A-Za-z0-9_][ -~]{0,${PROPERTIES_KEY_CHARACTERS_MAX - 1}}$`);
const CONTROL_CHARACTER = /\p{Cc}/u;
const SHOWN_KEY_CHARACTERS = 64;
const encoder = new TextEncoder();

/**
 * The JSON text of the properties, or `null` for an empty object, which is the same as none. The result means nothing
 * once a fault was told. The object itself is the first level of depth; the size is that of its text in UTF-8.
 * `pointer` (RFC 6901) is where the object is.
 */
export function parseProperties(value: unknown, faults: Faults, pointer: string): string | null {
  if (!isPlainObject(value)) {
    faults.add(pointer, "invalid_type", "properties must be a JSON object");
    return null;
  }
  const walk = new Walk(faults);
  walk.object(value, pointer, 1);
  if (walk.faulty) return null;
  const text = JSON.stringify(value);
  if (text === "{}") return null;
  if (isLongerThan(text, PROPERTIES_JSON_BYTES_MAX)) {
    faults.add(pointer, "too_long", `properties must have at most ${PROPERTIES_JSON_BYTES_MAX} bytes of JSON`);
  }
  return text;
}

/** Whether two JSON texts of properties (or `null` for none) have the same value; the order of members is none. */
export function sameProperties(a: string | null, b: string | null): boolean {
  if (a === b) return true;
  if (a === null || b === null) return false;
  return sameValue(JSON.parse(a), JSON.parse(b));
}

/**
 * Looks at every value and key, until no more faults are told. Recursion ends at the depth allowed, whatever comes.
 */
class Walk {
  faulty = false;
  readonly #faults: Faults;

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  object(value: object, pointer: string, level: number): void {
    if (level > PROPERTIES_DEPTH_LEVELS_MAX) {
      this.#add(pointer, "too_deep", `properties must have at most ${PROPERTIES_DEPTH_LEVELS_MAX} levels`);
      return;
    }
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length && !this.#faults.full; i++) {
        this.#value(value[i], pointer, String(i), level);
      }
      return;
    }
    const members = value as Record<string, unknown>;
    for (const key in members) {
      if (this.#faults.full) return;
      if (!PLAIN_KEY.test(key)) this.#key(key, pointer);
      this.#value(members[key], pointer, key, level);
    }
  }

  #value(value: unknown, pointer: string, key: string, level: number): void {
    switch (typeof value) {
      case "string":
        if (!value.isWellFormed()) {
          this.#add(
            child(pointer, key),
            "invalid_format",
            "A text must be well-formed Unicode, without lone surrogates",
          );
        }
        return;
      case "number":
        if (!Number.isFinite(value)) this.#add(child(pointer, key), "out_of_range", "A number must be finite");
        return;
      case "boolean":
        return;
      case "object":
        if (value === null) return;
        if (Array.isArray(value) || isPlainObject(value)) {
          this.object(value, child(pointer, key), level + 1);
          return;
        }
    }
    this.#add(child(pointer, key), "invalid_type", "A property must be a JSON value");
  }

  #key(key: string, pointer: string): void {
    const at = child(pointer, key);
    const shown = JSON.stringify(key.slice(0, SHOWN_KEY_CHARACTERS).toWellFormed());
    if (key === "") this.#add(at, "too_short", "A key must have at least 1 character");
    else if (key.startsWith("$")) this.#add(at, "invalid_format", `The key ${shown} must not begin with $`);
    else if (!key.isWellFormed()) this.#add(at, "invalid_format", `The key ${shown} must be well-formed Unicode`);
    else if (CONTROL_CHARACTER.test(key)) {
      this.#add(at, "invalid_format", `The key ${shown} must not contain control characters`);
    } else if (key.length > PROPERTIES_KEY_CHARACTERS_MAX && [...key].length > PROPERTIES_KEY_CHARACTERS_MAX) {
      this.#add(at, "too_long", `The key ${shown}… must have at most ${PROPERTIES_KEY_CHARACTERS_MAX} characters`);
    }
  }

  #add(pointer: string, code: FieldErrorCode, detail: string): void {
    this.faulty = true;
    this.#faults.add(pointer, code, detail);
  }
}

/** An object literal's kind: what `JSON.parse`, a `Struct` conversion or GraphQL's own objects give; no class, no array. */
function isPlainObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function child(pointer: string, key: string): string {
  return pointer + "/" + pointerToken(key);
}

function isLongerThan(text: string, bytes: number): boolean {
  if (text.length * 3 <= bytes) return false;
  return text.length > bytes || encoder.encode(text).length > bytes;
}

function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  return keys.every((key) => Object.hasOwn(right, key) && sameValue(left[key], right[key]));
}
