/** Inbound entries: one field `payload` with JSON, or the fields of an event by name. */
import { HubError } from "../errors.ts";
import { isTenant } from "../event.ts";
import { EVENT_BODY_BYTES_MAX } from "../limits.ts";
import type { RawEntry } from "./redis_entry.ts";

/** An inbound entry as the hub takes it. */
export interface Inbound {
  /** Id of the entry. */
  readonly id: string;
  /** Names the entry for ever: `in:<marker>:<entry id>`; the event's id when it brings none. */
  readonly name: string;
  readonly tenant: string;
  /** What is parsed as an event. */
  readonly input: unknown;
  /** The input as JSON text, for a dead letter. */
  readonly payload: string;
  readonly userId: string | null;
  /** Why the entry holds nothing that could be parsed; `null` when it does. */
  readonly refusal: HubError | null;
}

const DEFAULT_TENANT = "default";
/** What the hub writes beside an event: an entry of the outbound stream can be put into this one as it is. */
const IGNORED: ReadonlySet<string> = new Set(["tenant", "received_at", "source", "pend", "pub", "traceparent"]);

/**
 * Reads an entry. Whatever it holds, the result has a name and a payload. `isText`: whether its bytes were UTF-8; where
 * they were not, replacement characters stand for them here.
 */
export function decodeInbound(
  { id, fields }: RawEntry,
  { marker, isText }: { marker: string; isText: boolean },
): Inbound {
  const of = new Map<string, string>();
  let characters = 0;
  for (let i = 0; i + 1 < (fields?.length ?? 0); i += 2) {
    of.set(fields![i]!, fields![i + 1]!);
    characters += fields![i]!.length + fields![i + 1]!.length;
  }
  const name = `in:${marker}:${id}`;
  const asked = of.get("tenant") ?? DEFAULT_TENANT;
  const tenant = isTenant(asked) ? asked : DEFAULT_TENANT;
  const refused = (code: "malformed" | "payload_too_large" | "invalid_argument", message: string): Inbound => {
    const payload = JSON.stringify((of.get("payload") ?? JSON.stringify(Object.fromEntries(of))).slice(0, SHOWN));
    return { id, name, tenant, input: null, payload, userId: null, refusal: new HubError(code, message) };
  };
  if (characters > EVENT_BODY_BYTES_MAX) {
    return refused(
      "payload_too_large",
      `An entry may have ${EVENT_BODY_BYTES_MAX} characters; this one has ${characters}`,
    );
  }
  if (!isText) return refused("malformed", "A field of the entry is not UTF-8");
  if (tenant !== asked) return refused("invalid_argument", "tenant must be a name of small letters, digits, _ and -");
  const decoded = decodeInput(of);
  if (decoded instanceof HubError) return refused("malformed", decoded.message);
  const input = withId(decoded, name);
  const userId = memberOf(input, "user_id");
  return { id, name, tenant, input, payload: JSON.stringify(input), userId, refusal: null };
}

/** Characters of a message that a dead letter shows when it is none the hub can read. */
const SHOWN = 8_192;

function decodeInput(of: ReadonlyMap<string, string>): unknown {
  const payload = of.get("payload");
  if (payload !== undefined) {
    const others = [...of.keys()].filter((name) => name !== "payload" && !IGNORED.has(name));
    if (others.length > 0) return new HubError("malformed", `An entry with payload has no other fields: ${others[0]}`);
    return parseJson("payload", payload);
  }
  const input: Record<string, unknown> = {};
  for (const [name, value] of of) {
    if (IGNORED.has(name)) continue;
    if (name === "properties") {
      const properties = parseJson(name, value);
      if (properties instanceof HubError) return properties;
      input.properties = properties;
    } else {
      Object.defineProperty(input, name === "event_id" ? "id" : name, { value, enumerable: true, configurable: true });
    }
  }
  return input;
}

/** An event without an id gets one that a second delivery of the same entry has too. */
function withId(input: unknown, id: string): unknown {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return input;
  const own = (input as Record<string, unknown>).id;
  return own === undefined || own === null ? { ...input, id } : input;
}

function memberOf(input: unknown, name: string): string | null {
  const value = typeof input === "object" && input !== null ? (input as Record<string, unknown>)[name] : null;
  return typeof value === "string" ? value : null;
}

function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    return new HubError("malformed", `The field ${name} is not JSON`, { cause });
  }
}
