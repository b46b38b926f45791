/** The command line against a hub that fails in every way a network and a hub can. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { processTest, runCli, spawnCli, text } from "./process.ts";

/** One request the fake hub got. */
interface Seen {
  readonly path: string;
  readonly query: string;
  readonly headers: Headers;
  readonly body: string;
}

type Answer = (seen: Seen, count: number) => Response | Promise<Response>;

/** A hub that answers as it is told and remembers what it was asked. */
class FakeHub implements AsyncDisposable {
  readonly seen: Seen[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(answer: Answer) {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      const url = new URL(request.url);
      const gzip = request.headers.get("content-encoding") === "gzip";
      const body = gzip ? request.body?.pipeThrough(new DecompressionStream("gzip")) : request.body;
      const seen = {
        path: url.pathname,
        query: url.search,
        headers: request.headers,
        body: body ? await new Response(body).text() : "",
      };
      this.seen.push(seen);
      return await answer(seen, this.seen.length);
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server.shutdown();
  }
}

function problem(status: number, members: Record<string, unknown>): Response {
  return new Response(JSON.stringify({ title: "Not now", status, request_id: "r1", ...members }), {
    status,
    headers: { "content-type": "application/problem+json" },
  });
}

function batch(results: unknown[], counts: Partial<Record<string, number>>, status = 207): Response {
  const answer = { accepted: 0, duplicates: 0, rejected: 0, retryable: 0, ...counts, results };
  return Response.json(answer, { status });
}

const ids = (seen: Seen) => seen.body.trim().split("\n").map((line) => JSON.parse(line).id);
const EVENT = ["--user", "alice", "--type", "purchase", "--amount", "12.50"];

processTest("cli: a hub that is not there is told with what to do about it", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${listener.addr.port}`;
  listener.close();
  for (const args of [["send", ...EVENT], ["tail"], ["events"], ["metrics"], ["version"], ["generate"]]) {
    const { code, stdout, stderr } = await runCli([...args, "--url", url]);
    assertEquals({ code, stdout }, { code: 1, stdout: "" }, args.join(" "));
    assertEquals(
      stderr,
      `Cannot reach a hub at ${url}: Connection refused. Start one with "deno task dev", or name another with --url.\n`,
    );
  }
});

processTest("cli: something else that listens is not taken for a hub", async () => {
  await using other = new FakeHub(() => new Response("<h1>hello</h1>", { status: 404 }));
  const { code, stderr } = await runCli(["events", "--url", other.url]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "answered 404, and not as an Event Hub does");
});

processTest("cli: one event is sent again with the same id until the hub has it", async () => {
  await using hub = new FakeHub((seen, count) => {
    if (count === 1) return problem(503, { code: "unavailable", detail: "The disk is full" });
    if (count === 2) return problem(429, { code: "rate_limited" });
    return Response.json({ status: "success", id: JSON.parse(seen.body).id, duplicate: true });
  });
  const { code, stdout, stderr } = await runCli(["send", ...EVENT, "--property", "shop=b=1", "--url", hub.url]);
  const sent = hub.seen.map((seen) => JSON.parse(seen.body));
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: `already there ${sent[0].id}\n`, stderr: "" });
  assertEquals(new Set(sent.map((event) => event.id)).size, 1);
  assertEquals(sent[0], {
    id: sent[0].id,
    user_id: "alice",
    event_type: "purchase",
    amount: "12.50",
    properties: { shop: "b=1" },
  });
});

processTest("cli: what repeating cannot mend is not repeated, and every faulty field is told", async () => {
  await using hub = new FakeHub(() =>
    problem(422, {
      code: "invalid_argument",
      title: "The input is not valid",
      errors: [
        { pointer: "/amount", code: "too_precise", detail: "has at most 4 fraction digits" },
        { pointer: "/foo", code: "unknown_field", detail: "put it in properties" },
      ],
    })
  );
  const { code, stdout, stderr } = await runCli(["send", "--json", '{"id":"x","foo":1}', "--url", hub.url]);
  assertEquals({ code, stdout }, { code: 1, stdout: "" });
  assertEquals(
    stderr,
    "The input is not valid:\n  /amount: has at most 4 fraction digits\n  /foo: put it in properties\n",
  );
  assertEquals(hub.seen.length, 1);
});

processTest("cli: repeating ends in time, and says what is not known to be stored", async () => {
  await using hub = new FakeHub(() => problem(503, { code: "unavailable", detail: "The disk is full." }));
  const { code, stdout, stderr } = await runCli(["send", "--retry-for", "300ms", "--url", hub.url], {
    stdin: '{"id":"a"}\n{"id":"b"}\n',
  });
  assertEquals({ code, stdout }, { code: 1, stdout: "" });
  const lines = stderr.trim().split("\n");
  assertEquals(lines.slice(0, 3), [
    "line 1 (id a): unavailable: Not known to be stored; send it again with this id",
    "line 2 (id b): unavailable: Not known to be stored; send it again with this id",
    "0 stored, 0 already there, 2 not taken",
  ]);
  assert(/^Gave up after .* attempts? .*The disk is full\.$/.test(lines[3]!), lines[3]);
});

processTest("cli: a batch of which nothing was taken is a problem with results, told by line", async () => {
  await using hub = new FakeHub(() =>
    problem(422, {
      code: "invalid_argument",
      detail: "None of the events was taken; see the results",
      ...{ accepted: 0, duplicates: 0, rejected: 1, retryable: 0 },
      results: [{
        index: 0,
        line: 1,
        id: "a",
        status: "invalid",
        errors: [{ pointer: "/amount", code: "required", detail: "amount is required" }],
      }],
    })
  );
  const { code, stderr } = await runCli(["send", "--url", hub.url], { stdin: '{"id":"a"}\n' });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "line 1 (id a): invalid: /amount: amount is required");
});

processTest(
  "cli: of a batch only what is not known to be stored goes out again, refusals are told by line",
  async () => {
    await using hub = new FakeHub((_, count) =>
      count === 1
        ? batch([
          { index: 1, id: "b", status: "unavailable" },
          {
            index: 2,
            id: "c",
            status: "conflict",
            errors: [{ pointer: "/id", code: "mismatch", detail: "is stored with other content" }],
          },
        ], { accepted: 1, rejected: 1, retryable: 1 })
        : batch([], { duplicates: 1 }, 200)
    );
    const { code, stdout, stderr } = await runCli(["send", "-o", "json", "--gzip", "--url", hub.url], {
      stdin: '{"id":"a"}\nnot json\n\n{"id":"b"}\n{"id":"c"}\n',
    });
    assertEquals(code, 1);
    assertEquals(JSON.parse(stdout), { stored: 1, duplicates: 1, refused: 2 });
    assertEquals(hub.seen.map(ids), [["a", "b", "c"], ["b"]]);
    assert(hub.seen.every((seen) => seen.path === "/events/batch" && seen.headers.get("content-encoding") === "gzip"));
    assertStringIncludes(stderr, "line 2: malformed: Not JSON");
    assertStringIncludes(stderr, "line 5 (id c): conflict: /id: is stored with other content");
  },
);

processTest("cli: a batch whose answer was lost goes out again with the same ids", async () => {
  await using hub = new FakeHub((_, count) => {
    // A body that breaks off is an answer that never arrived.
    if (count === 2) {
      const body = new ReadableStream({
        pull(controller) {
          controller.enqueue(new TextEncoder().encode('{"accepted":'));
          controller.error("cut");
        },
      });
      return new Response(body, { headers: { "content-type": "application/json" } });
    }
    return batch([], { accepted: 2 }, 200);
  });
  const lines = Array.from({ length: 4 }, (_, index) => `{"user_id":"u${index}"}`).join("\n");
  // With a line feed at the end no line waits for the end of the input, which may come late enough for a short batch.
  const { code, stderr } = await runCli(["send", "--batch", "2", "--id-prefix", "file", "--url", hub.url], {
    stdin: lines + "\n",
  });
  assertEquals({ code, stderr }, { code: 0, stderr: "4 stored, 0 already there, 0 not taken\n" });
  assertEquals(hub.seen.map(ids), [["file:1", "file:2"], ["file:3", "file:4"], ["file:3", "file:4"]]);
});

/** A stream of server-sent events that stays open, or ends, or breaks. */
function stream(blocks: string[], then: "open" | "end" | "break"): Response {
  const rest = [...blocks];
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const block = rest.shift();
      if (block !== undefined) return controller.enqueue(new TextEncoder().encode(block));
      if (then === "end") controller.close();
      if (then === "break") controller.error("cut");
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

function event(number: number): string {
  const data = {
    id: `e${number}`,
    user_id: "u",
    event_type: "purchase",
    amount: number,
    timestamp: "t",
    properties: {},
  };
  return `event: event\nid: c${number}\ndata: ${JSON.stringify(data)}\n\n`;
}

processTest("cli: tail goes on behind the last event it showed, and tells of resets and ends", async () => {
  const end = 'event: end\ndata: {"reason":"shutdown","cursor":"c4"}\n\n';
  const reset = 'event: reset\nid: c9\ndata: {"reason":"epoch","mode":"replay","cursor":"c9"}\n\n';
  await using hub = new FakeHub((_, count) => {
    if (count === 1) return stream(["id: c0\n\n", event(1), event(2)], "break");
    if (count === 2) return problem(503, { code: "overloaded", detail: "Too many subscribers." });
    if (count === 3) return stream(["id: c2\n\n", event(3), event(4), end], "end");
    return stream([reset, event(10)], "open");
  });
  const args = ["tail", "--user", "u", "--type", "a", "--type", "b", "--after", "earliest", "--max", "5", "-o", "json"];
  const { code, stdout, stderr } = await runCli([...args, "--url", hub.url]);
  assertEquals(code, 0, stderr);
  assertEquals(stdout.trim().split("\n").map((line) => JSON.parse(line).id), ["e1", "e2", "e3", "e4", "e10"]);
  assertEquals(hub.seen.map((seen) => seen.headers.get("last-event-id")), [null, "c2", "c2", "c4"]);
  assert(hub.seen.every((seen) => seen.query === "?user_id=u&event_type=a&event_type=b&after=earliest"));
  const told = stderr.split("\n").map((line) => line.split(/[;.:(]/)[0]!.trim());
  assertEquals(told, [
    "Connection lost",
    "Connected again",
    "Connection lost",
    "Connected again",
    "Continuity is lost",
    "",
  ]);
});

processTest("cli: tail that the hub refuses ends at once", async () => {
  await using hub = new FakeHub(() => problem(400, { code: "invalid_cursor", detail: "This is no live cursor" }));
  const { code, stderr } = await runCli(["tail", "--after", "nonsense", "--url", hub.url]);
  assertEquals({ code, stderr }, { code: 1, stderr: "This is no live cursor\n" });
  assertEquals(hub.seen.length, 1);
});

processTest("cli: Ctrl-C ends tail in order", async () => {
  await using hub = new FakeHub(() => stream(["id: c0\n\n", event(1)], "open"));
  const child = spawnCli(["tail", "--url", hub.url]);
  const reader = child.stdout.getReader();
  const first = await reader.read();
  child.kill("SIGINT");
  const [stderr, status] = await Promise.all([text(child.stderr), child.status, reader.cancel()]);
  assertEquals(new TextDecoder().decode(first.value).split(/\s+/).slice(0, 5), ["t", "purchase", "1", "u", "e1"]);
  assertEquals({ code: status.code, stderr }, { code: 0, stderr: "" });
});

processTest("cli: Ctrl-C ends tail in the middle of a flood", async () => {
  await using hub = new FakeHub(() => {
    let number = 0;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode(event(++number).repeat(50))),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  const child = spawnCli(["tail", "--url", hub.url]);
  const stderr = text(child.stderr);
  let seen = 0;
  for await (const piece of child.stdout) {
    // Long enough for the garbage collector to have come by.
    if (seen < 4_000_000 && seen + piece.length >= 4_000_000) child.kill("SIGINT");
    seen += piece.length;
    assert(seen < 400_000_000, "it goes on and on");
  }
  assertEquals({ code: (await child.status).code, stderr: await stderr }, { code: 0, stderr: "" });
});

processTest("cli: Ctrl-C lets the running batch end and says where it stopped", async () => {
  const got = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  await using hub = new FakeHub(async () => {
    got.resolve();
    await release.promise;
    return batch([], { accepted: 1 }, 200);
  });
  const child = spawnCli(["send", "--url", hub.url], { stdin: "piped" });
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode('{"id":"a"}\n'));
  await got.promise;
  child.kill("SIGINT");
  release.resolve();
  const [stderr, status] = await Promise.all([text(child.stderr), child.status, child.stdout.cancel()]);
  await writer.abort();
  assertEquals({ code: status.code, stderr }, {
    code: 1,
    stderr: "1 stored, 0 already there, 0 not taken\nStopped: nothing behind line 1 was sent.\n",
  });
});

processTest("cli: a wrong command line is told, sends nothing and ends with 2", async () => {
  await using hub = new FakeHub(() => batch([], {}, 200));
  for (
    const args of [
      ["send", "--user", "a", "--json", "{}"],
      ["send", "--json", "{"],
      ["send", "--property", "x", "--user", "a"],
      ["send", "--retry-for", "soon", "--user", "a"],
      ["metrics", "--window", "2m"],
      ["events", "--limit", "0"],
      ["generate", "--spread", "1h"],
      ["backup"],
      ["tail", "extra"],
    ]
  ) {
    const { code, stdout, stderr } = await runCli(args[0] === "backup" ? args : [...args, "--url", hub.url]);
    assertEquals({ code, stdout }, { code: 2, stdout: "" }, `${args.join(" ")}: ${stderr}`);
    assertStringIncludes(stderr, "error: ");
  }
  assertEquals(hub.seen.length, 0);
});

processTest("cli: help knows every command, and no command that does not exist", async () => {
  const { code, stdout } = await runCli(["help"]);
  assertEquals(code, 0);
  const names = [...stdout.matchAll(/^ {2}(\w[\w-]*)(?: \[.*\])? {2,}\S/gm)].map((match) => match[1]!);
  assertEquals(names.join(" "), "send tail events metrics generate rollups export import dead-letters version help");
  for (const name of names.slice(0, 5)) {
    const help = await runCli(["help", name]);
    assertStringIncludes(help.stdout, "Examples:", name);
  }
});
