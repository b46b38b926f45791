/** What is the same for all routes, and the routes of operations and documents. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { HubError } from "../../../src/errors.ts";
import { assertProblem, assertShape, EVENT, openRest, withId } from "./rest_harness.ts";

Deno.test("rest: a wrong method is 405 with Allow, an unknown path 404, in every case a problem", async () => {
  await using test = openRest();
  const cases: [string, string, string][] = [
    ["PUT", "/events", "POST, GET, HEAD, OPTIONS"],
    ["GET", "/events/batch", "POST, OPTIONS"],
    ["GET", "/events/%62atch", "POST, OPTIONS"],
    ["GET", "/%65vents/batch", "POST, OPTIONS"],
    ["PUT", "/events/%73tream", "GET, HEAD, OPTIONS"],
    ["PUT", "/events/a%2Fb", "GET, HEAD, OPTIONS"],
    ["POST", "/events/stream", "GET, HEAD, OPTIONS"],
    ["DELETE", "/events/some-id", "GET, HEAD, OPTIONS"],
    ["POST", "/aggregates", "GET, HEAD, OPTIONS"],
    ["GET", "/admin/rollups/verify", "POST, OPTIONS"],
    ["POST", "/", "GET, HEAD, OPTIONS"],
    ["PATCH", "/metrics", "GET, HEAD, OPTIONS"],
  ];
  for (const [method, path, allow] of cases) {
    const answered = await test.ask(path, { method });
    assertProblem(answered, 405, "method_not_allowed");
    assertEquals(answered.headers.get("allow"), allow);
    assertEquals(answered.json.instance, path);
  }
  const head = await test.ask("/events/batch", { method: "HEAD" });
  assertEquals([head.status, head.headers.get("allow"), head.text], [405, "POST, OPTIONS", ""]);
  for (const path of ["/nothing", "/events/", "/events/a/b", "/Events", "//events", "/protos", "/aggregates/x"]) {
    for (const method of ["GET", "POST", "DELETE", "OPTIONS"]) {
      assertProblem(await test.ask(path, { method }), 404, "not_found");
    }
  }
});

Deno.test("rest: a very long path or method is cut where an error repeats it", async () => {
  await using test = openRest({ replace: { get: () => Promise.reject(new HubError("not_found", "Not there")) } });
  for (const start of ["/nothing/", "/events/"]) {
    const path = start + "x".repeat(60_000);
    const answered = await test.ask(path);
    assertProblem(answered, 404, "not_found");
    assertEquals(answered.json.instance, path.slice(0, 256) + "…");
    assert(answered.text.length < 1_000, `${answered.text.length} characters`);
  }
  const answered = await test.ask("/events", { method: "X".repeat(60_000) });
  assertProblem(answered, 405, "method_not_allowed");
  assert(answered.text.length < 1_000, `${answered.text.length} characters`);
});

Deno.test("rest: OPTIONS tells what a path can do", async () => {
  await using test = openRest();
  const answered = await test.ask("/events", { method: "OPTIONS", headers: { origin: "https://shop.example" } });
  assertEquals([answered.status, answered.headers.get("allow")], [204, "POST, GET, HEAD, OPTIONS"]);
  assertEquals(answered.headers.get("access-control-allow-origin"), null);
});

Deno.test("rest: only the origins of the configuration may read answers", async () => {
  await using test = openRest({ config: { corsOrigins: ["https://shop.example"] } });
  const from = async (origin: string, method = "GET") => {
    const headers = {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type",
    };
    return (await test.ask("/events", { method, headers })).headers;
  };
  const allowed = await from("https://shop.example");
  assertEquals(allowed.get("access-control-allow-origin"), "https://shop.example");
  assertEquals(allowed.get("access-control-allow-credentials"), null);
  assertEquals(allowed.get("vary"), "Accept, Origin");
  assertStringIncludes(allowed.get("access-control-expose-headers")!, "X-Stream-Cursor");
  const preflight = await from("https://shop.example", "OPTIONS");
  assertEquals(preflight.get("access-control-allow-methods"), "POST, GET, HEAD, OPTIONS");
  assertEquals(preflight.get("access-control-allow-headers"), "content-type");
  for (const origin of ["https://evil.example", "https://shop.example.evil", "null", "https://shop.example:444"]) {
    for (const method of ["GET", "OPTIONS"]) {
      const headers = await from(origin, method);
      assertEquals(headers.get("access-control-allow-origin"), null);
      assertEquals(headers.get("access-control-allow-methods"), null);
    }
  }
  const problem = await test.ask("/nothing", { headers: { origin: "https://shop.example" } });
  assertEquals(problem.headers.get("access-control-allow-origin"), "https://shop.example");
});

Deno.test("rest: life, readiness and version", async () => {
  await using test = openRest();
  const live = await test.ask("/livez");
  assertShape("Alive", live.json);
  assertEquals(live.headers.get("cache-control"), "no-store");
  const ready = await test.ask("/readyz");
  assertEquals(ready.json, { status: "ready" });
  for (const query of ["?verbose", "?verbose=true"]) {
    const verbose = await test.ask(`/readyz${query}`);
    assertShape("Ready", verbose.json);
    assertEquals(verbose.json.checks, { store: { ok: true, detail: "memory" } });
  }
  const version = await test.ask("/version");
  assertShape("Version", version.json);
  assertEquals(version.json.version, "0.0.0-test");
});

Deno.test("rest: what is not ready is 503 and says which part", async () => {
  const checks = { store: { ok: false, detail: "disk full" }, cron: { ok: true, detail: "5 s ago" } };
  await using test = openRest({ operations: { ready: () => Promise.resolve({ ok: false, checks }) } });
  const answered = await test.ask("/readyz");
  assertProblem(answered, 503, "unavailable");
  assertEquals([answered.json.detail, answered.headers.get("retry-after")], ["Not ready: store", "1"]);
  const verbose = await test.ask("/readyz?verbose");
  assertProblem(verbose, 503, "unavailable");
  assertShape("NotReady", verbose.json);
  assertEquals(verbose.json.checks, checks);
});

Deno.test("rest: metrics are there when the configuration lets strangers look", async () => {
  await using test = openRest();
  const answered = await test.ask("/metrics");
  assertEquals([answered.status, answered.text], [200, "# HELP x\n"]);
  assertEquals(answered.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  await using off = openRest({ config: { metrics: "off" } });
  assertProblem(await off.ask("/metrics"), 404, "not_found");
  await using admin = openRest({ config: { metrics: "admin" } });
  assertProblem(await admin.ask("/metrics"), 403, "permission_denied");
});

Deno.test("rest: every answer is observed by its route and status", async () => {
  const seen: [string, number, boolean][] = [];
  await using test = openRest({
    observe: (route, status, seconds) => seen.push([route, status, seconds >= 0 && seconds < 60]),
  });
  await test.ask("/events", { body: EVENT });
  await test.ask("/events", { body: {} });
  await test.ask("/events/unknown-id");
  await test.ask("/nothing");
  await test.ask("/events", { method: "HEAD" });
  assertEquals(seen, [
    ["POST /events", 200, true],
    ["POST /events", 422, true],
    ["GET /events/{id}", 404, true],
    ["other", 404, true],
    ["GET /events", 200, true],
  ]);
});

Deno.test("rest: documents and pages are served, compressed once, and not sent again", async () => {
  await using test = openRest();
  const schema = await test.ask("/schema.graphql");
  assertEquals([schema.status, schema.text], [200, "type Query { a: Int }\n"]);
  assertEquals((await test.ask("/protos/event.proto")).text, 'syntax = "proto3";\n');
  const home = await test.ask("/");
  assertStringIncludes(home.headers.get("content-type")!, "text/html");
  assertStringIncludes(home.text, "/docs");
  const docs = await test.ask("/docs");
  assertStringIncludes(docs.headers.get("content-security-policy")!, "default-src 'none'");

  const asset = "/docs/swagger-ui-bundle.js";
  const plain = await test.ask(asset);
  assertEquals([plain.status, plain.headers.get("content-encoding")], [200, null]);
  const response = await test.open(asset, { headers: { "accept-encoding": "br, gzip" } });
  assertEquals(response.headers.get("content-encoding"), "gzip");
  const bytes = await response.bytes();
  assert(bytes.length < plain.text.length / 2);
  const inflated = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  assertEquals(inflated, plain.text);
  assertEquals((await test.ask(asset, { headers: { "accept-encoding": "gzip;q=0" } })).text, plain.text);
  const again = await test.ask(asset, { headers: { "if-none-match": plain.headers.get("etag")! } });
  assertEquals([again.status, again.text], [304, ""]);
});

Deno.test("rest operations: a hub that is closing takes no new work, and says how it is", async () => {
  await using test = openRest();
  await test.ask("/events", { body: withId("before") });
  test.rest.close();
  for (const [path, ask] of [["/events", { body: withId("a") }], ["/events/batch", { body: [withId("b")] }]] as const) {
    const refused = await test.ask(path, ask);
    assertProblem(refused, 503, "unavailable");
    assertEquals(refused.headers.get("retry-after"), "1");
  }
  for (const path of ["/events", "/events/before", "/events/stream", "/aggregates", "/aggregates/stream", "/docs"]) {
    assertProblem(await test.ask(path), 503, "unavailable");
  }
  for (const path of ["/livez", "/readyz", "/version", "/metrics"]) {
    assertEquals((await test.ask(path)).status, 200, path);
  }
  assertEquals((await test.hub.list({ tenant: "default" }, { limit: 10, order: "desc" })).events.length, 1);
});
