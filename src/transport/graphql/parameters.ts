/** A GraphQL request from HTTP to its parameters. */
import type { GraphQLParams } from "graphql-yoga";
import { HubError } from "../../errors.ts";
import { GRAPHQL_BODY_BYTES_MAX } from "../../limits.ts";
import { readBody } from "../body.ts";

const UTF8 = new TextDecoder("utf-8", { fatal: true });
const JSON_TYPE = /^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;

/**
 * Reads `query`, `operationName`, `variables` and `extensions` of a GET, or of a POST of application/json. Throws
 * `HubError`; whether the members have the right types is checked behind it.
 */
export async function readParameters(request: Request, options: { timeoutMs: number }): Promise<GraphQLParams> {
  if (request.method === "GET") return fromUrl(request.url);
  const type = request.headers.get("content-type") ?? "";
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (!JSON_TYPE.test(type)) {
    throw new HubError("unsupported_media_type", "A GraphQL request is a POST of application/json in UTF-8");
  }
  if (encoding !== "identity") throw new HubError("unsupported_media_type", "Content-Encoding is not supported here");
  const bytes = await readBody(request, { limitBytes: GRAPHQL_BODY_BYTES_MAX, timeoutMs: options.timeoutMs });
  const body = parseJson(decode(bytes), "The body");
  if (Array.isArray(body)) throw new HubError("malformed", "Batching is not supported: send one operation a request");
  if (typeof body !== "object" || body === null) throw new HubError("malformed", "The body must be a JSON object");
  return body;
}

function fromUrl(url: string): GraphQLParams {
  const given = new URL(url).searchParams;
  const object = (name: string): Record<string, unknown> | undefined => {
    const text = given.get(name);
    if (text === null || text === "") return undefined;
    const value = parseJson(text, name);
    if (value === null) return undefined;
    if (typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>;
    throw new HubError("malformed", `${name} must be a JSON object`);
  };
  return {
    query: given.get("query") ?? undefined,
    operationName: given.get("operationName") || undefined,
    variables: object("variables"),
    extensions: object("extensions"),
  };
}

function decode(bytes: Uint8Array<ArrayBuffer>): string {
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    throw new HubError("malformed", "The body is not UTF-8", { cause });
  }
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new HubError("malformed", `${what} is not JSON`, { cause });
  }
}
