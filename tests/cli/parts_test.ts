/** The parts of the command line that need no hub. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { explain } from "../../src/cli/client.ts";
import { dueBy } from "../../src/cli/generate.ts";
import { generateEvents } from "../../src/cli/generator.ts";
import { type InputLine, LineReader } from "../../src/cli/lines.ts";
import { range } from "../../src/cli/metrics.ts";
import { duration, whole } from "../../src/cli/options.ts";
import { progressLine } from "../../src/cli/progress.ts";
import { nextDelayMs } from "../../src/cli/retry.ts";
import { prepare } from "../../src/cli/send.ts";
import { type SseBlock, SseParser } from "../../src/cli/sse.ts";
import { formatTable } from "../../src/cli/table.ts";
import { NDJSON_LINE_BYTES_MAX } from "../../src/limits.ts";

const never = new AbortController().signal;

async function readLines(chunks: readonly Uint8Array[], limits = { lines: 1_000, bytes: 1 << 20 }) {
  const reader = new LineReader(ReadableStream.from(chunks), never);
  const groups: InputLine[][] = [];
  for (;;) {
    const group = await reader.take(limits);
    if (group.length === 0) return groups;
    groups.push(group);
  }
}

const bytes = (text: string) => new TextEncoder().encode(text);

/** Cuts something into pieces of the given lengths, the rest into one. */
function cut<T extends string | Uint8Array>(whole: T, lengths: readonly number[]): T[] {
  const pieces: T[] = [];
  let at = 0;
  for (const length of lengths) {
    pieces.push(whole.slice(at, at + length) as T);
    at += length;
  }
  return [...pieces, whole.slice(at) as T];
}

Deno.test("cli: back-off doubles from 100 ms to 5 s, with jitter, and obeys the hub", () => {
  const highest = [1, 2, 3, 7, 50].map((attempt) => nextDelayMs(attempt, { random: () => 1 }));
  assertEquals(highest, [100, 200, 400, 5_000, 5_000]);
  assertEquals(nextDelayMs(3, { random: () => 0 }), 200);
  assertEquals(nextDelayMs(1, { askedMs: 2_000 }), 2_000);
});

Deno.test("cli: server-sent events are the same however the stream is cut", () => {
  const stream = ': hello\n\nid: c1\n\nevent: event\r\nid: c2\r\ndata: {"a":\r\ndata: 1}\r\n\r\n' +
    "data:no space\rdata\r\r event: not a field\nid: c\0\nretry: 5\n\nevent: end\ndata: {}\n\nevent: cut";
  const expected: SseBlock[] = [
    { event: "", data: "", id: "c1" },
    { event: "event", data: '{"a":\n1}', id: "c2" },
    { event: "", data: "no space\n", id: "c2" },
    { event: "end", data: "{}", id: "c2" },
  ];
  fc.assert(fc.property(fc.array(fc.nat({ max: 30 }), { maxLength: 20 }), (lengths) => {
    const parser = new SseParser();
    assertEquals(cut(stream, lengths).flatMap((piece) => parser.push(piece)), expected);
  }));
});

Deno.test("cli: a stream that never ends a block is refused", () => {
  const parser = new SseParser();
  assertThrows(
    () => {
      for (;;) parser.push(`data: ${"x".repeat(100_000)}\n`);
    },
    Error,
    "more than 1 MiB",
  );
});

Deno.test("cli: lines are the same however the input is cut, numbered with the blank ones", async () => {
  const input = bytes('{"a":1}\r\n\n  \n{"ü":"€😀"}\n\r\nlast');
  const expected = [{ number: 1, text: '{"a":1}' }, { number: 4, text: '{"ü":"€😀"}' }, { number: 6, text: "last" }];
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat({ max: 12 }), { maxLength: 12 }), async (lengths) => {
      assertEquals((await readLines(cut(input, lengths))).flat(), expected);
    }),
    { numRuns: 50 },
  );
});

Deno.test("cli: a line that is too long or not UTF-8 is told, and the next ones are read", async () => {
  const long = new Uint8Array(NDJSON_LINE_BYTES_MAX + 1).fill(120);
  const lines = (await readLines([long, bytes("\nok\n"), new Uint8Array([0xff, 10]), bytes("ok")])).flat();
  assertEquals(lines, [
    { number: 1, fault: "The line has more than 65,536 bytes" },
    { number: 2, text: "ok" },
    { number: 3, fault: "The line is not UTF-8" },
    { number: 4, text: "ok" },
  ]);
});

Deno.test("cli: groups of lines keep to both limits", async () => {
  const input = [bytes("aaaa\nbbbb\ncccc\ndddd\neeee\n")];
  const sizes = async (limits: { lines: number; bytes: number }) =>
    (await readLines(input, limits)).map((group) => group.length);
  assertEquals(await sizes({ lines: 2, bytes: 1_000 }), [2, 2, 1]);
  assertEquals(await sizes({ lines: 100, bytes: 12 }), [3, 2]);
  assertEquals(await sizes({ lines: 100, bytes: 1 }), [1, 1, 1, 1, 1]);
});

Deno.test("cli: a slow source is not held up: what has arrived goes out while the next piece is awaited", async () => {
  const input = new TransformStream<Uint8Array, Uint8Array>();
  const writer = input.writable.getWriter();
  const reader = new LineReader(input.readable, never);
  void writer.write(bytes("one\ntw"));
  assertEquals(await reader.take({ lines: 500, bytes: 1_000 }), [{ number: 1, text: "one" }]);
  void writer.write(bytes("o\n"));
  assertEquals(await reader.take({ lines: 500, bytes: 1_000 }), [{ number: 2, text: "two" }]);
  void writer.close();
  assertEquals(await reader.take({ lines: 500, bytes: 1_000 }), []);
});

Deno.test("cli: an id is put into a line without changing the rest of it", () => {
  const newId = () => "n1";
  const text = (line: string) => {
    const prepared = prepare({ number: 7, text: line }, newId);
    return "text" in prepared ? prepared.text : prepared.detail;
  };
  assertEquals(
    text('{ "amount": 1.50, "x": 12345678901234567890 }'),
    '{"id":"n1", "amount": 1.50, "x": 12345678901234567890 }',
  );
  assertEquals(text("{ }"), '{"id":"n1" }');
  assertEquals(text('{"id":"mine","amount":1}'), '{"id":"mine","amount":1}');
  assertEquals(text("[1]"), "[1]");
  assert(text('{"amount":').startsWith("Not JSON: "));
});

Deno.test("cli: generated events are the same for the same seed, of the four types, with two decimals", () => {
  const take = (seed: number) => {
    const events = generateEvents({ users: 5, seed });
    return Array.from({ length: 2_000 }, () => events.next().value);
  };
  assertEquals(take(7), take(7));
  assert(JSON.stringify(take(7)) !== JSON.stringify(take(8)));
  const events = take(1);
  assertEquals([...new Set(events.map((event) => event.event_type))].sort(), [
    "exchange",
    "purchase",
    "refund",
    "return",
  ]);
  assertEquals(new Set(events.map((event) => event.user_id)).size, 5);
  assert(events.every(({ amount }) => /^\d+\.\d\d$/.test(amount) && Number(amount) >= 1 && Number(amount) <= 500));
});

Deno.test("cli: a steady rate makes up for what is late and never runs ahead", () => {
  assertEquals(dueBy({ elapsedMs: 0, rate: 10, made: 0 }), 1);
  assertEquals(dueBy({ elapsedMs: 50, rate: 10, made: 1 }), 0);
  assertEquals(dueBy({ elapsedMs: 100, rate: 10, made: 1 }), 1);
  assertEquals(dueBy({ elapsedMs: 2_000, rate: 10, made: 2 }), 19);
  assert(dueBy({ elapsedMs: 0, rate: 0, made: 0 }) > 0);
});

Deno.test("cli: durations, whole numbers and ranges are read or refused", () => {
  assertEquals(["500ms", "30s", "1.5m", "24h", "7d"].map(duration), [500, 30_000, 90_000, 86_400_000, 604_800_000]);
  for (const text of ["", "5", "1w", "-1s", "1e3s", "s"]) assertThrows(() => duration(text), Error, "duration");
  assertEquals(whole(1, 10)("10"), 10);
  for (const text of ["0", "11", "1.5", "x", ""]) assertThrows(() => whole(1, 10)(text), Error, "from 1 to 10");
  const now = Date.UTC(2025, 6, 15, 12);
  assertEquals(range({ last: 3_600_000 }, now), { from: "2025-07-15T11:00:00.000Z", to: "2025-07-15T12:00:00.000Z" });
  assertEquals(range({ from: "2025-07-01T00:00:00+02:00", last: 60_000 }, now), {
    from: "2025-07-01T00:00:00+02:00",
    to: "2025-06-30T22:01:00.000Z",
  });
  assertEquals(range({ from: "2025-07-01T00:00:00" }, now), { from: "2025-07-01T00:00:00", to: undefined });
  assertThrows(() => range({ from: "2025-07-01T00:00:00", last: 1 }, now), Error, "with its zone");
});

Deno.test("cli: tables align, and control characters do not reach the terminal", () => {
  const table = formatTable([{ heading: "NAME" }, { heading: "N", right: true }, { heading: "" }], [
    ["a\u001b[31mb", "1", ""],
    ["c", "200", "x"],
  ]);
  const lines = table.trimEnd().split("\n");
  assertEquals(lines[1], "a\\u001b[31mb    1");
  assertEquals(lines[2], "c             200  x");
});

Deno.test("cli: progress shows a bar when the total is known", () => {
  assertEquals(
    progressLine({ done: 5_000, total: 10_000, elapsedMs: 2_000 }),
    "████████████░░░░░░░░░░░░  50 %  5,000 of 10,000, 2,500 events/s",
  );
  assertEquals(progressLine({ done: 1_234, total: null, elapsedMs: 1_000 }), "1,234 events, 1,234 events/s");
});

Deno.test("cli: a problem is told with each faulty field", () => {
  const problem = { title: "The input is not valid", status: 422, detail: "/amount: must be …", request_id: "r1" };
  assertEquals(
    explain({
      ...problem,
      code: "invalid_argument",
      errors: [
        { pointer: "/amount", code: "required", detail: "must be there" },
        { parameter: "limit", code: "out_of_range", detail: "must be 1 to 1000" },
      ],
    }),
    "The input is not valid:\n  /amount: must be there\n  limit: must be 1 to 1000",
  );
  assert(explain({ ...problem, code: "internal", detail: "The hub failed" }).includes("request id r1"));
});
