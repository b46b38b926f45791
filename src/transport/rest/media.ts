/** Media types: what a body is said to be, and which of several answers a client likes best (RFC 9110, 8.3, 12.5.1). */
import { HubError } from "../../errors.ts";

/**
 * The media type of a body in small letters, without parameters. Throws `unsupported_media_type` when it is none of
 * `accepted`, is missing, or names another charset than UTF-8.
 */
export function mediaTypeOf<Type extends string>(headers: Headers, accepted: readonly Type[]): Type {
  const header = headers.get("content-type");
  for (const type of accepted) if (type === header) return type;
  if (header === null) {
    throw new HubError("unsupported_media_type", `Content-Type is missing; it must be ${oneOf(accepted)}`);
  }
  const [essence = "", ...parameters] = header.split(";");
  const named = essence.trim().toLowerCase();
  const type = accepted.find((each) => each === named);
  if (type === undefined) {
    throw new HubError("unsupported_media_type", `Content-Type must be ${oneOf(accepted)}`);
  }
  for (const parameter of parameters) {
    const [name = "", value = ""] = parameter.split("=");
    if (name.trim().toLowerCase() !== "charset") continue;
    const charset = value.trim().replace(/^"(.*)"$/, "$1").toLowerCase();
    if (charset !== "utf-8" && charset !== "utf8") {
      throw new HubError("unsupported_media_type", "The charset of a body must be utf-8");
    }
  }
  return type;
}

/** The offer that `Accept` likes best (the earlier of equals). Throws `not_acceptable` when it likes none. */
export function negotiate<Type extends string>(headers: Headers, offers: readonly [Type, ...Type[]]): Type {
  const accept = headers.get("accept");
  if (accept === null || accept === "*/*" || accept.trim() === "") return offers[0];
  const ranges = accept.split(",").map(parseRange);
  let best: Type | null = null;
  let bestQuality = 0;
  for (const offer of offers) {
    const quality = qualityOf(offer, ranges);
    if (quality <= bestQuality) continue;
    best = offer;
    bestQuality = quality;
  }
  if (best === null) throw new HubError("not_acceptable", `Accept must allow ${oneOf(offers)}`);
  return best;
}

interface MediaRange {
  readonly range: string;
  readonly quality: number;
}

function parseRange(text: string): MediaRange {
  const [range = "", ...parameters] = text.split(";");
  let quality = 1;
  for (const parameter of parameters) {
    const match = /^\s*q\s*=\s*([0-9.]+)\s*$/i.exec(parameter);
    if (match !== null) quality = Number(match[1]);
  }
  return { range: range.trim().toLowerCase(), quality: Number.isNaN(quality) ? 0 : quality };
}

/** The quality of the range that names the type most closely. */
function qualityOf(type: string, ranges: readonly MediaRange[]): number {
  for (const wanted of [type, type.slice(0, type.indexOf("/")) + "/*", "*/*"]) {
    const match = ranges.find(({ range }) => range === wanted);
    if (match !== undefined) return match.quality;
  }
  return 0;
}

function oneOf(types: readonly string[]): string {
  return types.length === 1 ? types[0]! : `${types.slice(0, -1).join(", ")} or ${types.at(-1)}`;
}
