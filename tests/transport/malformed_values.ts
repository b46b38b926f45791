/** Members of an event that are wrong, as JSON text, in the names of REST. Every other member of the event is right. */
import type { FieldErrorCode } from "../../src/errors.ts";

/** A wrong member. */
export interface BadMember {
  readonly member: string;
  /** The value as it stands in the JSON. */
  readonly json: string;
  /** What is wrong with it. */
  readonly code: FieldErrorCode;
  /** Where the fault lies within the member, as a JSON pointer; missing: the member itself. */
  readonly inside?: string;
}

const LONG = 1_000;
const DIGITS = "7".repeat(LONG);

/** Objects or lists within each other. */
function nested(levels: number, open: string, close: string): string {
  return open.repeat(levels) + (open === "[" ? "" : "1") + close.repeat(levels);
}

function all(member: string, values: Partial<Record<FieldErrorCode, readonly string[]>>): BadMember[] {
  return Object.entries(values).flatMap(([code, texts]) =>
    texts.map((json) => ({ member, json, code: code as FieldErrorCode }))
  );
}

const text = (...values: string[]): string[] => values.map((value) => JSON.stringify(value));

const ID = all("id", {
  invalid_type: ["true", "[]", '["a"]', "{}"],
  too_short: ['""'],
  too_long: text("x".repeat(129), "x".repeat(50_000)),
  invalid_value: text("batch", "stream"),
  invalid_format: [...text(" ", "a b", "ä", "a\u0000", "a%2Fb", "a\nb", "a\\b", "a?b", "日本"), '"\\ud800"'],
});

const USER_ID = all("user_id", {
  required: ["null"],
  invalid_type: ["0", "-1", "1e3", "true", "false", "[]", "{}", '["a"]'],
  too_short: ['""'],
  too_long: text("x".repeat(257), "x".repeat(50_000), "😀".repeat(257)),
  invalid_format: [
    ...text("\u0000", "a\u0007b", "line\nbreak", "tab\t", "a\u0085b", "\u007f"),
    '"\\ud800"',
    '"\\udc00x"',
    '"ok\\udbff"',
  ],
});

const EVENT_TYPE = all("event_type", {
  required: ["null"],
  invalid_type: ["7", "true", "[]", "{}", '["purchase"]'],
  too_short: ['""'],
  too_long: text("x".repeat(65), "x".repeat(50_000)),
  invalid_format: [
    ...text("1a", "_a", "-a", "a b", " a", "a/b", "é", "a\u0000", "purchase\n", "😀", "a*", "$a"),
    '"a\\ud800"',
  ],
});

const AMOUNT = all("amount", {
  required: ["null"],
  invalid_type: ["true", "false", "[]", "{}", "[1]", '{"value":1}'],
  invalid_format: text(
    ...["", " ", "abc", "1e3", "1E400", "NaN", "Infinity", "-Infinity", "0x10", "1_000", "1,000", "1,5", "1.5.2"],
    ...["--1", "+-1", "1.", ".5", "-", "１２", "٣", "1 ", " 1", "1\n", "1\u0000", "$1", "1€", "null"],
  ),
  out_of_range: [
    ...["1e400", "-1e400", "1e308", "1e10", "1000000000.0001", "-1000000001", "9007199254740993", DIGITS, "-" + DIGITS],
    ...text("1000000000.0001", "-1000000001", "9".repeat(64)),
  ],
  too_precise: ["0.00001", "1e-5", "5e-324", "12.34567", "0.10000001", ...text("0.00001", "999999999.99999")],
  too_long: text(DIGITS, `0.${"0".repeat(LONG)}1`, "-".repeat(LONG)),
});

const TIMESTAMP = all("timestamp", {
  invalid_type: ["0", "1752582896", "1752582896123.5", "true", "[]", "{}", '["2024-01-15T10:30:00Z"]'],
  invalid_timestamp: text(
    ...["", "now", "yesterday", "2024-01-15", "2024-01-15 10:30:00", "2024-01-15T10:30Z", "10:30:00", "1705314600"],
    ...["2024-01-15T24:00:00Z", "2024-01-15T23:59:60Z", "2016-12-31T23:59:60Z", "2024-01-15T23:60:00Z"],
    ...["2023-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2024-02-30T00:00:00Z", "2024-04-31T00:00:00Z"],
    ...["2024-13-01T00:00:00Z", "2024-00-10T00:00:00Z", "2024-01-00T00:00:00Z", "2024-01-32T00:00:00Z"],
    ...["0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "-000001-01-01T00:00:00Z", "+002024-01-15T10:30:00Z"],
    ...["2024-01-15T10:30:00+24:00", "2024-01-15T10:30:00+05:60", "2024-01-15T10:30:00+0530"],
    ...["2024-01-15T10:30:00+05", "2024-01-15T10:30:00−05:00", "2024-01-15T10:30:00 Z", "2024-01-15T10:30:00ZZ"],
    ...["2024-W03-1T10:30:00Z", "2024-015T10:30:00Z", "20240115T103000Z", "2024-01-15T10:30:00[Europe/Berlin]"],
    ...["2024-01-15T10:30:00.Z", "2024-01-15T10:30:00.0123456789Z", "2024-01-15T10:30:00,5Z", " 2024-01-15T10:30:00Z"],
    ...["2024-01-15T10:30:00Z\u0000", "２０２４-01-15T10:30:00Z", "1969-12-31T23:59:59.999Z", "x".repeat(10_000)],
    ...["9999-12-31T23:59:59-00:01", "1970-01-01T00:00:00+00:01"],
  ),
  too_far_in_future: text("9999-12-31T23:59:59.999Z", "2999-01-01T00:00:00"),
});

const PROPERTIES: readonly BadMember[] = [
  ...all("properties", {
    invalid_type: ['"x"', '"{}"', "1", "true", "[]", '[{"a":1}]'],
    too_long: [JSON.stringify({ text: "x".repeat(16 * 1024) }), JSON.stringify({ text: "é".repeat(8 * 1024) })],
  }),
  { member: "properties", json: '{"$set":1}', code: "invalid_format", inside: "/$set" },
  { member: "properties", json: '{"":1}', code: "too_short", inside: "/" },
  { member: "properties", json: '{"a":{"$b":1}}', code: "invalid_format", inside: "/a/$b" },
  { member: "properties", json: '{"a":[{"b\\u0000":1}]}', code: "invalid_format", inside: "/a/0/b\u0000" },
  { member: "properties", json: `{"${"k".repeat(129)}":1}`, code: "too_long", inside: `/${"k".repeat(129)}` },
  { member: "properties", json: '{"a":1e400}', code: "out_of_range", inside: "/a" },
  { member: "properties", json: '{"a":{"b":[0,-1e999]}}', code: "out_of_range", inside: "/a/b/1" },
  { member: "properties", json: '{"a":"\\ud800"}', code: "invalid_format", inside: "/a" },
  { member: "properties", json: '{"x\\udfff":1}', code: "invalid_format", inside: "/x\ufffd" },
  { member: "properties", json: '{"__proto__":{"$x":1}}', code: "invalid_format", inside: "/__proto__/$x" },
  { member: "properties", json: '{"a/b":{"~":{"$":1}}}', code: "invalid_format", inside: "/a~1b/~0/$" },
  { member: "properties", json: nested(9, '{"a":', "}"), code: "too_deep", inside: "/a".repeat(8) },
  { member: "properties", json: nested(5_000, '{"a":', "}"), code: "too_deep", inside: "/a".repeat(8) },
  { member: "properties", json: `{"a":${nested(20_000, "[", "]")}}`, code: "too_deep", inside: "/a" + "/0".repeat(7) },
];

/** Members that no event has. */
const UNKNOWN: readonly BadMember[] = ["userId", "colour", "__proto__", "constructor", "toString", "", "a/b", "amount "]
  .map((member) => ({ member, json: "1", code: "unknown_field" }));

/** All of them. */
export const BAD_MEMBERS: readonly BadMember[] = [
  ...ID,
  // GraphQL takes a whole number as an ID.
  { member: "id", json: "5", code: "invalid_type" },
  ...USER_ID,
  ...EVENT_TYPE,
  ...AMOUNT,
  ...TIMESTAMP,
  ...PROPERTIES,
  ...UNKNOWN,
];

/** The members of an event that is right, as JSON. */
export const GOOD_MEMBERS: Readonly<Record<string, string>> = {
  id: '"malformed-1"',
  user_id: '"user"',
  event_type: '"purchase"',
  amount: "1.5",
  timestamp: '"2024-01-15T10:30:00Z"',
  properties: "{}",
};

/** The event with a bad member, as JSON; `spell` renames the good ones. */
export function withBadMember({ member, json }: BadMember, spell: (member: string) => string = (name) => name): string {
  const members = Object.entries(GOOD_MEMBERS).filter(([name]) => name !== member);
  return `{${
    [...members, [member, json]].map(([name, value]) => `${JSON.stringify(spell(name!))}:${value}`).join(",")
  }}`;
}

/** The place of the fault as a JSON pointer (RFC 6901). */
export function pointerOf(
  { member, inside = "" }: BadMember,
  spell: (member: string) => string = (name) => name,
): string {
  return "/" + spell(member).replaceAll("~", "~0").replaceAll("/", "~1") + inside;
}
