/** The free part of an event: bounds of size, depth and keys, and equality by value. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Faults } from "../src/faults.ts";
import { PROPERTIES_JSON_BYTES_MAX } from "../src/limits.ts";
import { parseProperties, sameProperties } from "../src/properties.ts";

function read(value: unknown): { text: string | null; faults: string[] } {
  const faults = new Faults();
  const text = parseProperties(value, faults, "");
  return { text, faults: (faults.errors ?? []).map(({ pointer, code }) => `${pointer} ${code}`) };
}

/** An object of so many levels, objects and arrays in turn. */
function nested(levels: number): unknown {
  let value: unknown = { leaf: 1 };
  for (let level = levels - 1; level >= 1; level--) value = level % 2 === 0 ? [value] : { a: value };
  return value;
}

Deno.test("properties: a JSON object is kept as its text, an empty one is none", () => {
  assertEquals(read({ b: 1, a: ["x", null, false, 1.5e-7] }), {
    text: '{"b":1,"a":["x",null,false,1.5e-7]}',
    faults: [],
  });
  assertEquals(read({}), { text: null, faults: [] });
  assertEquals(read({ a: {} }), { text: '{"a":{}}', faults: [] });
});

Deno.test("properties: what is no JSON object is refused", () => {
  for (const value of ["{}", 1, true, [], [{}], new Map(), new Date(), null, undefined]) {
    assertEquals(read(value).faults, [" invalid_type"]);
  }
  const inside = { a: undefined, b: new Date(), c: () => 1, d: 1n, e: Symbol("s"), f: new Array(1) };
  assertEquals(read(inside).faults, ["/a", "/b", "/c", "/d", "/e", "/f/0"].map((at) => `${at} invalid_type`));
});

Deno.test("properties: numbers are finite, texts well-formed, wherever they are", () => {
  assertEquals(read(JSON.parse('{"a":[1e400]}')).faults, ["/a/0 out_of_range"]);
  assertEquals(read({ a: { b: Number.NaN } }).faults, ["/a/b out_of_range"]);
  assertEquals(read({ a: ["ok", "\udc00"] }).faults, ["/a/1 invalid_format"]);
  assertEquals(read({ a: "tab\tnul\u0000 😀" }).faults, []);
});

Deno.test("properties: keys have 1 to 128 characters, none a control character, no leading $", () => {
  const refused: [string, string][] = [
    ["", "too_short"],
    ["$where", "invalid_format"],
    ["a\nb", "invalid_format"],
    ["\u009f", "invalid_format"],
    ["\ud800", "invalid_format"],
    ["k".repeat(129), "too_long"],
    ["😀".repeat(129), "too_long"],
  ];
  for (const [key, code] of refused) {
    assertEquals(read({ a: [{ [key]: 1 }] }).faults, [`/a/0/${key.toWellFormed()} ${code}`]);
  }
  for (const key of ["k".repeat(128), "😀".repeat(128), "a.b", "a$b", " ", "~/", "toString"]) {
    assertEquals(read({ [key]: 1 }).faults, [], key);
  }
  assertEquals(read({ "a/b": { "~": Infinity } }).faults, ["/a~1b/~0 out_of_range"]);
});

Deno.test("properties: a member named __proto__ is a member like any other", () => {
  const value = JSON.parse('{"__proto__":{"x":1},"a":{"__proto__":2}}');
  assertEquals(read(value), { text: '{"__proto__":{"x":1},"a":{"__proto__":2}}', faults: [] });
  assertEquals(sameProperties('{"__proto__":1}', '{"a":1}'), false);
  assertEquals(sameProperties('{"a":{}}', '{"a":{"__proto__":{}}}'), false);
  assertEquals(sameProperties('{"__proto__":{"a":1},"b":2}', '{"b":2,"__proto__":{"a":1}}'), true);
  assertEquals(sameProperties('{"toString":1}', '{"valueOf":1}'), false);
});

Deno.test("properties: at most 8 levels, and any depth is refused without falling over", () => {
  assertEquals(read(nested(8)).faults, []);
  assertEquals(read(nested(9)).faults, ["/a/0/a/0/a/0/a/0 too_deep"]);
  const deep = JSON.parse('{"a":'.repeat(5_000) + "1" + "}".repeat(5_000));
  assertEquals(read(deep).faults, ["/a/a/a/a/a/a/a/a too_deep"]);
});

Deno.test("properties: at most 16 KiB of JSON, counted in UTF-8", () => {
  const overhead = '{"a":""}'.length;
  const room = PROPERTIES_JSON_BYTES_MAX - overhead;
  assertEquals(read({ a: "x".repeat(room) }).faults, []);
  assertEquals(read({ a: "x".repeat(room + 1) }).faults, [" too_long"]);
  assertEquals(read({ a: "€".repeat(Math.floor(room / 3)) }).faults, []);
  assertEquals(read({ a: "€".repeat(Math.floor(room / 3) + 1) }).faults, [" too_long"]);
  assertEquals(read({ a: "\u0001".repeat(room / 6 + 1) }).faults, [" too_long"]);
});

Deno.test("properties: the faults of one object are bounded", () => {
  assertEquals(read({ a: new Array(100_000).fill(Number.NaN) }).faults.length, 32);
});

Deno.test("properties: equal by value whatever the order of members; another value is another", () => {
  const object = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }), { minKeys: 1, noNullPrototype: true });
  fc.assert(fc.property(object, fc.nat(), (value, seed) => {
    const names = Object.keys(value);
    const turned = names.map((_, i) => names[(i + seed) % names.length]!);
    const other = Object.fromEntries(turned.map((name) => [name, value[name]]));
    assert(sameProperties(JSON.stringify(value), JSON.stringify(other)));
    assert(!sameProperties(JSON.stringify(value), JSON.stringify({ ...other, [names[0]!]: [value[names[0]!]] })));
    assert(!sameProperties(JSON.stringify(value), null));
  }));
  assert(sameProperties(null, null));
});
