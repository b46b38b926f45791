/** The OpenAPI document: whole, sound, and about exactly what is served. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { openRest } from "./rest_harness.ts";

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema: unknown;
}

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Record<string, { schema: unknown }> };
  readonly responses: Record<string, { description: string; content?: Record<string, { schema: unknown }> }>;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly tags: readonly { name: string }[];
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: Record<string, unknown> };
}

async function read(): Promise<Document> {
  await using test = openRest();
  const answered = await test.ask("/openapi.json");
  assertEquals([answered.status, answered.headers.get("content-type")], [200, "application/json"]);
  return answered.json;
}

function* operations(document: Document): Generator<[string, Operation]> {
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) yield [`${method.toUpperCase()} ${path}`, operation];
  }
}

/** Every `$ref` in a value. */
function* references(value: unknown): Generator<string> {
  if (typeof value !== "object" || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    if (name === "$ref") yield String(member);
    else yield* references(member);
  }
}

Deno.test("openapi: describes every route that is served, and no other", async () => {
  await using test = openRest();
  const document: Document = (await test.ask("/openapi.json")).json;
  const served = test.rest.routes.map(({ method, path }) => `${method} ${path}`).sort();
  assertEquals([...operations(document)].map(([name]) => name).sort(), served);
  assertEquals(new Set(served).size, served.length);
  for (
    const name of [
      "POST /events",
      "POST /events/batch",
      "GET /events/{id}",
      "GET /aggregates/stream",
      "GET /dead-letters",
      "GET /dead-letters/{id}",
      "POST /dead-letters/{id}/redrive",
      "DELETE /dead-letters/{id}",
      "GET /docs",
    ]
  ) {
    assert(served.includes(name), name);
  }
});

Deno.test("openapi: a 3.1 document whose parts are whole", async () => {
  const document = await read();
  assertMatch(document.openapi, /^3\.1\.\d+$/);
  assertEquals(document.info.version, "0.0.0-test");
  const ids = [...operations(document)].map(([, { operationId }]) => operationId);
  assertEquals(new Set(ids).size, ids.length);
  const tags = document.tags.map(({ name }) => name);
  for (const [name, operation] of operations(document)) {
    assertMatch(operation.operationId, /^[A-Za-z][A-Za-z0-9_]*$/, name);
    assert(operation.summary.length > 5, name);
    assert(operation.tags.every((tag) => tags.includes(tag)), name);
    assert(Object.keys(operation.responses).some((status) => status.startsWith("2")), name);
    for (const [status, response] of Object.entries(operation.responses)) {
      assertMatch(status, /^[2-5]\d\d$/, name);
      assert(response.description.length > 0, `${name} ${status}`);
      const content = Object.entries(response.content ?? {});
      if (Number(status) >= 400) assertEquals(content.map(([type]) => type), ["application/problem+json"], name);
      for (const [, { schema }] of content) assert(typeof schema === "object", `${name} ${status}`);
    }
  }
});

Deno.test("openapi: parts of a path and their parameters belong together", async () => {
  for (const [name, { parameters }] of operations(await read())) {
    const inPath = parameters.filter((each) => each.in === "path");
    assertEquals(inPath.map((each) => `{${each.name}}`), name.match(/\{\w+\}/g) ?? [], name);
    assert(inPath.every(({ required }) => required === true), name);
    const keys = parameters.map((each) => `${each.in} ${each.name}`);
    assertEquals(new Set(keys).size, keys.length, name);
    assert(parameters.every(({ schema }) => typeof schema === "object"), name);
  }
});

Deno.test("openapi: only the body of a redrive may be missing", async () => {
  const bodies = [...operations(await read())].filter(([, { requestBody }]) => requestBody !== undefined);
  assert(bodies.length > 3);
  for (const [name, { requestBody }] of bodies) {
    assertEquals(requestBody!.required, name !== "POST /dead-letters/{id}/redrive", name);
  }
});

Deno.test("openapi: every reference leads to a schema, and every schema is used", async () => {
  const document = await read();
  const used = new Set(references(document));
  const known = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`);
  assertEquals([...used].filter((reference) => !known.includes(reference)), []);
  assertEquals(known.filter((reference) => !used.has(reference)), []);
});

Deno.test("openapi: the query parameters described are those that are read", async () => {
  await using test = openRest();
  const document: Document = (await test.ask("/openapi.json")).json;
  for (const path of ["/events", "/events/stream", "/aggregates", "/aggregates/stream", "/dead-letters"]) {
    const described = document.paths[path]!.get!.parameters.filter((each) => each.in === "query").map(({ name }) =>
      name
    );
    const query = [...described, "unheard_of"].map((name) => `${name}=%00`).join("&");
    const { json } = await test.ask(`${path}?${query}`);
    const unknown = json.errors
      .filter(({ code }: { code: string }) => code === "unknown_parameter")
      .map(({ parameter }: { parameter: string }) => parameter);
    assertEquals(unknown, ["unheard_of"], path);
  }
});
