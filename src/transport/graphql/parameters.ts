/** A GraphQL request from HTTP to its parameters. */
import type { GraphQLParams } from "graphql-yoga";
import { HubError } from "../../errors.ts";
import { GRAPHQL_BODY_BYTES_MAX } from "../../limits.ts";
import { readBody } from "../body.ts";

const UTF8 = new TextDecoder("utf-8", { fatal: true });
const JSON_TYPE = /^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;

/** Reads a GET, or a POST of application/json. Throws `HubError`. */
export async function readParameters(request: Request, options: { timeoutMs: number }): Promise<GraphQLParams> {
  return checked(request.method === "GET" ? fromUrl(request.url) : await fromBody(request, options));
}

/** The members of a request that are known, with whether a value of that name has the right type. */
const MEMBERS: Readonly<Record<string, { readonly type: string; readonly fits: (value: unknown) => boolean }>> = {
  query: { type: "a string", fits: (value) => typeof value === "string" },
  operationName: { type: "a string", fits: (value) => typeof value === "string" },
  variables: { type: "an object", fits: isObject },
  extensions: { type: "an object", fits: isObject },
};

function checked(body: unknown): GraphQLParams {
  if (Array.isArray(body)) throw new HubError("malformed", "Batching is not supported: send one operation a request");
  if (!isObject(body)) throw new HubError("malformed", "The body must be a JSON object");
  for (const [name, value] of Object.entries(body)) {
    const member = Object.hasOwn(MEMBERS, name) ? MEMBERS[name]! : null;
    if (member === null) throw new HubError("malformed", `A request has only ${Object.keys(MEMBERS).join(", ")}`);
    if (value !== null && value !== undefined && !member.fits(value)) {
      throw new HubError("malformed", `${name} must be ${member.type}`);
    }
  }
  if (body.query === undefined || body.query === null) throw new HubError("malformed", "query is missing");
  return body;
}

async function fromBody(request: Request, options: { timeoutMs: number }): Promise<unknown> {
  const type = request.headers.get("content-type") ?? "";
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (!JSON_TYPE.test(type)) {
    throw new HubError("unsupported_media_type", "A GraphQL request is a POST of application/json in UTF-8");
  }
  if (encoding !== "identity") throw new HubError("unsupported_media_type", "Content-Encoding is not supported here");
  const bytes = await readBody(request, { limitBytes: GRAPHQL_BODY_BYTES_MAX, timeoutMs: options.timeoutMs });
  return parseJson(decode(bytes), "The body");
}

function fromUrl(url: string): unknown {
  const given = new URL(url).searchParams;
  const json = (name: string): unknown => given.get(name) ? parseJson(given.get(name)!, name) : undefined;
  return {
    query: given.get("query"),
    operationName: given.get("operationName") || undefined,
    variables: json("variables"),
    extensions: json("extensions"),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
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
