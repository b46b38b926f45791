/** Limits of a query: each with one just within and one just beyond. */
import { assert, assertEquals } from "@std/assert";
import { GRAPHQL_BODY_BYTES_MAX, GRAPHQL_TOKENS_MAX } from "../../../src/limits.ts";
import { answerOf, graphqlTest, open, URL_OF_TESTS } from "./harness.ts";

/** Messages of what is wrong with a query. */
async function faultsOf(query: string): Promise<string[]> {
  const { Documents } = await import("../../../src/transport/graphql/documents.ts");
  const documents = new Documents({ introspection: true });
  return documents.validate(documents.parse(query)).map((fault) => fault.message);
}

graphqlTest("a query has at most 1,000 tokens", async () => {
  await using hub = await open();
  // Nineteen tokens around the list.
  const query = (types: number): string =>
    `{ events(filter: { eventTypes: [${'"a" '.repeat(types)}] }) { edges { cursor } } }`;
  assertEquals((await hub.ask(query(GRAPHQL_TOKENS_MAX - 19))).data, { events: { edges: [] } });
  const { errors, data } = await hub.ask(query(GRAPHQL_TOKENS_MAX - 18));
  assertEquals([data, errors[0]?.extensions.code], [undefined, "BAD_REQUEST"]);
  assert(errors[0]!.message.includes("1000 tokens"));
});

graphqlTest("a query is at most 8 levels deep, fragments included", async () => {
  // No path of the schema is so deep, so the fields are unknown besides.
  const nested = (levels: number): string => levels === 0 ? "" : `{ a ${nested(levels - 1)} }`;
  const depthFault = async (query: string): Promise<string | undefined> =>
    (await faultsOf(query)).find((message) => message.includes("depth"));
  assertEquals(await depthFault(nested(8)), undefined);
  assertEquals(await depthFault(nested(9)), "The query has a depth of 9; at most 8 is allowed");
  assertEquals(await depthFault(`{ a { ...F } } fragment F on Query ${nested(7)}`), undefined);
  assert(await depthFault(`{ a { ...F } } fragment F on Query ${nested(8)}`));
  assert(await depthFault(`{ ... on Query ${nested(9)} }`));
});

graphqlTest("a query has at most 15 aliases, fragments included as often as they are spread", async () => {
  await using hub = await open();
  const aliased = (count: number): string => Array.from({ length: count }, (_, i) => `a${i}: __typename`).join(" ");
  assertEquals((await hub.ask(`{ ${aliased(15)} }`)).errors, []);
  const { errors } = await hub.ask(`{ ${aliased(16)} }`);
  assertEquals(errors[0]?.extensions.code, "BAD_USER_INPUT");
  assert(errors[0]!.message.includes("aliases of 16"));
  const spread = (times: number): string =>
    `{ ${"event(id: 1) { ...F } ".repeat(times)} } fragment F on Event { ${
      Array.from({ length: 5 }, (_, i) => `b${i}: id`).join(" ")
    } }`;
  assertEquals(await faultsOf(spread(3)), []);
  assert((await faultsOf(spread(4)))[0]?.includes("aliases of 20"));
});

graphqlTest("a query costs at most 5,000: a point for each field and each object that may be listed", async () => {
  const lists = (...sizes: string[]): string =>
    `query ($n: Int!) { ${sizes.map((size, i) => `l${i}: lastEvents(limit: ${size}) { id }`).join(" ")} }`;
  const cost = async (query: string): Promise<string | undefined> =>
    (await faultsOf(query)).find((message) => message.includes("cost"));
  // Five lists and their ten fields.
  assertEquals(await cost(lists("1000", "1000", "1000", "1000", "990")), undefined);
  assertEquals(
    await cost(lists("1000", "1000", "1000", "1000", "991")),
    "The query has a cost of 5001; at most 5000 is allowed",
  );
  // What a variable holds is not known when the query is validated, so it counts as a full page.
  assertEquals(await cost(lists("$n", "$n", "$n", "$n", "990")), undefined);
  assert(await cost(lists("$n", "$n", "$n", "$n", "$n")));
  const rows = (count: number): string =>
    `{ ${Array.from({ length: count }, (_, i) => `r${i}: aggregates { count }`).join(" ")} }`;
  assertEquals(await cost(rows(3)), undefined);
  assert(await cost(rows(4)));
});

graphqlTest("a full page with all its fields is within the limits", async () => {
  await using hub = await open();
  const { errors } = await hub.ask(`{ events(first: 1000) { pageInfo { hasNextPage endCursor } edges { cursor node {
    id userId eventType amount amountExact timestamp receivedAt source properties cursor } } } }`);
  assertEquals(errors, []);
});

graphqlTest("fragments that spread each other cost no time", async () => {
  const bomb = Array.from({ length: 60 }, (_, i) => `fragment F${i} on Query { ...F${i + 1} ...F${i + 1} }`).join(" ");
  const faults = await faultsOf(`{ ...F0 } ${bomb} fragment F60 on Query { streamHead }`);
  assert(faults.some((message) => message.includes("cost")));
  assert((await faultsOf("{ ...F } fragment F on Query { ...F }")).some((message) => message.includes("itself")));
});

graphqlTest("introspection is exempt from depth and cost while it is open, and cannot be made to explode", async () => {
  const { getIntrospectionQuery } = await import("graphql");
  await using hub = await open();
  const { data, errors } = await hub.ask(getIntrospectionQuery({ specifiedByUrl: true, inputValueDeprecation: true }));
  assertEquals(errors, []);
  assertEquals(data.__schema.queryType.name, "Query");
  const exploding = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
  assertEquals((await hub.ask(exploding)).errors[0]?.extensions.code, "BAD_USER_INPUT");
});

graphqlTest("introspection can be closed", async () => {
  await using hub = await open({ config: { introspection: "off" } });
  for (const query of ["{ __schema { types { name } } }", `{ __type(name: "Event") { name } }`]) {
    const { data, errors } = await hub.ask(query);
    assertEquals([data, errors[0]?.extensions.code], [undefined, "BAD_USER_INPUT"]);
  }
  assertEquals((await hub.ask("{ __typename }")).errors, []);
});

graphqlTest("nothing is suggested to who guesses names", async () => {
  await using hub = await open();
  const bad = [
    "{ lastEvent { id } }",
    "{ lastEvents(limt: 1) { id } }",
    "{ aggregates(window: MINUT) { count } }",
    "{ lastEvents { ... on Even { id } } }",
  ];
  for (const query of bad) {
    const { errors } = await hub.ask(query);
    assert(errors.length > 0 && !JSON.stringify(errors).includes("Did you mean"), query);
  }
  const window = "query ($w: Window) { aggregates(window: $w) { count } }";
  const { errors } = await hub.ask(window, { variables: { w: "MINUT" } });
  assert(errors.length > 0 && !JSON.stringify(errors).includes("Did you mean"));
});

graphqlTest("a body is at most 8 MiB, declared or not", async () => {
  await using hub = await open();
  const send = (length: number, headers: Record<string, string> = {}): Response | Promise<Response> => {
    const body = '{"query":"{ __typename }"}'.padEnd(length);
    const stream = new Blob([body]).stream();
    return hub.graphql.fetch(
      new Request(URL_OF_TESTS, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: stream,
      }),
    );
  };
  assertEquals((await answerOf(await send(GRAPHQL_BODY_BYTES_MAX))).data, { __typename: "Query" });
  const declared: Record<string, string> = { "content-length": String(GRAPHQL_BODY_BYTES_MAX + 1) };
  for (const headers of [{}, declared]) {
    const { status, errors } = await answerOf(await send(GRAPHQL_BODY_BYTES_MAX + 1, headers));
    assertEquals([status, errors[0]?.extensions.code], [413, "PAYLOAD_TOO_LARGE"]);
  }
});

graphqlTest("errors repeat what was sent in bounded length, and end after twenty", async () => {
  await using hub = await open();
  const long = "x".repeat(100_000);
  const asked = [
    await hub.ask("query ($n: Int!) { lastEvents(limit: $n) { id } }", { variables: { n: long } }),
    await hub.ask(`{ lastEvents(limit: "${long}") { id } }`),
    await hub.ask("mutation ($i: EventInput!) { publishEvent(input: $i) { id } }", {
      variables: { i: { id: long, userId: long, eventType: long, amount: long, timestamp: long } },
    }),
  ];
  for (const { errors } of asked) {
    assert(errors.length > 0 && JSON.stringify(errors).length < 5_000);
  }
  const unknown = Array.from({ length: 200 }, (_, i) => `f${i}`).join(" ");
  assert((await hub.ask(`{ ${unknown} }`)).errors.length <= 21);
});
