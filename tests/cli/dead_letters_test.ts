/** `dead-letters` on the command line, against the REST interface over the memory drivers. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { HubError } from "../../src/errors.ts";
import { altered } from "../altered.ts";
import { INCOMPLETE, letter } from "../transport/rest/letters.ts";
import { EVENT, openRest, type TestRest, type TestRestOptions, withId } from "../transport/rest/rest_harness.ts";
import { type Outcome, processTest, runCli } from "./process.ts";

interface Served extends AsyncDisposable {
  readonly test: TestRest;
  readonly url: string;
  /** Runs `dead-letters …` against it. */
  cli(args: readonly string[], stdin?: string): Promise<Outcome>;
  /** The ids of the letters that are there. */
  left(): Promise<string[]>;
}

function serve(options: TestRestOptions = {}): Served {
  const test = openRest(options);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    return test.rest.fetch(request);
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  return {
    test,
    url,
    cli: (args, stdin) => runCli(["dead-letters", ...args, "--url", url], { stdin }),
    left: async () => (await test.letters.list("default", { limit: 1_000 })).letters.map(({ id }) => id),
    [Symbol.asyncDispose]: async () => {
      await server.shutdown();
      await test[Symbol.asyncDispose]();
    },
  };
}

/** The same with the permission to read files. */
async function withFiles(args: readonly string[]): Promise<{ code: number; stderr: string }> {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-net", "--allow-read", "src/cli/main.ts", "dead-letters", ...args],
    cwd: new URL("../../", import.meta.url),
    stdin: "null",
  }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

const linesOf = (text: string) => text === "" ? [] : text.trimEnd().split("\n");

processTest(
  "cli dead-letters: listed as a table and as JSON, a page after the other, and shown one by one",
  async () => {
    await using served = serve();
    const { cli, test } = served;
    assertEquals(await cli([]), { code: 0, stdout: "FAILED AT  CODE  ID  REASON\n", stderr: "" });
    const text = letter("in:m:1-0", "{\u001b[31m", {
      code: "malformed",
      detail: "The field payload is not JSON",
      errors: [],
    });
    await test.letters.add([text, letter("in:m:2-0", INCOMPLETE), letter("in:m:3-0", EVENT)]);

    const first = await cli(["--limit", "2"]);
    assertEquals(first.code, 0);
    const [heading, ...rows] = linesOf(first.stdout);
    assertMatch(heading!, /^FAILED AT +CODE +ID +REASON$/);
    assertEquals(
      rows.map((row) => row.split(/\s{2,}/)),
      ["in:m:3-0", "in:m:2-0"].map((id) => [
        "2025-07-15T12:00:00.000Z",
        "invalid_argument",
        id,
        "/amount: amount is required",
      ]),
    );
    const cursor = /--cursor (\S+)/.exec(first.stderr)![1]!;
    const rest = await cli(["list", "--cursor", cursor, "-o", "json"]);
    assertEquals([rest.code, rest.stderr, linesOf(rest.stdout).map((line) => JSON.parse(line).id)], [0, "", [
      "in:m:1-0",
    ]]);

    const shown = await cli(["show", "in:m:2-0"]);
    assertEquals(shown.code, 0);
    assertStringIncludes(shown.stdout, "code       invalid_argument\n");
    assertStringIncludes(shown.stdout, "  /amount: amount is required\n");
    assertStringIncludes(shown.stdout, '  "user_id": "u1",\n');
    // What a stranger sent does not reach the terminal as it is.
    assertStringIncludes((await cli(["show", "in:m:1-0"])).stdout, "\n{\\u001b[31m\n");
    assertEquals(JSON.parse((await cli(["show", "in:m:2-0", "-o", "json"])).stdout).payload, INCOMPLETE);
    const missing = await cli(["show", "in:m:9-0"]);
    assertEquals([missing.code, missing.stdout], [1, ""]);
    assertStringIncludes(missing.stderr, "There is no dead letter with this id");
  },
);

processTest("cli dead-letters: --limit above a page is listed page by page", async () => {
  await using served = serve();
  const all = Array.from({ length: 1_205 }, (_, i) => letter(`in:m:${i}-0`, INCOMPLETE));
  await served.test.letters.add(all);
  const { code, stdout, stderr } = await served.cli(["--limit", "1203"]);
  assertEquals([code, linesOf(stdout).length, linesOf(stderr).length], [0, 1_204, 1]);
  assertStringIncludes(stderr, "There is more: a larger --limit, or go on with --cursor ");
});

processTest("cli dead-letters: a corrected event comes by standard input or from a file", async () => {
  await using served = serve();
  const { cli, left, test } = served;
  await test.letters.add([letter("in:m:1-0", { ...INCOMPLETE, id: "order-1" }), letter("in:m:2-0", INCOMPLETE)]);
  assertEquals(await cli(["redrive", "in:m:1-0", "--file", "-"], JSON.stringify(EVENT)), {
    code: 0,
    stdout: "",
    stderr: "1 stored, 0 already there, 0 not taken\n",
  });
  assertEquals((await test.hub.get("default", "order-1")).amount, 125_000);
  const wrong = await cli(["redrive", "in:m:2-0", "--file", "-"], '{"user_id":"u1","amount":"much"}');
  assertEquals([wrong.code, wrong.stdout], [1, ""]);
  assertEquals(linesOf(wrong.stderr).slice(0, 2), [
    "in:m:2-0: The input is not valid:",
    "  /event_type: event_type is required",
  ]);
  assertStringIncludes(wrong.stderr, "0 stored, 0 already there, 1 not taken\n");
  const other = await cli(["redrive", "in:m:2-0", "--file", "-"], JSON.stringify(withId("order-9")));
  assertEquals(other.code, 0, "the letter had no id of its own");
  assertEquals(await left(), []);

  // One that may read files reads them; `deno task cli` may use the network and nothing else.
  await test.letters.add([letter("in:m:3-0", INCOMPLETE)]);
  const path = await Deno.makeTempFile({ prefix: "eventhub-cli-", suffix: ".json" });
  try {
    await Deno.writeTextFile(path, JSON.stringify(EVENT));
    assertEquals((await withFiles(["redrive", "in:m:3-0", "--file", path, "--url", served.url])).code, 0);
  } finally {
    await Deno.remove(path);
  }
  assertEquals(await left(), []);
  const missing = await withFiles(["redrive", "in:m:3-0", "--file", path, "--url", served.url]);
  assertEquals(missing.code, 2);
  assertStringIncludes(missing.stderr, `--file: cannot read ${path}: `);
  const file = await cli(["redrive", "in:m:2-0", "--file", "corrected.json"]);
  assertEquals([file.code, file.stdout], [2, ""]);
  assertStringIncludes(file.stderr, "use standard input: --file - < corrected.json");
});

processTest("cli dead-letters: what is wrong on the command line is told, and nothing is sent", async () => {
  await using served = serve();
  const { cli, left, test } = served;
  await test.letters.add([letter("a", EVENT), letter("b", EVENT)]);
  const cases: [string[], string, string?][] = [
    [["redrive"], "Name the dead letters, or give --all."],
    [["redrive", "a", "--all"], "Name the dead letters, or give --all."],
    [["redrive", "a", "b", "--file", "-"], "--file corrects one event"],
    [["redrive", "--all", "--file", "-"], "--file corrects one event"],
    [["redrive", "a", "--file", "-"], "--file: not JSON", ""],
    [["redrive", "a", "--file", "-"], "--file: not JSON", "{"],
    [["redrive", "a", "--file", "-"], "at most 65,536 bytes", JSON.stringify("x".repeat(70_000))],
    [["redrive", "a", ".."], 'got ".."'],
    [["delete", "a", "."], 'got "."'],
    [["delete"], "missing required argument"],
    [["show", ""], 'got ""'],
    [["list", "--limit", "0"], "whole number"],
    [["nonsense"], "too many arguments"],
  ];
  for (const [args, message, stdin] of cases) {
    const { code, stdout, stderr } = await cli(args, stdin);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertStringIncludes(stderr, message);
  }
  assertEquals(await left(), ["b", "a"]);
});

processTest(
  "cli dead-letters: of several, those that can be taken are; the exit code tells of the others",
  async () => {
    await using served = serve();
    const { cli, left, test } = served;
    await test.ask("/events", { body: withId("known") });
    await test.ask("/events", { body: withId("taken") });
    await test.letters.add([
      letter("in:m:1-0", EVENT),
      letter("in:m:2-0", INCOMPLETE),
      letter("in:m:3-0", withId("known")),
      letter("in:m:4-0", withId("taken", { amount: 1 }), { code: "conflict" }),
      letter("in:m:5-0", EVENT),
    ]);
    const some = await cli(["redrive", "in:m:1-0", "in:m:none", "in:m:3-0", "-o", "json"]);
    assertEquals([some.code, JSON.parse(some.stdout)], [1, { stored: 1, duplicates: 1, refused: 1 }]);
    assertStringIncludes(some.stderr, "in:m:none: There is no dead letter with this id");
    const all = await cli(["redrive", "--all"]);
    assertEquals(all.code, 1);
    assertStringIncludes(all.stderr, "in:m:2-0: The input is not valid:\n  /amount: amount is required\n");
    assertStringIncludes(all.stderr, "in:m:4-0: The id is taken by other content:\n");
    assertStringIncludes(all.stderr, "1 stored, 0 already there, 2 not taken\n");
    assertEquals(await left(), ["in:m:4-0", "in:m:2-0"]);

    const deleted = await cli(["delete", "in:m:none", "in:m:4-0", "in:m:2-0"]);
    assertEquals([deleted.code, deleted.stdout], [1, ""]);
    assertStringIncludes(deleted.stderr, "in:m:none: There is no dead letter");
    assertStringIncludes(deleted.stderr, "2 deleted\n");
    assertEquals(await left(), []);
    assertEquals((await cli(["redrive", "--all"])).stderr, "0 stored, 0 already there, 0 not taken\n");
  },
);

processTest(
  "cli dead-letters: --all goes through pages, repeats what may succeed later, and gives up in time",
  async () => {
    let refusals = Infinity;
    const limits: number[] = [];
    await using served = serve({
      hub: {
        wrapStore: (store) =>
          altered(store, {
            append: (events) =>
              refusals-- > 0 ? Promise.resolve(events.map(() => "unavailable" as const)) : store.append(events),
          }),
      },
      wrapLetters: (letters) =>
        altered(letters, { list: (tenant, page) => (limits.push(page.limit), letters.list(tenant, page)) }),
    });
    const { cli, left, test } = served;
    const ids = Array.from({ length: 120 }, (_, i) => `in:m:${i}-0`);
    await test.letters.add(ids.map((id) => letter(id, EVENT)));
    const gaveUp = await cli(["redrive", "--all", "--retry-for", "100ms"]);
    assertEquals([gaveUp.code, (await left()).length], [1, 120]);
    assertStringIncludes(gaveUp.stderr, "0 stored, 0 already there, 0 not taken\nGave up after one attempt.");
    refusals = 1;
    limits.length = 0;
    assertEquals(await cli(["redrive", "--all"]), {
      code: 0,
      stdout: "",
      stderr: "120 stored, 0 already there, 0 not taken\n",
    });
    assertEquals([await left(), limits.length], [[], 4]);
    const { events } = await test.hub.list({ tenant: "default" }, { limit: 1_000, order: "asc" });
    assertEquals(events.map(({ id }) => id).sort(), ids.sort());
  },
);

processTest("cli dead-letters: a letter that went although the answer was an error is no failure", async () => {
  let failures = 1;
  await using served = serve({
    wrapLetters: (letters) =>
      altered(letters, {
        delete: async (tenant, id) => {
          const deleted = await letters.delete(tenant, id);
          if (failures-- > 0) throw new HubError("unavailable", "The database does not answer");
          return deleted;
        },
      }),
  });
  await served.test.letters.add([letter("in:m:1-0", EVENT)]);
  assertEquals(await served.cli(["redrive", "in:m:1-0"]), {
    code: 0,
    stdout: "",
    stderr: "in:m:1-0: gone meanwhile: its event was taken, or it was deleted\n" +
      "0 stored, 0 already there, 0 not taken\n",
  });
  assertEquals((await served.test.hub.get("default", "in:m:1-0")).userId, "u1");
});
