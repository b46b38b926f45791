/** GraphQL as HTTP: methods, media types, statuses, other origins, and the page for browsers. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { answerOf, graphqlTest, open, serve, type TestGraphql, URL_OF_TESTS } from "./harness.ts";

const QUERY = JSON.stringify({ query: "{ __typename }" });
const JSON_TYPE = { "content-type": "application/json" };

async function send(
  hub: TestGraphql,
  init: RequestInit & { headers?: Record<string, string> },
  query = "",
): Promise<Response> {
  return await hub.graphql.fetch(new Request(URL_OF_TESTS + query, init));
}

graphqlTest("a POST is JSON in UTF-8 and nothing else", async () => {
  await using hub = await open();
  for (const type of ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']) {
    const response = await send(hub, { method: "POST", headers: { "content-type": type }, body: QUERY });
    assertEquals((await answerOf(response)).data, { __typename: "Query" }, type);
  }
  const others = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "application/graphql",
    "application/json; charset=latin1",
    "",
  ];
  for (const type of others) {
    const response = await send(hub, { method: "POST", headers: { "content-type": type }, body: QUERY });
    const { status, errors } = await answerOf(response);
    assertEquals([status, errors[0]?.extensions.code], [415, "UNSUPPORTED_MEDIA_TYPE"], type);
  }
  const none = await answerOf(await send(hub, { method: "POST", body: new Blob([QUERY]) }));
  assertEquals(none.status, 415);
});

graphqlTest("a body that cannot be read is a typed error", async () => {
  await using hub = await open();
  const bodies: [string | Uint8Array<ArrayBuffer>, string][] = [
    ["", "not JSON"],
    ["{", "not JSON"],
    [new Uint8Array([0x22, 0xff, 0x22]), "not UTF-8"],
    ["null", "JSON object"],
    ["5", "JSON object"],
    [`[${QUERY}]`, "Batching"],
    ["{}", "query"],
    ['{"query":5}', "query"],
    ['{"query":"{ __typename }","variables":[]}', "variables"],
    ['{"query":"{ __typename }","extra":1}', "query, operationName"],
    ["[".repeat(100_000), "not JSON"],
  ];
  for (const [body, words] of bodies) {
    const { status, errors, data } = await answerOf(await send(hub, { method: "POST", headers: JSON_TYPE, body }));
    assertEquals([status, data, errors.length, errors[0]?.extensions.code], [400, undefined, 1, "BAD_REQUEST"]);
    assertStringIncludes(errors[0]!.message, words);
  }
});

graphqlTest("a body that does not come is given up, and one that is compressed is inflated", async () => {
  await using hub = await open({ config: { requestTimeoutMs: 40 } });
  const never = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(new Uint8Array([0x7b])) });
  const slow = await send(hub, { method: "POST", headers: JSON_TYPE, body: never });
  assertEquals(slow.headers.get("connection"), "close");
  const { status, errors } = await answerOf(slow);
  assertEquals([status, errors[0]?.extensions.code], [408, "REQUEST_TIMEOUT"]);
  const gzip = new Blob([QUERY]).stream().pipeThrough(new CompressionStream("gzip"));
  const headers = { ...JSON_TYPE, "content-encoding": "gzip" };
  const inflated = await send(hub, { method: "POST", headers, body: gzip });
  assertEquals((await answerOf(inflated)).data, { __typename: "Query" });
  const other = await send(hub, { method: "POST", headers: { ...JSON_TYPE, "content-encoding": "br" }, body: QUERY });
  assertEquals((await answerOf(other)).status, 415);
});

graphqlTest("a query that cannot be executed is a typed error, 400 for who asks for it", async () => {
  await using hub = await open();
  const bad: [Record<string, unknown>, string][] = [
    [{ query: "" }, "BAD_REQUEST"],
    [{ query: "{" }, "BAD_REQUEST"],
    [{ query: "{ nope }" }, "BAD_USER_INPUT"],
    [{ query: "query A { __typename } query B { __typename }" }, "BAD_USER_INPUT"],
    [{ query: "query A { __typename }", operationName: "C" }, "BAD_USER_INPUT"],
    [{ query: "query ($n: Int!) { lastEvents(limit: $n) { id } }" }, "BAD_USER_INPUT"],
  ];
  for (const [body, code] of bad) {
    const accept = "application/graphql-response+json";
    const init = { method: "POST", headers: { ...JSON_TYPE, accept }, body: JSON.stringify(body) };
    const response = await send(hub, init);
    assertStringIncludes(response.headers.get("content-type")!, accept);
    const { status, errors } = await answerOf(response);
    assertEquals([status, errors[0]?.extensions.code], [400, code], JSON.stringify(body));
  }
});

graphqlTest("a query may come by GET, a mutation may not", async () => {
  await using hub = await open();
  const variables = encodeURIComponent('{"n":1}');
  const get = await send(
    hub,
    {},
    `?query=query(${encodeURIComponent("$n")}:Int!){lastEvents(limit:$n){id}}&variables=${variables}`,
  );
  assertEquals((await answerOf(get)).data, { lastEvents: [] });
  const mutation = await send(hub, {}, "?query=mutation{publishEvent(input:{}){id}}");
  assertEquals(mutation.headers.get("allow"), "POST");
  const { status, errors } = await answerOf(mutation);
  assertEquals([status, errors[0]?.extensions.code], [405, "METHOD_NOT_ALLOWED"]);
  for (const query of ["", "?query={__typename}&variables={", "?query={__typename}&variables=[]"]) {
    const { status, errors } = await answerOf(await send(hub, {}, query));
    assertEquals([status, errors[0]?.extensions.code], [400, "BAD_REQUEST"], query);
  }
});

graphqlTest("a query is read whatever stands in Host", async () => {
  await using hub = await serve();
  for (const host of ["%", "a b", "[", "hub.test"]) {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port: hub.port });
    const line = "GET /graphql?query=%7B__typename%7D HTTP/1.1";
    await connection.write(new TextEncoder().encode(`${line}\r\nHost: ${host}\r\nConnection: close\r\n\r\n`));
    assertStringIncludes(await new Response(connection.readable).text(), '{"data":{"__typename":"Query"}}', host);
  }
}, { net: true });

graphqlTest("other methods and media types are refused", async () => {
  await using hub = await open();
  for (const method of ["PUT", "DELETE", "PATCH", "HEAD"]) {
    const response = await send(hub, { method });
    assertEquals([response.status, response.headers.get("allow")], [405, "GET, POST, OPTIONS"], method);
  }
  const init = { method: "POST", headers: { ...JSON_TYPE, accept: "image/png" }, body: QUERY };
  const { status, errors } = await answerOf(await send(hub, init));
  assertEquals([status, errors[0]?.extensions.code], [406, "NOT_ACCEPTABLE"]);
  const subscription = JSON.stringify({ query: "subscription { eventStream { id } }" });
  const json = { method: "POST", headers: { ...JSON_TYPE, accept: "application/json" }, body: subscription };
  assertEquals((await answerOf(await send(hub, json))).status, 406);
  assertEquals(hub.hub.load.subscribers, 0);
});

graphqlTest("an interface that is closing takes no new work", async () => {
  await using hub = await open();
  await hub.graphql[Symbol.asyncDispose]();
  const mutation = `mutation { publishEvent(input: { id: "a", userId: "u", eventType: "t", amount: 1 }) { id } }`;
  for (const query of ["{ __typename }", mutation]) {
    const { status, headers, errors } = await hub.ask(query);
    assertEquals([status, headers.get("retry-after"), errors[0]?.extensions.code], [503, "1", "UNAVAILABLE"]);
  }
  const body = { method: "GET", headers: { accept: "text/event-stream" } };
  const { status } = await send(hub, body, "?query=subscription{eventStream{id}}");
  assertEquals(status, 503);
  assertEquals((await hub.hub.list({ tenant: "default" }, { limit: 1, order: "desc" })).events, []);
});

graphqlTest("a request id goes in and out, and a strange one is replaced", async () => {
  await using hub = await open();
  const idFor = async (id?: string): Promise<string> => {
    const headers = { ...JSON_TYPE, ...(id === undefined ? {} : { "x-request-id": id }) };
    const response = await send(hub, { method: "POST", headers, body: QUERY });
    await response.body?.cancel();
    return response.headers.get("x-request-id")!;
  };
  assertEquals(await idFor("abc-1"), "abc-1");
  const given = await idFor();
  assert(given.length > 0 && given !== await idFor());
  assert((await idFor("x".repeat(129))).length < 129);
});

graphqlTest("pages of other origins are let in by name only", async () => {
  const headersFor = async (origins: string[], origin: string, method = "POST"): Promise<Headers> => {
    await using hub = await open({ config: { corsOrigins: origins } });
    const response = await send(hub, {
      method,
      headers: { ...JSON_TYPE, origin, "access-control-request-headers": "content-type" },
      ...(method === "POST" ? { body: QUERY } : {}),
    });
    await response.body?.cancel();
    return response.headers;
  };
  const allowed = "access-control-allow-origin";
  assertEquals((await headersFor([], "https://a.test")).get(allowed), null);
  assertEquals((await headersFor(["https://a.test"], "https://b.test")).get(allowed), null);
  assertEquals((await headersFor(["https://a.test"], "https://a.test")).get(allowed), "https://a.test");
  const preflight = await headersFor(["https://a.test"], "https://a.test", "OPTIONS");
  assertEquals(preflight.get(allowed), "https://a.test");
  assertEquals(preflight.get("access-control-allow-methods"), "GET, POST, OPTIONS");
  assertEquals(preflight.get("access-control-allow-headers"), "content-type");
  assertEquals((await headersFor(["https://a.test"], "https://b.test", "OPTIONS")).get(allowed), null);
  assertEquals((await headersFor(["https://a.test"], "https://a.test")).get("access-control-allow-credentials"), null);
});

const BROWSER = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };

graphqlTest("a browser gets GraphiQL, compressed, once, and without any other address", async () => {
  await using hub = await open();
  const response = await send(hub, { headers: { ...BROWSER, "accept-encoding": "gzip, br" } });
  assertEquals([response.status, response.headers.get("content-encoding")], [200, "gzip"]);
  assertStringIncludes(response.headers.get("content-security-policy")!, "default-src 'self'");
  assert(!/https?:/.test(response.headers.get("content-security-policy")!));
  const compressed = await response.bytes();
  assert(compressed.length < 4_000_000, `${compressed.length} bytes`);
  const html = await new Response(new Blob([compressed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  assertStringIncludes(html, '"endpoint":"/graphql"');
  // Behind the head and the styles comes the script, which the policy keeps from loading anything from elsewhere.
  const [head] = html.split("<script>");
  const outside = /<script|<link[^>]+href="(?!data:)|@import|url\(["']?(?:https?:)?\/\//i.exec(head!);
  assertEquals(outside?.[0], undefined);

  const plain = await send(hub, { headers: BROWSER });
  assertEquals([plain.headers.get("content-encoding"), (await plain.text()).length], [null, html.length]);
  const etag = response.headers.get("etag")!;
  const again = await send(hub, { headers: { ...BROWSER, "if-none-match": `W/${etag}` } });
  assertEquals([again.status, await again.text()], [304, ""]);
});

graphqlTest("what the page varies with stays, whoever may call", async () => {
  await using hub = await open({ config: { corsOrigins: ["https://a.test"] } });
  for (const origin of ["https://a.test", "https://b.test"]) {
    const response = await send(hub, { headers: { ...BROWSER, origin, "accept-encoding": "gzip" } });
    await response.body?.cancel();
    assertEquals(response.headers.get("vary"), "accept, accept-encoding, Origin");
  }
});

graphqlTest("GraphiQL can be switched off", async () => {
  await using hub = await open({ config: { graphiql: "off" } });
  const { status, errors } = await answerOf(await send(hub, { headers: BROWSER }));
  assertEquals([status, errors[0]?.extensions.code], [400, "BAD_REQUEST"]);
});
