/**
 * CloudEvents in, after "CloudEvents - Version 1.0.2", its JSON format and its HTTP protocol binding. The attributes
 * are checked as they were sent: the SDK for JavaScript fills in a missing id or time, and leaves `ce-*` headers
 * percent-encoded.
 */
import { type FieldError, HubError } from "../../errors.ts";
import { type FaultBudget, Faults, pointerToken } from "../../faults.ts";

/**
 * What an event becomes before it is parsed: the members of the REST contract (`null` when it is no object), and what
 * is wrong already.
 */
export interface MappedEvent {
  readonly input: Record<string, unknown> | null;
  readonly errors: readonly FieldError[];
  /** Names a fault of the mapped event by the place it has in the CloudEvent. */
  readonly locate: (error: FieldError) => FieldError;
}

type Members = Record<string, unknown>;
/** How a context attribute is named in an error. */
type Place = (attribute: string) => Pick<FieldError, "pointer" | "parameter">;

/** Attributes of the specification; everything else is an extension. */
const ATTRIBUTES = new Set(["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"]);
const EXTENSION_NAME = /^[a-z0-9]+$/;
const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i;
const DATA_MEMBERS = ["user_id", "amount", "properties"];
const SHOWN_NAME_CHARACTERS = 64;

/** Reads a CloudEvent of the JSON format (structured mode, and each element of a batch, whose faults have a budget). */
export function fromStructured(value: unknown, budget?: FaultBudget): MappedEvent {
  if (!isObject(value)) {
    const error: FieldError = { pointer: "", code: "invalid_type", detail: "A CloudEvent must be a JSON object" };
    return { input: null, errors: [error], locate: (each) => each };
  }
  const { data, data_base64, ...attributes } = value;
  const place: Place = (attribute) => ({ pointer: "/" + pointerToken(attribute) });
  const faults = new Faults(budget);
  if (isPresent(data_base64)) {
    faults.push({ ...place("data_base64"), code: "unknown_field", detail: "send the data as JSON in data" });
  }
  return map({ attributes, data, place, dataPointer: "/data", faults });
}

/** Reads a CloudEvent in binary mode: attributes in `ce-*` headers, data in the body. */
export function fromBinary(headers: Headers, data: unknown): MappedEvent {
  const attributes: Members = Object.create(null);
  for (const [name, value] of headers) {
    if (name.startsWith("ce-")) attributes[name.slice(3)] = decodeHeader(name, value);
  }
  const place: Place = (attribute) => ({ parameter: `ce-${attribute}` });
  return map({ attributes, data, place, dataPointer: "", faults: new Faults() });
}

/** Whether a request is a CloudEvent in binary mode: it has the header that each must have, or the next important. */
export function isBinary(headers: Headers): boolean {
  return headers.get("ce-specversion") !== null || headers.get("ce-id") !== null;
}

function map(cloudEvent: {
  attributes: Members;
  data: unknown;
  place: Place;
  dataPointer: string;
  faults: Faults;
}): MappedEvent {
  const { attributes, data, place, dataPointer, faults } = cloudEvent;
  checkAttributes(attributes, place, faults);
  const members = readData(data, dataPointer, faults);
  const own = isPresent(members.user_id);
  const context = contextOf(attributes, { subject: own, place, faults });
  const input: Record<string, unknown> = {
    id: attributes.id,
    event_type: attributes.type,
    user_id: own ? members.user_id : attributes.subject,
    timestamp: attributes.time,
    amount: members.amount,
    properties: withContext(members.properties, context, { dataPointer, faults }),
  };
  const locate = (error: FieldError): FieldError => {
    const { pointer = "" } = error;
    const [, member = "", inner, attribute] = pointer.split("/");
    if (member === "id") return { ...error, pointer: undefined, ...place("id") };
    if (member === "event_type") return { ...error, pointer: undefined, ...place("type") };
    if (member === "timestamp") return { ...error, pointer: undefined, ...place("time") };
    if (member === "user_id" && !own) return { ...error, pointer: undefined, ...place("subject") };
    if (member === "properties" && inner === "ce" && attribute !== undefined) {
      return { ...error, pointer: undefined, ...place(attribute) };
    }
    return { ...error, pointer: dataPointer + pointer };
  };
  return { input, errors: faults.errors ?? [], locate };
}

/** Section "Required attributes". `type` is left to the rules of `event_type`, texts to {@link contextOf}. */
function checkAttributes(attributes: Members, place: Place, faults: Faults): void {
  const { specversion, id, source, datacontenttype } = attributes;
  if (!isPresent(specversion)) {
    faults.push({ ...place("specversion"), code: "required", detail: "specversion is required" });
  } else if (specversion !== "1.0") {
    faults.push({ ...place("specversion"), code: "invalid_value", detail: 'specversion must be "1.0"' });
  }
  if (!isPresent(id)) faults.push({ ...place("id"), code: "required", detail: "id is required" });
  if (!isPresent(source)) {
    faults.push({ ...place("source"), code: "required", detail: "source is required" });
  } else if (typeof source === "string" && (source === "" || /[\s\p{Cc}]/u.test(source))) {
    faults.push({ ...place("source"), code: "invalid_format", detail: "source must be a URI reference" });
  }
  if (isPresent(datacontenttype) && !(typeof datacontenttype === "string" && JSON_TYPE.test(datacontenttype))) {
    faults.push({ ...place("datacontenttype"), code: "invalid_value", detail: "data must be application/json" });
  }
}

function readData(data: unknown, dataPointer: string, faults: Faults): Members {
  if (!isPresent(data)) return {};
  if (!isObject(data)) {
    faults.push({ pointer: dataPointer, code: "invalid_type", detail: "data must be a JSON object" });
    return {};
  }
  for (const name of Object.keys(data)) {
    if (faults.full) break;
    if (DATA_MEMBERS.includes(name)) continue;
    const shown = JSON.stringify(name.slice(0, SHOWN_NAME_CHARACTERS).toWellFormed());
    const detail = `data has no member ${shown}: it has ${DATA_MEMBERS.join(", ")}; put it in properties`;
    faults.push({ pointer: `${dataPointer}/${pointerToken(name)}`, code: "unknown_field", detail });
  }
  return data;
}

/** What has no place in an event of its own: source, schema, extensions, and a subject that is not the user. */
function contextOf(
  attributes: Members,
  options: { subject: boolean; place: Place; faults: Faults },
): Members {
  const { subject, place, faults } = options;
  const kept = subject ? ["source", "dataschema", "subject"] : ["source", "dataschema"];
  const context: Members = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (faults.full) break;
    if (!isPresent(value)) continue;
    if (kept.includes(name)) {
      if (typeof value === "string") context[name] = value;
      else faults.push({ ...place(name), code: "invalid_type", detail: `${name} must be a string` });
      continue;
    }
    if (ATTRIBUTES.has(name)) continue;
    if (!EXTENSION_NAME.test(name)) {
      const detail = "an extension must be named with small letters and digits only";
      faults.push({ ...place(name.slice(0, SHOWN_NAME_CHARACTERS)), code: "unknown_field", detail });
    } else if (typeof value === "string" || typeof value === "boolean" || Number.isInteger(value)) {
      context[name] = value;
    } else {
      const detail = "an extension must be a string, an integer or a boolean";
      faults.push({ ...place(name), code: "invalid_type", detail });
    }
  }
  return context;
}

function withContext(
  properties: unknown,
  context: Members,
  { dataPointer, faults }: { dataPointer: string; faults: Faults },
): unknown {
  if (!isPresent(properties)) return { ce: context };
  if (!isObject(properties)) return properties;
  if (Object.hasOwn(properties, "ce")) {
    const detail = "properties.ce is where the attributes of the CloudEvent go";
    faults.push({ pointer: `${dataPointer}/properties/ce`, code: "invalid_value", detail });
  }
  return { ...properties, ce: context };
}

/** HTTP binding, section 3.1.3.2: quotes removed, then percent-decoded once, as UTF-8. */
function decodeHeader(name: string, value: string): string {
  const quoted = /^"(.*)"$/.exec(value);
  const plain = quoted === null ? value : quoted[1]!.replaceAll(/\\(.)/g, "$1");
  if (!/[%\u0080-\u00ff]/.test(plain)) return plain;
  const bytes: number[] = [];
  for (let at = 0; at < plain.length; at++) {
    const hex = plain[at] === "%" ? /^[0-9A-Fa-f]{2}/.exec(plain.slice(at + 1, at + 3)) : null;
    bytes.push(hex === null ? plain.charCodeAt(at) : parseInt(hex[0], 16));
    if (hex !== null) at += 2;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(bytes));
  } catch (cause) {
    throw new HubError("malformed", `The header ${name} is not percent-encoded UTF-8`, { cause });
  }
}

/** In the JSON format `null` is the same as a missing attribute. */
function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
