/** Malformed GraphQL requests over HTTP. */
import { AssertionError } from "@std/assert";
import { readSse } from "../soak/sse.ts";
import { dataOf, type Result } from "./clients_graphql.ts";
import type { Malformed, Target } from "./malformed.ts";
import { BAD_MEMBERS, pointerOf, withBadMember } from "./malformed_values.ts";

const PUBLISH = "mutation ($input: EventInput!) { publishEvent(input: $input) { id } }";
const PUBLISH_MANY = `mutation ($inputs: [EventInput!]!) {
  publishEvents(inputs: $inputs) { results { status errors { pointer code } } } }`;
const GOOD = { userId: "u", eventType: "purchase", amount: "1" };
const JSON_TYPE = { "content-type": "application/json", "accept": "application/json" };

interface GraphqlRequest {
  readonly method?: string;
  /** Behind `/graphql`. */
  readonly search?: string;
  readonly headers?: Record<string, string>;
  readonly body?: BodyInit;
}

type Expected = Pick<Malformed, "code" | "field" | "fault">;

/** An input that is one request. */
function request(name: string, options: GraphqlRequest, expected: Expected): Malformed {
  const { method = "POST", search = "", headers = JSON_TYPE, body } = options;
  const send = async ({ httpUrl }: Target): Promise<never> => {
    const response = await fetch(`${httpUrl}/graphql${search}`, { method, headers, body });
    const result = await resultOf(response);
    // 200 when it is GraphQL, otherwise the status of the refusal; a mistake of a client is no 5xx.
    if (response.status >= 500) throw new AssertionError({ message: `status ${response.status}` });
    throw new Error(`was taken: ${response.status} ${JSON.stringify(dataOf(result)).slice(0, 200)}`);
  };
  return { name, send, ...expected };
}

async function resultOf(response: Response): Promise<Result<unknown>> {
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return await response.json();
  for await (const { event, data } of readSse(response.body!)) if (event === "next") return JSON.parse(data);
  throw new AssertionError({ message: "the stream ended without a word" });
}

function ask(query: string, expected: Expected, variables?: unknown): Malformed {
  const body = JSON.stringify({ query, variables });
  return request(`${query.slice(0, 120)} ${(JSON.stringify(variables) ?? "").slice(0, 80)}`, { body }, expected);
}

const INVALID = { code: "invalid_argument" } as const;
const MALFORMED = { code: "malformed" } as const;
const WRONG_TYPE = { code: "unsupported_media_type" } as const;

const camelCase = (name: string): string =>
  name.replaceAll(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase());

/** Every bad member, in a variable of its own. */
const MEMBERS = BAD_MEMBERS
  .filter(({ member, json }) => !(member === "id" && json === "5") && member !== "userId")
  .map((bad) => {
    // Names that GraphQL cannot have are told by their variable alone.
    const unnamed = bad.code === "unknown_field" && !/^\w+$/.test(bad.member);
    const field = unnamed ? "$input" : pointerOf(bad, camelCase);
    const body = `{"query":${JSON.stringify(PUBLISH)},"variables":{"input":${withBadMember(bad, camelCase)}}}`;
    const name = `${bad.member} = ${bad.json.slice(0, 60)}`;
    return request(name, { body }, { ...INVALID, field, fault: unnamed ? undefined : bad.code });
  });

/** Values in the query itself. */
const LITERALS: readonly (readonly [member: string, literal: string, fault: string])[] = [
  ["amount", "1e400", "out_of_range"],
  ["amount", "-1e400", "out_of_range"],
  ["amount", "1e10", "out_of_range"],
  ["amount", "0.00001", "too_precise"],
  ["amount", "1e-5", "too_precise"],
  ["amount", "7".repeat(500), "too_long"],
  ["amount", '"1e3"', "invalid_format"],
  ["amount", "NaN", "invalid_format"],
  ["amount", "true", "invalid_type"],
  ["amount", "null", "required"],
  ["amount", "[1]", "invalid_type"],
  ["amount", "{ value: 1 }", "invalid_type"],
  ["timestamp", "5", "invalid_type"],
  ["timestamp", "NOW", "invalid_timestamp"],
  ["timestamp", '"2024-02-30T00:00:00Z"', "invalid_timestamp"],
  ["timestamp", "[]", "invalid_type"],
  ["properties", "5", "invalid_type"],
  ["properties", '"{}"', "invalid_type"],
  ["properties", "[{ a: 1 }]", "invalid_type"],
  ["userId", '"a\\u0000b"', "invalid_format"],
  ["userId", '""', "too_short"],
  ["eventType", '"""block\ntext"""', "invalid_format"],
  ["id", '"a b"', "invalid_format"],
];

const literal = (member: string, value: string, expected: Expected) => {
  const fields = Object.entries({ userId: '"u"', eventType: '"t"', amount: "1", [member]: value });
  const input = fields.map(([name, text]) => `${name}: ${text}`).join(", ");
  return ask(`mutation { publishEvent(input: { ${input} }) { id } }`, expected);
};

const INPUTS: readonly Malformed[] = [
  ...LITERALS.map(([member, value, fault]) => literal(member, value, { ...INVALID, field: `/${member}`, fault })),
  literal("userId", "5", { ...INVALID, field: "/userId", fault: "invalid_type" }),
  literal("userId", "WORD", { ...INVALID, field: "/userId" }),
  literal("colour", "1", { ...INVALID, field: "/colour", fault: "unknown_field" }),
  literal("properties", `{ a: ${"[".repeat(20)}${"]".repeat(20)} }`, {
    ...INVALID,
    field: "/properties/a" + "/0".repeat(7),
  }),
  ask("mutation { publishEvent { id } }", { ...INVALID }),
  ask("mutation { publishEvent(input: null) { id } }", { ...INVALID, field: "input" }),
  ask("mutation { publishEvent(input: []) { id } }", { ...INVALID }),
  ask("mutation { publishEvent(event: {}) { id } }", { ...INVALID, field: "event", fault: "unknown_parameter" }),
  ask(PUBLISH, { ...INVALID, field: "$input", fault: "required" }),
  ask(PUBLISH, { ...INVALID, field: "$input", fault: "required" }, { input: null }),
  ask(PUBLISH, { ...INVALID, field: "$input", fault: "invalid_type" }, { input: "text" }),
  ask(PUBLISH, { ...INVALID, field: "$input", fault: "invalid_type" }, { input: [GOOD] }),
  ask(PUBLISH, { ...INVALID, field: "/userId", fault: "required" }, { input: {} }),
  ask(PUBLISH_MANY, { ...INVALID, field: "$inputs", fault: "required" }, { inputs: null }),
  ask(PUBLISH_MANY, { ...INVALID, field: "$inputs" }, { inputs: "text" }),
  ask(PUBLISH_MANY, { ...INVALID, field: "/0", fault: "required" }, { inputs: [null] }),
  ask(PUBLISH_MANY, { ...INVALID, field: "/1", fault: "required" }, { inputs: [{}, null] }),
  ask(PUBLISH_MANY, { ...INVALID, field: "/0/userId", fault: "invalid_type" }, { inputs: [{ ...GOOD, userId: 5 }] }),
  ask(PUBLISH_MANY, { ...INVALID, field: "/0/colour", fault: "unknown_field" }, { inputs: [{ ...GOOD, colour: 5 }] }),
  ask(PUBLISH_MANY, { code: "payload_too_large" }, { inputs: Array(10_001).fill({}) }),
];

const QUERY = JSON.stringify({ query: "{ streamHead }" });
const deep = (levels: number) => `{ events ${"{ edges { node ".repeat(levels)} { id } ${"} }".repeat(levels)} }`;

/** Requests that are no GraphQL. */
const REQUESTS: readonly Malformed[] = [
  ...["", " ", "{", "undefined", "query { streamHead }", `${QUERY} x`, "[".repeat(100_000), '{"query":"\\x"}']
    .map((body) => request(`body ${body.slice(0, 40)}`, { body }, MALFORMED)),
  ...["null", "1", '"{ streamHead }"', "[]", `[${QUERY},${QUERY}]`, "[[]]"]
    .map((body) => request(`body ${body}`, { body }, MALFORMED)),
  ...["{}", '{"query":null}', '{"query":5}', '{"query":["{ streamHead }"]}', '{"query":{}}', '{"variables":{}}']
    .map((body) => request(`body ${body}`, { body }, MALFORMED)),
  ...["5", '"text"', "[]", "true"].flatMap((value) =>
    ["variables", "extensions"].map((name) =>
      request(`${name} ${value}`, { body: `{"query":"{ streamHead }","${name}":${value}}` }, MALFORMED)
    )
  ),
  request("operationName 5", { body: '{"query":"{ streamHead }","operationName":5}' }, MALFORMED),
  request(
    "the byte FF",
    { body: new Uint8Array([...new TextEncoder().encode('{"query":"'), 0xff, 34, 125]) },
    MALFORMED,
  ),
  request("more than 8 MiB", { body: QUERY + " ".repeat(8 * 1024 * 1024) }, { code: "payload_too_large" }),
  request("a text of 20 MB", { body: `{"query":"${"x".repeat(20_000_000)}"}` }, { code: "payload_too_large" }),
  ...["text/plain", "application/graphql", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    .map((type) => request(`type ${type}`, { headers: { "content-type": type }, body: QUERY }, WRONG_TYPE)),
  request("no type", { headers: {}, body: new TextEncoder().encode(QUERY) }, WRONG_TYPE),
  request("charset", { headers: { "content-type": "application/json; charset=latin1" }, body: QUERY }, WRONG_TYPE),
  ...["deflate", "br", "x"].map((encoding) =>
    request(
      `encoding ${encoding}`,
      { headers: { ...JSON_TYPE, "content-encoding": encoding }, body: QUERY },
      WRONG_TYPE,
    )
  ),
  ...["", QUERY, "{"].map((body) =>
    request(`gzip of ${body}`, { headers: { ...JSON_TYPE, "content-encoding": "gzip" }, body }, MALFORMED)
  ),
  ...["PUT", "DELETE", "PATCH"].map((method) =>
    request(method, { method, body: method === "DELETE" ? undefined : QUERY }, { code: "method_not_allowed" })
  ),
  ...[
    `query=${encodeURIComponent("mutation { publishEvents(inputs: []) { accepted } }")}`,
    `query=${
      encodeURIComponent("query Q { streamHead } mutation M { publishEvents(inputs: []) { accepted } }")
    }&operationName=M`,
  ].map((query) =>
    request(`GET ${query.slice(0, 40)}`, { method: "GET", search: `?${query}` }, { code: "method_not_allowed" })
  ),
  ...["", "?", "?query=", "?operationName=Q", "?query={streamHead}&variables={", "?query={streamHead}&variables=[1]"]
    .map((search) => request(`GET ${search}`, { method: "GET", search }, MALFORMED)),
  request("a type nobody has", { headers: { ...JSON_TYPE, accept: "application/xml" }, body: QUERY }, {
    code: "not_acceptable",
  }),
];

/** Queries that are too much, or no queries. */
const QUERIES: readonly Malformed[] = [
  ...["{", "}", "{ }", "{ streamHead", "query", "{ streamHead } }", "{ a: }", "\u0000", "{ events(first: ) { edges } }"]
    .map((query) => ask(query, MALFORMED)),
  ask("", MALFORMED),
  ask("# nothing", MALFORMED),
  ask(`{ ${"__typename ".repeat(1_001)}}`, MALFORMED),
  ask(`{ events(filter: {userId: "${"\\u{110000}"}"}) { edges { cursor } } }`, MALFORMED),
  ask(`{ streamHead ${"@skip(if: false) ".repeat(500)}}`, MALFORMED),
  ask(`{ event(id: ${"[".repeat(2_000)}) { id } }`, MALFORMED),
  ask("{ nothing }", INVALID),
  ask("{ events }", INVALID),
  ask("{ streamHead { id } }", INVALID),
  ask("{ event { id } }", INVALID),
  ask("{ __schema { nothing } }", INVALID),
  ask("query ($a: Int, $a: Int) { lastEvents(limit: $a) { id } }", INVALID),
  ask("query ($unused: Int) { streamHead }", INVALID),
  ask("{ lastEvents(limit: $missing) { id } }", INVALID),
  ask("query ($a: Nothing) { lastEvents(limit: $a) { id } }", INVALID),
  ask("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", INVALID),
  ask("{ ...A } fragment A on Query { ...A }", INVALID),
  ask("{ ...Nothing }", INVALID),
  ask("{ streamHead } fragment A on Query { streamHead }", INVALID),
  ask("{ ... on Event { id } }", INVALID),
  ask("{ streamHead @nothing }", INVALID),
  ask("{ streamHead @skip }", INVALID),
  ask("query A { streamHead } query B { streamHead }", INVALID),
  ask("query A { streamHead } query A { streamHead }", INVALID),
  request("another operation", { body: '{"query":"query A { streamHead }","operationName":"B"}' }, INVALID),
  ask(deep(5), INVALID),
  ask(deep(200), MALFORMED),
  ask(`{ ${Array.from({ length: 16 }, (_, index) => `a${index}: streamHead`).join(" ")} }`, INVALID),
  ask(`{ ${Array.from({ length: 8 }, (_, index) => `a${index}: lastEvents(limit: 1000) { id }`).join(" ")} }`, INVALID),
  ask(
    `query ($n: Int!) { ${Array.from({ length: 8 }, (_, i) => `a${i}: lastEvents(limit: $n) { id }`).join(" ")} }`,
    INVALID,
    {
      n: 1_000,
    },
  ),
  ask("subscription { eventStream { id } aggregateStream { count } }", INVALID),
];

/** Arguments that are wrong: in the query, then as a variable. */
const ARGUMENTS: readonly (readonly [query: string, field: string, fault?: string])[] = [
  ...["-1", "1001", "2147483647"].map((n) => [`{ lastEvents(limit: ${n}) { id } }`, "limit", "out_of_range"] as const),
  ...["1.5", '"5"', "true", "null", "[1]", "FIVE", "99999999999"]
    .map((n) => [`{ lastEvents(limit: ${n}) { id } }`, "limit"] as const),
  ...["0", "-5", "1441"].map((n) =>
    [`{ aggregatedMetrics(minutes: ${n}) { eventCount } }`, "minutes", "out_of_range"] as const
  ),
  ...["0", "-1", "1001"].map((n) => [`{ events(first: ${n}) { edges { cursor } } }`, "first", "out_of_range"] as const),
  ['{ events(first: "5") { edges { cursor } } }', "first", "invalid_type"],
  ["{ events(last: 5) { edges { cursor } } }", "last", "unknown_parameter"],
  ["{ events(after: 5) { edges { cursor } } }", "after", "invalid_type"],
  ["{ events(filter: { from: 5 }) { edges { cursor } } }", "filter.from", "invalid_type"],
  ['{ events(filter: { from: "now" }) { edges { cursor } } }', "filter.from", "invalid_timestamp"],
  ['{ events(filter: { to: "2024-02-30T00:00:00Z" }) { edges { cursor } } }', "filter.to", "invalid_timestamp"],
  [
    '{ events(filter: { from: "2024-01-02T00:00:00Z", to: "2024-01-01T00:00:00Z" }) { edges { cursor } } }',
    "filter.from",
    "out_of_range",
  ],
  ['{ events(filter: { eventTypes: ["1a"] }) { edges { cursor } } }', "filter.eventTypes", "invalid_format"],
  [`{ events(filter: { userId: "${"x".repeat(600)}" }) { edges { cursor } } }`, "filter.userId", "too_long"],
  ["{ events(filter: { colour: 1 }) { edges { cursor } } }", "/colour", "unknown_field"],
  ["{ events(filter: { userId: 7 }) { edges { cursor } } }", "/userId", "invalid_type"],
  ["{ events(filter: [1]) { edges { cursor } } }", "filter"],
  ["{ event(id: null) { id } }", "id"],
  ["{ event(id: { a: 1 }) { id } }", "id"],
  ["{ aggregates(window: MONTH) { count } }", "window", "invalid_type"],
  ['{ aggregates(window: "HOUR") { count } }', "window"],
  ["{ aggregates(groupBy: USER) { count } }", "groupBy"],
  ["{ aggregates(groupBy: [USER]) { count } }", "/0"],
  ["{ aggregates(fill: SOME) { count } }", "fill"],
  ['{ aggregates(tz: "Mars/Olympus") { count } }', "tz", "invalid_value"],
  ['{ aggregates(tz: "") { count } }', "tz", "invalid_value"],
  ['{ aggregates(from: "now") { count } }', "from", "invalid_timestamp"],
  ["{ aggregates(to: 5) { count } }", "to", "invalid_type"],
  ['{ aggregates(eventType: ["a b"]) { count } }', "eventType", "invalid_format"],
  ['{ aggregates(percentiles: "yes") { count } }', "percentiles", "invalid_type"],
  ['{ aggregates(from: "2024-01-02T00:00:00Z", to: "2024-01-01T00:00:00Z") { count } }', "from", "out_of_range"],
  ['{ aggregates(from: "2000-01-01T00:00:00Z", to: "2024-01-01T00:00:00Z") { count } }', "from"],
];

const CURSORS = ["x", "!", "l14unowu", "p.d.1.r1.x", "\u0000", "😀"];

const STREAM_TYPE = { ...JSON_TYPE, accept: "text/event-stream" };
const follow = (query: string, expected: Expected, variables?: unknown): Malformed =>
  request(`${query.slice(0, 100)} ${(JSON.stringify(variables) ?? "").slice(0, 60)}`, {
    headers: STREAM_TYPE,
    body: JSON.stringify({ query, variables }),
  }, expected);
const AFTER = "subscription ($after: String) { eventStream(after: $after) { id } }";

const SUBSCRIPTIONS: readonly Malformed[] = [
  ...CURSORS.map((after) => follow(AFTER, { code: "invalid_cursor" }, { after })),
  ...CURSORS.map((after) =>
    ask("query ($after: String) { events(after: $after) { edges { cursor } } }", { code: "invalid_cursor" }, { after })
  ),
  follow(AFTER, { ...INVALID, field: "after", fault: "too_short" }, { after: "" }),
  follow(AFTER, { ...INVALID, field: "after", fault: "invalid_timestamp" }, { after: "2024-02-30T00:00:00Z" }),
  follow(AFTER, { ...INVALID, field: "$after", fault: "invalid_type" }, { after: 5 }),
  follow('subscription { eventStream(filter: { eventTypes: ["1a"] }) { id } }', {
    ...INVALID,
    field: "filter.eventTypes",
  }),
  follow('subscription { eventStream(filter: { from: "now" }) { id } }', { ...INVALID, field: "filter.from" }),
  follow("subscription { eventStream(filter: { colour: 1 }) { id } }", { ...INVALID, field: "/colour" }),
  follow("subscription { aggregateStream(window: MONTH) { count } }", { ...INVALID, field: "window" }),
  follow('subscription { aggregateStream(eventType: ["a b"]) { count } }', { ...INVALID, field: "eventType" }),
  follow("subscription { eventStream { nothing } }", INVALID),
  follow("subscription { eventStream", MALFORMED),
  ask("subscription { eventStream { id } }", { code: "not_acceptable" }),
];

/** All of them. */
export const GRAPHQL_INPUTS: readonly Malformed[] = [
  ...MEMBERS,
  ...INPUTS,
  ...REQUESTS,
  ...QUERIES,
  ...ARGUMENTS.map(([query, field, fault]) =>
    ask(query, { code: query.includes("2000-01-01") ? "range_too_large" : "invalid_argument", field, fault })
  ),
  ...SUBSCRIPTIONS,
];
