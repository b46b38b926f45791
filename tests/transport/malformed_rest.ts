/** Malformed REST requests. */
import { gzipSync } from "node:zlib";
import { Refusal } from "./clients.ts";
import { problemOf } from "./clients_rest.ts";
import type { Malformed, Target } from "./malformed.ts";
import { BAD_MEMBERS, GOOD_MEMBERS, pointerOf, withBadMember } from "./malformed_values.ts";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;
const GOOD = JSON.stringify({ id: "a", user_id: "u", event_type: "purchase", amount: 1 });
const JSON_TYPE = { "content-type": "application/json" };
const NDJSON_TYPE = { "content-type": "application/x-ndjson" };

interface RestRequest {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: BodyInit;
}

type Expected = Pick<Malformed, "code" | "field" | "fault">;

/** An input that is one request. */
function request(
  name: string,
  { method = "POST", path = "/events", headers, body }: RestRequest,
  expected: Expected,
): Malformed {
  const send = async (target: Target): Promise<Refusal> => {
    const init = { method, headers, body: method === "GET" ? undefined : body };
    const response = await fetch(target.httpUrl + path, init);
    const text = response.ok ? await firstText(response) : await response.text();
    if (response.ok) throw new Error(`was taken: ${response.status} ${text.slice(0, 200)}`);
    const refusal = problemOf(response, text);
    const results: { errors?: { pointer?: string; code: string }[] }[] = JSON.parse(text).results ?? [];
    const faults = results.flatMap(({ errors = [] }) =>
      errors.map(({ pointer = "", code }) => ({ field: pointer, code }))
    );
    return new Refusal(refusal.message, { ...refusal, faults: [...refusal.faults, ...faults] });
  };
  return { name: `${method} ${path.slice(0, 80)}: ${name}`, send, ...expected };
}

/** The beginning of a body, which may be a stream without an end. */
async function firstText(response: Response): Promise<string> {
  const reader = response.body!.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return new TextDecoder().decode(value);
}

function post(name: string, body: BodyInit, expected: Expected, more: RestRequest = {}): Malformed {
  return request(name, { headers: JSON_TYPE, body, ...more }, expected);
}

function bytes(...parts: (string | number[])[]): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  return new Uint8Array(parts.flatMap((part) => typeof part === "string" ? [...encoder.encode(part)] : part));
}

const INVALID = { code: "invalid_argument" } as const;
const MALFORMED = { code: "malformed" } as const;
const TOO_LARGE = { code: "payload_too_large" } as const;
const WRONG_TYPE = { code: "unsupported_media_type" } as const;
const WHOLE = { ...INVALID, field: "", fault: "invalid_type" } as const;

/** Every bad member, alone and as a line of a batch. */
const MEMBERS = BAD_MEMBERS.flatMap((bad) => {
  const expected = { ...INVALID, field: pointerOf(bad), fault: bad.code };
  const name = `${bad.member} = ${bad.json.slice(0, 60)}`;
  const body = withBadMember(bad);
  return [
    post(name, body, expected),
    post(name, body + "\n", expected, { path: "/events/batch", headers: NDJSON_TYPE }),
  ];
});

const MISSING = Object.keys(GOOD_MEMBERS).slice(1, 4).map((member) => {
  const members = Object.entries(GOOD_MEMBERS).filter(([name]) => name !== member);
  const body = `{${members.map(([name, value]) => `"${name}":${value}`).join(",")}}`;
  return post(`no ${member}`, body, { ...INVALID, field: `/${member}`, fault: "required" });
});

/** Bodies that are no JSON or no UTF-8. */
const BROKEN: readonly (readonly [name: string, body: BodyInit])[] = [
  ["empty", ""],
  ["a space", " "],
  ["cut", '{"user_id":"u","amount":1'],
  ["a word", "undefined"],
  ["single quotes", "{'user_id':'u'}"],
  ["a comma at the end", `${GOOD.slice(0, -1)},}`],
  ["something behind", `${GOOD} x`],
  ["two values", GOOD + GOOD],
  ["a comment", `// event\n${GOOD}`],
  ...["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x1", "1e", "-", "1_0", "undefined"]
    .map((amount) => [`amount ${amount}`, GOOD.replace(/1}$/, `${amount}}`)] as const),
  ["a control character in a text", '{"user_id":"a\nb"}'],
  ["an escape that is none", '{"user_id":"\\x41"}'],
  ["30,000 [", "[".repeat(30_000)],
  ["10,000 objects that do not end", '{"a":'.repeat(10_000)],
  ["the byte FF", bytes('{"user_id":"', [0xff], '"}')],
  ["a cut character", bytes('{"user_id":"', [0xe2, 0x82], '"}')],
  ["an overlong NUL", bytes('{"user_id":"', [0xc0, 0x80], '"}')],
  ["a surrogate in UTF-8", bytes('{"user_id":"', [0xed, 0xa0, 0x80], '"}')],
  ["Latin-1", bytes('{"user_id":"M', [0xfc], 'ller"}')],
  ["UTF-16", bytes([0xff, 0xfe], [...GOOD].flatMap((each) => [each.charCodeAt(0), 0]))],
];

const BODIES: readonly Malformed[] = [
  ...BROKEN.flatMap(([name, body]) => [
    post(name, body, MALFORMED),
    post(name, body, MALFORMED, { path: "/events/batch" }),
  ]),
  ...["null", "[]", "[[]]", '"text"', "1", "true"].map((body) => post(body, body, WHOLE)),
  post("100,000 [", "[".repeat(100_000), MALFORMED, { path: "/events/batch" }),
  post("more than 64 KiB", GOOD + " ".repeat(64 * KIBIBYTE), TOO_LARGE),
  post("a text of 20 MB", `{"user_id":"${"x".repeat(20_000_000)}"}`, TOO_LARGE),
  post("20 MB in chunks", chunks(20), TOO_LARGE),
  post("more than 8 MiB", `[${GOOD}]${" ".repeat(8 * MEBIBYTE)}`, TOO_LARGE, { path: "/events/batch" }),
  post("9 MB in chunks", chunks(9), TOO_LARGE, { path: "/events/batch" }),
];

/** So many million spaces, of no known length. */
function chunks(megabytes: number): ReadableStream<Uint8Array> {
  let left = megabytes;
  return new ReadableStream({
    pull: (controller) => {
      if (left-- > 0) controller.enqueue(new Uint8Array(1_000_000).fill(32));
      else controller.close();
    },
  });
}

const TYPES = ["text/plain", "application/xml", "text/json", "application/jsonx", "json", "*/*", "a/b; charset=utf-8"];

const MEDIA: readonly Malformed[] = [
  ...["/events", "/events/batch", "/admin/rollups/verify"].flatMap((path) => [
    request("no Content-Type", { path, body: bytes(GOOD) }, WRONG_TYPE),
    ...[...TYPES, "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"].map((type) =>
      request(`Content-Type ${type}`, { path, headers: { "content-type": type }, body: GOOD }, WRONG_TYPE)
    ),
    ...["latin1", "utf-16", '"iso-8859-1"'].map((charset) => {
      const headers = { "content-type": `application/json; charset=${charset}` };
      return request(`charset ${charset}`, { path, headers, body: GOOD }, WRONG_TYPE);
    }),
  ]),
  request("NDJSON", { headers: NDJSON_TYPE, body: GOOD }, WRONG_TYPE),
  request("one CloudEvent", {
    path: "/events/batch",
    headers: { "content-type": "application/cloudevents+json" },
    body: GOOD,
  }, WRONG_TYPE),
  ...["/events", "/events/batch"].flatMap((path) =>
    ["deflate", "br", "gzip, gzip", "zstd", "x"].map((encoding) =>
      post(`Content-Encoding ${encoding}`, GOOD, WRONG_TYPE, {
        path,
        headers: { ...JSON_TYPE, "content-encoding": encoding },
      })
    )
  ),
];

const WHOLE_GZIP = gzipSync(GOOD);
/** Members of a gzip file are inflated one after the other: a bomb is one of them, many times. */
const ZEROS = gzipSync(new Uint8Array(MEBIBYTE));

function repeated(part: Uint8Array, times: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(part.length * times);
  for (let index = 0; index < times; index++) whole.set(part, index * part.length);
  return whole;
}

const GZIP: readonly Malformed[] = ["/events", "/events/batch"].flatMap((path) => {
  const gzip = (name: string, body: BodyInit, expected: Expected) =>
    post(`gzip: ${name}`, body, expected, { path, headers: { ...JSON_TYPE, "content-encoding": "gzip" } });
  const damaged = new Uint8Array(WHOLE_GZIP);
  damaged[damaged.length - 6]! ^= 1;
  return [
    gzip("empty", "", MALFORMED),
    gzip("not gzip", GOOD, MALFORMED),
    gzip("cut in the middle", new Uint8Array(WHOLE_GZIP.subarray(0, WHOLE_GZIP.length >> 1)), MALFORMED),
    gzip("cut at its last byte", new Uint8Array(WHOLE_GZIP.subarray(0, -1)), MALFORMED),
    gzip("its head alone", new Uint8Array(WHOLE_GZIP.subarray(0, 10)), MALFORMED),
    gzip("a wrong checksum", damaged, MALFORMED),
    gzip("of what is not JSON", new Uint8Array(gzipSync("{")), MALFORMED),
    gzip("60 MiB of zeros", repeated(ZEROS, 60), TOO_LARGE),
    ...(path === "/events" ? [] : [gzip("1 GiB of zeros", repeated(ZEROS, 1_024), TOO_LARGE)]),
  ];
});

const KEY = "Idempotency-Key";
const key = (value: string, fault: string, body = '{"user_id":"u","event_type":"t","amount":1}') =>
  post(`${KEY} ${value.slice(0, 20)}`, body, { ...INVALID, field: KEY, fault }, {
    headers: { ...JSON_TYPE, [KEY]: value },
  });

const HEADERS: readonly Malformed[] = [
  key("other", "mismatch", GOOD),
  key("a b", "invalid_format"),
  key('"batch"', "invalid_value"),
  key("x".repeat(129), "too_long"),
  key('""', "too_short"),
  post("a parameter", GOOD, { ...INVALID, field: "dry_run", fault: "unknown_parameter" }, {
    path: "/events?dry_run=1",
  }),
  post("verbose=maybe", `[${GOOD}]`, { ...INVALID, field: "verbose", fault: "invalid_value" }, {
    path: "/events/batch?verbose=maybe",
  }),
];

const batch = (name: string, body: string, expected: Expected) => post(name, body, expected, { path: "/events/batch" });
const lines = (name: string, body: BodyInit, fault: string) =>
  post(`NDJSON: ${name}`, body, { ...INVALID, field: "", fault }, { path: "/events/batch", headers: NDJSON_TYPE });

const BATCHES: readonly Malformed[] = [
  ...["null", '"x"', "1", "true"].map((body) => batch(body, body, WHOLE)),
  batch("{}", "{}", { ...INVALID, field: "/events", fault: "required" }),
  batch("events = 1", '{"events":1}', { ...INVALID, field: "/events", fault: "invalid_type" }),
  batch("events = null", '{"events":null}', { ...INVALID, field: "/events" }),
  batch("another member", `{"events":[${GOOD}],"dry_run":true}`, {
    ...INVALID,
    field: "/dry_run",
    fault: "unknown_field",
  }),
  ...["null", "1", '"x"', "[]", "true"].map((element) => batch(`[${element}]`, `[${element}]`, WHOLE)),
  batch("100,000 levels", "[".repeat(100_000) + "]".repeat(100_000), WHOLE),
  batch("10,001 events", `[${Array(10_001).fill(GOOD).join(",")}]`, TOO_LARGE),
  batch("10,001 zeros", `[${Array(10_001).fill("0").join(",")}]`, TOO_LARGE),
  lines("not JSON", "{", "invalid_format"),
  lines("two values on a line", GOOD + GOOD, "invalid_format"),
  lines("an array", `[${GOOD}]`, "invalid_type"),
  lines("null", "null\n", "invalid_type"),
  lines("lines that end in CR alone", `${GOOD}\r${GOOD}`, "invalid_format"),
  lines("a byte order mark in the middle", ` \n\ufeff${GOOD}`, "invalid_format"),
  lines("not UTF-8", bytes('{"user_id":"', [0xff], '"}'), "invalid_format"),
  lines("UTF-16", bytes([...GOOD].flatMap((each) => [0, each.charCodeAt(0)])), "invalid_format"),
  lines("a line of 5 MB", `{"user_id":"${"x".repeat(5_000_000)}"}`, "too_long"),
  post("NDJSON: 10,001 lines", "0\n".repeat(10_001), TOO_LARGE, { path: "/events/batch", headers: NDJSON_TYPE }),
];

/** Requests with bodies. */
export const REST_BODIES: readonly Malformed[] = [
  ...MEMBERS,
  ...MISSING,
  ...BODIES,
  ...MEDIA,
  ...GZIP,
  ...HEADERS,
  ...BATCHES,
];

/** For the other lists of REST. */
export { post, request, type RestRequest };
