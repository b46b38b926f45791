/** The command line against a real hub: what one command puts in, the others show. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { startHub } from "../harness.ts";
import { TextLineStream } from "../soak/text_lines.ts";
import { processTest, runCli, spawnCli, text } from "./process.ts";

/** Lines of a text that ends with a line feed. */
function linesOf(output: string): string[] {
  return output === "" ? [] : output.trimEnd().split("\n");
}

processTest("cli: a generated day is listed, counted, followed and recounted", async () => {
  await using hub = await startHub();
  const url = ["--url", hub.httpUrl];
  const generated = await runCli(
    [
      "generate",
      "--count",
      "2500",
      "--rate",
      "0",
      "--users",
      "10",
      "--seed",
      "1",
      "--spread",
      "20h",
      "-o",
      "json",
      ...url,
    ],
  );
  assertEquals({ code: generated.code, stderr: generated.stderr }, { code: 0, stderr: "" });
  assertEquals(JSON.parse(generated.stdout), { stored: 2500, duplicates: 0, refused: 0 });

  const json = linesOf((await runCli(["events", "--all", "-o", "json", ...url])).stdout).map((line) =>
    JSON.parse(line)
  );
  assertEquals(json.length, 2500);
  assertEquals(new Set(json.map((event) => event.id)).size, 2500);
  const times = json.map((event) => event.timestamp);
  assertEquals(times, times.toSorted().reverse());

  const csv = linesOf((await runCli(["events", "--all", "-o", "csv", "--order", "asc", ...url])).stdout);
  assertEquals(csv[0]!.trim(), "id,user_id,event_type,amount,timestamp,properties");
  assertEquals(csv.slice(1).map((line) => line.split(",")[0]), json.map((event) => event.id).reverse());

  const page = await runCli(["events", "--user", "user_3", "--type", "refund", "--limit", "5", ...url]);
  const [heading, ...rows] = linesOf(page.stdout);
  assertMatch(heading!, /^TIMESTAMP +TYPE +AMOUNT +USER +ID +PROPERTIES$/);
  assertEquals(
    rows.map((row) => row.split(/\s+/).slice(1, 4).filter((_, index) => index !== 1)),
    Array(5).fill(["refund", "user_3"]),
  );
  const cursor = /--cursor (\S+)/.exec(page.stderr)![1]!;
  const next = await runCli([
    "events",
    "--user",
    "user_3",
    "--type",
    "refund",
    "--limit",
    "5",
    "--cursor",
    cursor,
    ...url,
  ]);
  const all = json.filter((event) => event.user_id === "user_3" && event.event_type === "refund");
  assertEquals(
    linesOf(next.stdout).slice(1).map((row) => row.split(/\s+/)[4]),
    all.slice(5, 10).map((event) => event.id),
  );

  const metrics = JSON.parse(
    (await runCli(["metrics", "--last", "24h", "--window", "1h", "-o", "json", ...url])).stdout,
  );
  const cents = metrics.rows.reduce(
    (sum: number, row: { total: string }) => sum + Math.round(Number(row.total) * 100),
    0,
  );
  assertEquals(cents, json.reduce((sum, event) => sum + Math.round(event.amount * 100), 0));
  const table = await runCli([
    "metrics",
    "--last",
    "24h",
    "--window",
    "1d",
    "--group-by",
    "event_type",
    "--percentiles",
    ...url,
  ]);
  assertMatch(linesOf(table.stdout)[0]!, /^START +END +TYPE +COUNT +TOTAL +NET +MIN +AVG +MAX +P50 +P95 +P99 +STATE$/);

  const tail = await runCli(["tail", "--after", "earliest", "--max", "2500", "-o", "json", ...url]);
  assertEquals(linesOf(tail.stdout).map((line) => JSON.parse(line).id).sort(), json.map((event) => event.id).sort());

  for (const command of ["verify", "rebuild"]) {
    const report = await runCli(["rollups", command, ...url]);
    assertEquals(report.code, 0, report.stderr);
    assertMatch(report.stdout, /^2,500 events recounted in [\d,]+ cells; 0 differ\n$/);
  }
  const version = await runCli(["version", ...url]);
  assertMatch(version.stdout, /^cli {2}\d+\.\d+\.\d+\nhub {2}\d+\.\d+\.\d+ at http/);
});

processTest("cli: sending a file twice stores it once; a changed line is a conflict, a bad one is told", async () => {
  await using hub = await startHub();
  const url = ["--url", hub.httpUrl];
  const line = (number: number, amount: number) =>
    `{"user_id":"u${number}","event_type":"purchase","amount":${amount}}\n`;
  const file = Array.from({ length: 700 }, (_, index) => line(index, 1.5)).join("");
  const args = ["send", "--id-prefix", "july", "--gzip", ...url];
  assertEquals(await runCli(args, { stdin: file }), {
    code: 0,
    stdout: "",
    stderr: "700 stored, 0 already there, 0 not taken\n",
  });
  const changed = line(0, 2) + file.slice(line(0, 1.5).length) + '{"user_id":"x","event_type":"purchase"}\n{"broken\n';
  const again = await runCli(args, { stdin: changed });
  assertEquals(again.code, 1);
  assertStringIncludes(again.stderr, "line 1 (id july:1): conflict: /id: ");
  assertStringIncludes(again.stderr, "line 701 (id july:701): invalid: /amount: ");
  assertStringIncludes(again.stderr, "line 702: malformed: Not JSON");
  assertStringIncludes(again.stderr, "0 stored, 699 already there, 3 not taken\n");
});

processTest("cli: tail survives the end of its hub and goes on with the next one on the same file", async () => {
  const folder = await Deno.makeTempDir({ prefix: "eventhub-cli-" });
  try {
    let hub = await startHub({ folder });
    const { port } = new URL(hub.httpUrl);
    const event = (id: string) => ["send", "--id", id, "--user", "u", "--type", "purchase", "--amount", "1"];
    const child = spawnCli(["tail", "--after", "earliest", "--max", "4", "-o", "json", "--url", hub.httpUrl]);
    const rest = Promise.all([text(child.stderr), child.status]);
    const shown = child.stdout.pipeThrough(new TextLineStream())[Symbol.asyncIterator]();
    const next = async () => JSON.parse((await shown.next()).value!).id;
    for (const id of ["a", "b"]) assertEquals((await runCli([...event(id), "--url", hub.httpUrl])).code, 0);
    assertEquals([await next(), await next()], ["a", "b"]);
    await hub.stop();
    hub = await startHub({ folder, env: { EVENTHUB_HTTP_PORT: port } });
    for (const id of ["c", "d"]) assertEquals((await runCli([...event(id), "--url", hub.httpUrl])).code, 0);
    assertEquals([await next(), await next()], ["c", "d"]);
    const [stderr, { code }] = await rest;
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, "Connection lost; trying again from where it stopped.");
    assert(!stderr.includes("Continuity is lost"), stderr);
    await hub.stop();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
