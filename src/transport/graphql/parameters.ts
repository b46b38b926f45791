/** A GraphQL request from HTTP to its parameters. */
import type { GraphQLParams } from "graphql-yoga";
import { HubError } from "../../errors.ts";
import { GRAPHQL_BODY_BYTES_MAX } from "../../limits.ts";
import { type BodyReader, parseJson } from "../body.ts";
import { queryOf } from "../target.ts";

const JSON_TYPE = /^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;

/** Reads a GET, or a POST of application/json. Throws `HubError`. */
export async function readParameters(request: Request, bodies: BodyReader): Promise<GraphQLParams> {
  return checked(request.method === "GET" ? fromUrl(request.url) : await fromBody(request, bodies));
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

async function fromBody(request: Request, bodies: BodyReader): Promise<unknown> {
  if (!JSON_TYPE.test(request.headers.get("content-type") ?? "")) {
    throw new HubError("unsupported_media_type", "A GraphQL request is a POST of application/json in UTF-8");
  }
  return parseJson(await bodies.read(request, GRAPHQL_BODY_BYTES_MAX));
}

function fromUrl(url: string): unknown {
  const given = new URLSearchParams(queryOf(url));
  const json = (name: string): unknown => {
    const text = given.get(name);
    if (text === null || text === "") return undefined;
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new HubError("malformed", `${name} is not JSON`, { cause });
    }
  };
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
