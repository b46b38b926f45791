/** Malformed questions over REST: parameters, paths, methods and what a client accepts. */
import type { Malformed } from "./malformed.ts";
import { post, request } from "./malformed_rest.ts";

/** A text that no hub made into a cursor, one of a list and one of a stream; the checks are those of `src/cursor.ts`. */
const CURSORS = ["x", "!", "null", "l14unowu", "p.d.1.r1.x", "../../etc", "%00", "😀", "x".repeat(512)];

/** Values of parameters by route, and what is wrong with them. */
const PARAMETERS: readonly [path: string, name: string, fault: string, values: readonly string[]][] = [
  ["/events", "limit", "invalid_type", ["", "abc", "1.5", "-1", "1e3", "99999999999", " 5", "0x5", "５"]],
  ["/events", "limit", "out_of_range", ["0", "1001", "999999999"]],
  ["/events", "user_id", "too_short", [""]],
  ["/events", "user_id", "too_long", ["x".repeat(257)]],
  ["/events", "user_id", "invalid_format", ["a\u0000", "a\nb"]],
  ["/events", "event_type", "invalid_format", ["", "1a", "a b", "x".repeat(65), "*"]],
  ["/events", "from", "invalid_timestamp", [
    "",
    "now",
    "2024-01-15",
    "2024-02-30T00:00:00Z",
    "5",
    "2024-01-15T10:30:00 02:00",
  ]],
  ["/events", "to", "invalid_timestamp", ["yesterday", "10000-01-01T00:00:00Z", "2024-01-15T24:00:00Z"]],
  ["/events", "order", "invalid_value", ["", "up", "DESC"]],
  ["/events", "cursor", "too_short", [""]],
  ["/events", "page", "unknown_parameter", ["1"]],
  ["/events", "__proto__", "unknown_parameter", ["1"]],
  ["/events", "Limit", "unknown_parameter", ["1"]],
  ["/events/x", "fields", "unknown_parameter", ["a"]],
  ["/events/stream", "after", "too_short", [""]],
  ["/events/stream", "after", "invalid_timestamp", ["2024-02-30T00:00:00Z", "2024-01-15"]],
  ["/events/stream", "event_type", "invalid_format", ["1a"]],
  ["/events/stream", "user_id", "too_long", ["x".repeat(257)]],
  ["/events/stream", "limit", "unknown_parameter", ["5"]],
  ["/aggregates", "window", "invalid_value", ["", "2m", "1M", "60"]],
  ["/aggregates", "group_by", "invalid_value", ["", "user_id"]],
  ["/aggregates", "fill", "invalid_value", ["", "null"]],
  ["/aggregates", "tz", "invalid_value", ["", "Mars/Olympus", "+25:00", "x".repeat(10_000)]],
  ["/aggregates", "percentiles", "invalid_value", ["maybe", "1"]],
  ["/aggregates", "from", "invalid_timestamp", ["", "now"]],
  ["/aggregates", "to", "invalid_timestamp", ["2024-01-15T10:30:60Z"]],
  ["/aggregates", "event_type", "invalid_format", ["a b"]],
  ["/aggregates", "limit", "unknown_parameter", ["5"]],
  ["/aggregates/stream", "window", "invalid_value", ["2m"]],
  ["/aggregates/stream", "tz", "unknown_parameter", ["UTC"]],
  ["/readyz", "verbosely", "unknown_parameter", ["1"]],
];

function get(
  path: string,
  expected: Pick<Malformed, "code" | "field" | "fault">,
  headers?: Record<string, string>,
): Malformed {
  return request(JSON.stringify(headers ?? {}), { method: "GET", path, headers }, expected);
}

const INVALID = { code: "invalid_argument" } as const;
const backwards = "from=2024-01-15T10:30:00Z&to=2024-01-15T10:29:59Z";

const METHODS: readonly [method: string, path: string][] = [
  ["PUT", "/events"],
  ["DELETE", "/events"],
  ["PATCH", "/events/x"],
  ["POST", "/events/x"],
  ["GET", "/events/batch"],
  ["POST", "/events/stream"],
  ["POST", "/aggregates"],
  ["GET", "/admin/rollups/verify"],
  ["DELETE", "/metrics"],
];

const RANGES: readonly [body: string, expected: Pick<Malformed, "code" | "field" | "fault">][] = [
  ["", { code: "malformed" }],
  ["{", { code: "malformed" }],
  ["null", { ...INVALID, field: "", fault: "invalid_type" }],
  ["[]", { ...INVALID, field: "", fault: "invalid_type" }],
  ['{"from":1}', { ...INVALID, field: "/from", fault: "invalid_type" }],
  ['{"from":"now"}', { ...INVALID, field: "/from", fault: "invalid_timestamp" }],
  ['{"to":"2024-02-30T00:00:00Z"}', { ...INVALID, field: "/to", fault: "invalid_timestamp" }],
  ['{"window":"1m"}', { ...INVALID, field: "/window", fault: "unknown_field" }],
  ['{"from":"2024-01-02T00:00:00Z","to":"2024-01-01T00:00:00Z"}', {
    ...INVALID,
    field: "/from",
    fault: "out_of_range",
  }],
];

/** All of them. */
export const REST_QUERIES: readonly Malformed[] = [
  ...PARAMETERS.flatMap(([path, name, fault, values]) =>
    values.map((value) => get(`${path}?${new URLSearchParams({ [name]: value })}`, { ...INVALID, field: name, fault }))
  ),
  ...CURSORS.flatMap((cursor) => [
    get(`/events?cursor=${encodeURIComponent(cursor)}`, { code: "invalid_cursor" }),
    get(`/events/stream?after=${encodeURIComponent(cursor)}`, { code: "invalid_cursor" }),
  ]),
  ...["/events?cursor=", "/events/stream?after="].map((path) =>
    get(path + "x".repeat(513), { code: ["invalid_cursor", "invalid_argument"] })
  ),
  ...["x", "0", "latest"].map((id) => get("/events/stream", { code: "invalid_cursor" }, { "last-event-id": id })),
  ...["limit=5&limit=6", "order=asc&order=asc", "user_id=a&user_id=b"].map((query) =>
    get(`/events?${query}`, { ...INVALID, field: query.slice(0, query.indexOf("=")), fault: "invalid_value" })
  ),
  get(`/events?${backwards}`, { ...INVALID, field: "from", fault: "out_of_range" }),
  get(`/aggregates?${backwards}`, { ...INVALID, field: "from", fault: "out_of_range" }),
  get("/aggregates?from=1970-01-01T00:00:00Z&to=9999-12-31T23:59:59Z", { code: "range_too_large" }),
  get("/aggregates?window=1h&from=2000-01-01T00:00:00Z&to=2024-01-01T00:00:00Z", { code: "range_too_large" }),
  get("/events/%FF", { code: "malformed" }),
  get("/events/%C0%80", { code: "malformed" }),
  get("/events/nothing", { code: "not_found" }),
  get("/events/a%00b", { code: "not_found" }),
  get(`/events/${"x".repeat(8_000)}`, { code: "not_found" }),
  get("/events/", { code: "not_found" }),
  get("/events/a/b", { code: "not_found" }),
  get("/nothing", { code: "not_found" }),
  get("//events", { code: "not_found" }),
  get("/Events", { code: "not_found" }),
  get("/protos/nothing.proto", { code: "not_found" }),
  ...["/events", "/events/x", "/aggregates", "/events/stream", "/aggregates/stream"].flatMap((path) => [
    get(path, { code: "not_acceptable" }, { accept: "application/xml" }),
    get(path, { code: "not_acceptable" }, { accept: "application/json;q=0, text/csv;q=0, text/event-stream;q=0" }),
  ]),
  ...METHODS.map(([method, path]) => request("the method", { method, path }, { code: "method_not_allowed" })),
  ...["verify", "rebuild"].flatMap((name) =>
    RANGES.map(([body, expected]) => post(`range ${body}`, body, expected, { path: `/admin/rollups/${name}` }))
  ),
];
