/** Malformed CloudEvents over REST: structured, in a batch and binary. */
import type { Malformed } from "./malformed.ts";
import { request } from "./malformed_rest.ts";

const GOOD = {
  specversion: "1.0",
  id: "ce-1",
  source: "/shop",
  type: "purchase",
  subject: "u",
  time: "2024-01-15T10:30:00Z",
  data: { amount: 1 },
};

type Change = Record<string, unknown>;

/** What is changed in an event that is right, the attribute or pointer that is at fault, and how. */
const CHANGES: readonly [change: Change, field: string, fault: string][] = [
  [{ specversion: undefined }, "specversion", "required"],
  [{ specversion: "0.3" }, "specversion", "invalid_value"],
  [{ specversion: 1.0 }, "specversion", "invalid_value"],
  [{ id: undefined }, "id", "required"],
  [{ id: "" }, "id", "too_short"],
  [{ id: 7 }, "id", "invalid_type"],
  [{ id: "a b" }, "id", "invalid_format"],
  [{ source: undefined }, "source", "required"],
  [{ source: "" }, "source", "invalid_format"],
  [{ source: 7 }, "source", "invalid_type"],
  [{ source: "a b" }, "source", "invalid_format"],
  [{ type: undefined }, "type", "required"],
  [{ type: "com example" }, "type", "invalid_format"],
  [{ type: ["purchase"] }, "type", "invalid_type"],
  [{ subject: undefined }, "subject", "required"],
  [{ subject: "a\u0007" }, "subject", "invalid_format"],
  [{ time: "yesterday" }, "time", "invalid_timestamp"],
  [{ time: 5 }, "time", "invalid_type"],
  [{ datacontenttype: "text/xml" }, "datacontenttype", "invalid_value"],
  [{ data_base64: "AAAA" }, "data_base64", "unknown_field"],
  [{ Extension: "x" }, "Extension", "unknown_field"],
  [{ extension: { a: 1 } }, "extension", "invalid_type"],
  [{ data: undefined }, "data/amount", "required"],
  [{ data: "text" }, "data", "invalid_type"],
  [{ data: [1] }, "data", "invalid_type"],
  [{ data: {} }, "data/amount", "required"],
  [{ data: { amount: "1e3" } }, "data/amount", "invalid_format"],
  [{ data: { amount: 1, price: 2 } }, "data/price", "unknown_field"],
  [{ data: { amount: 1, user_id: 7 } }, "data/user_id", "invalid_type"],
  [{ data: { amount: 1, properties: { $a: 1 } } }, "data/properties/$a", "invalid_format"],
  [{ data: { amount: 1, properties: { ce: {} } } }, "data/properties/ce", "invalid_value"],
  [{ data: { amount: 1, properties: 5 } }, "data/properties", "invalid_type"],
];

const STRUCTURED = { "content-type": "application/cloudevents+json" };
const BATCH = { "content-type": "application/cloudevents-batch+json" };

function headers(change: Record<string, string | null>): Record<string, string> {
  const { data: _data, ...attributes } = GOOD;
  const all = { ...attributes, ...change };
  const given = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== null);
  return {
    "content-type": "application/json",
    ...Object.fromEntries(given.map(([name, value]) => [`ce-${name}`, value])),
  };
}

const binary = (
  name: string,
  change: Record<string, string | null>,
  expected: Pick<Malformed, "code" | "field">,
  body = '{"amount":1}',
) => request(`binary CloudEvent: ${name}`, { headers: headers(change), body }, expected);

/** All of them. */
export const CLOUD_EVENTS: readonly Malformed[] = [
  ...CHANGES.flatMap(([change, field, fault]) => {
    const body = JSON.stringify({ ...GOOD, ...change });
    const name = `CloudEvent with ${JSON.stringify(change)}`;
    const expected = { code: "invalid_argument", field: `/${field}`, fault } as const;
    return [
      request(name, { headers: STRUCTURED, body }, expected),
      request(name, { path: "/events/batch", headers: BATCH, body: `[${body}]` }, expected),
    ];
  }),
  request("a CloudEvent that is an array", { headers: STRUCTURED, body: "[]" }, {
    code: "invalid_argument",
    field: "",
  }),
  request("a CloudEvent that is not JSON", { headers: STRUCTURED, body: "<x/>" }, { code: "malformed" }),
  request("a batch that is one CloudEvent", { path: "/events/batch", headers: BATCH, body: JSON.stringify(GOOD) }, {
    code: "invalid_argument",
    field: "",
  }),
  binary("no id", { id: null }, { code: "invalid_argument", field: "ce-id" }),
  binary("no source", { source: null }, { code: "invalid_argument", field: "ce-source" }),
  binary("no type", { type: null }, { code: "invalid_argument", field: "ce-type" }),
  binary("no subject", { subject: null }, { code: "invalid_argument", field: "ce-subject" }),
  binary("another version", { specversion: "2.0" }, { code: "invalid_argument", field: "ce-specversion" }),
  binary("no version", { specversion: null }, { code: "invalid_argument", field: "ce-specversion" }),
  binary("a bad time", { time: "now" }, { code: "invalid_argument", field: "ce-time" }),
  binary("a bad type", { type: "1st" }, { code: "invalid_argument", field: "ce-type" }),
  binary("an encoded control character", { subject: "a%00b" }, { code: "invalid_argument", field: "ce-subject" }),
  binary("a percent-encoding that is not UTF-8", { subject: "%FF" }, { code: "malformed" }),
  binary("data that is no object", {}, { code: "invalid_argument", field: "" }, "[1]"),
  binary("data without an amount", {}, { code: "invalid_argument", field: "/amount" }, "{}"),
  binary("data with another member", {}, { code: "invalid_argument", field: "/price" }, '{"amount":1,"price":1}'),
];
