/** The OpenAPI 3.1 document, made from the routes that are served and the schemas of their bodies. */
import { z } from "zod";
import type { ErrorCode } from "../../errors.ts";
import { STATUS } from "./errors.ts";
import { JSON_TYPE, PROBLEM_TYPE, SSE_TYPE } from "./exchange.ts";
import type { Contents, DocumentedAnswer, Operation, Route } from "./route.ts";
import { EXAMPLE, SCHEMAS } from "./schemas.ts";

type Json = Record<string, unknown>;

const TAGS: Record<Operation["tag"], string> = {
  events: "Events in and out",
  aggregates: "Exact metrics by windows of event time",
  "dead letters": "Inbound messages that could not be taken",
  operations: "Life signs of the process",
  administration: "Recounts",
  documentation: "The hub's description of itself",
};
const DESCRIPTION = "Takes business events, stores each one durably, counts it exactly once, and hands it out live. " +
  "Every error is `application/problem+json` (RFC 9457) with a `code` to decide by. `X-Request-Id` is taken over from " +
  "the request, or made. Any known path answers OPTIONS, and every GET answers HEAD.";

/** The document as JSON text. */
export function describeApi(routes: readonly Route[], about: { version: string }): string {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    (paths[route.path] ??= {})[route.method.toLowerCase()] = describeOperation(route);
  }
  return JSON.stringify({
    openapi: "3.1.0",
    info: {
      title: "Event Hub",
      version: about.version,
      description: DESCRIPTION,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: { schemas: describeSchemas() },
  });
}

/** Each schema once, under its name; the others refer to it. */
function describeSchemas(): Json {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(SCHEMAS)) registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, {
    uri: (id) => `#/components/schemas/${id}`,
    io: "input",
    // That an integer fits into a double goes without saying.
    override: ({ jsonSchema }) => {
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
  return Object.fromEntries(
    Object.entries(schemas).map(([id, { $schema: _dialect, $id: _id, ...schema }]) => [id, schema]),
  );
}

function describeOperation({ method, operation }: Route): Json {
  const { id, tag, summary, description, body, bodyOptional = false, answers } = operation;
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    parameters: describeParameters(operation),
    ...(body === undefined ? {} : { requestBody: { required: !bodyOptional, content: describeContents(body) } }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, describeAnswer(answer)])),
      ...describeErrors(operation, method),
    },
  };
}

function describeParameters({ path = {}, query = {}, headers = {} }: Operation): Json[] {
  const text = { type: "string" };
  return [
    ...Object.entries(path).map(([name, description]) => ({
      name,
      in: "path",
      required: true,
      description,
      schema: text,
    })),
    ...Object.entries(query).map(([name, { description, schema }]) => ({ name, in: "query", description, schema })),
    ...Object.entries(headers).map(([name, description]) => ({ name, in: "header", description, schema: text })),
    { name: "X-Request-Id", in: "header", description: "Comes back in the answer and in the log", schema: text },
  ];
}

function describeAnswer({ description, content, headers = {} }: DocumentedAnswer): Json {
  return {
    description,
    headers: Object.fromEntries(
      [...Object.entries(headers), ["X-Request-Id", "The id of the request"]].map(([name, about]) => [
        name,
        { description: about, schema: { type: "string" } },
      ]),
    ),
    ...(content === undefined ? {} : { content: describeContents(content) }),
  };
}

/** The errors of an operation by status; an answer that is described already stays as it is. */
function describeErrors({ answers, errors }: Operation, method: Route["method"]): Record<string, Json> {
  const codes = new Map<number, ErrorCode[]>();
  const late: ErrorCode[] = method === "GET" && errors.length > 0 ? ["deadline_exceeded"] : [];
  for (const code of new Set<ErrorCode>([...errors, ...late, "internal"])) {
    const { status } = STATUS[code];
    if (!(status in answers)) codes.set(status, [...codes.get(status) ?? [], code]);
  }
  return Object.fromEntries([...codes].map(([status, each]) => {
    const description = each.map((code) => `\`${code}\`: ${STATUS[code].title}`).join("; ");
    const retry = status === 429 || status === 503 || status === 504;
    const headers: Record<string, string> = retry ? { "Retry-After": "Seconds to wait" } : {};
    const hint = status === 503 && method === "POST" ? ". Retry with the same id" : "";
    return [
      status,
      describeAnswer({ description: description + hint, headers, content: { [PROBLEM_TYPE]: "Problem" } }),
    ];
  }));
}

function describeContents(contents: Contents): Json {
  return Object.fromEntries(
    Object.entries(contents).map(([type, names]) => {
      if (names === null) {
        return [type, { schema: { type: type === JSON_TYPE ? "object" : "string" }, ...example(type) }];
      }
      const references = [names].flat().map((name) => ({ $ref: `#/components/schemas/${name}` }));
      return [type, { schema: references.length === 1 ? references[0] : { anyOf: references }, ...example(type) }];
    }),
  );
}

/** Where the schema alone does not show how a body looks. */
function example(type: string): Json {
  switch (type) {
    case SSE_TYPE:
      return { example: "id: l1x.2.k\n\nevent: event\nid: l1x.3.m\ndata: {}\n\n" };
    case "application/x-ndjson":
      return { example: `${JSON.stringify(EXAMPLE)}\n${JSON.stringify({ ...EXAMPLE, event_type: "refund" })}\n` };
    default:
      return {};
  }
}
