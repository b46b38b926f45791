/** Files of exports that are cut, changed, made up or huge: each is refused with its line, and nothing is written. */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { formatAmount } from "../../src/amount.ts";
import { openTransfer } from "../../src/app_transfer.ts";
import { importFile } from "../../src/cli/import_file.ts";
import { formatLine, LineFault, parseLine } from "../../src/cli/transfer_lines.ts";
import type { Event } from "../../src/event.ts";
import { Histogram } from "../../src/histogram.ts";
import { anyDetails, event, HOUR, NOON, ONE } from "../storage/conformance/events.ts";
import { processTest } from "./process.ts";
import { countsOf, fillStore, type Folder, linesOf, runTransfer, workFolder, writeSealed } from "./transfer.ts";

const PLAIN_VALUE = fc.oneof(
  fc.string({ unit: "grapheme" }).filter((text) => text.isWellFormed()),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(null, true, { deep: [{ er: "ü" }] }),
);

Deno.test("transfer lines: every event and every cell comes back as it was", () => {
  const events = fc.record({
    details: anyDetails(),
    timestampGiven: fc.boolean(),
    source: fc.constantFrom("rest", "graphql", "grpc", "redis", "import"),
    properties: fc.option(
      fc.dictionary(fc.stringMatching(/^[a-z_]{1,9}$/), PLAIN_VALUE, { minKeys: 1 }),
    ),
    isErased: fc.boolean(),
  });
  fc.assert(fc.property(events, ({ details, timestampGiven, source, properties, isErased }) => {
    const text = properties === null ? null : JSON.stringify(properties);
    const whole = event({ ...details, timestampGiven, source: source as Event["source"], properties: text });
    const sent = isErased ? { ...whole, userId: "", properties: null } : whole;
    assertEquals(parseLine(formatLine({ kind: "event", event: sent })), { kind: "event", event: sent });
  }));
  const amounts = fc.array(fc.integer({ min: -(10 ** 13), max: 10 ** 13 }), { minLength: 1 });
  fc.assert(fc.property(amounts, (all) => {
    const histogram = new Histogram();
    for (const amount of all) histogram.add(amount);
    const sum = all.reduce((total, amount) => total + BigInt(amount), 0n);
    const cell = { count: all.length, sum, min: Math.min(...all) + 0, max: Math.max(...all) + 0, histogram };
    const line = { kind: "purged", tenant: "default", start: NOON, eventType: "a", cell } as const;
    const { cell: read, ...rest } = parseLine(formatLine(line)) as typeof line;
    assertEquals(rest, { kind: "purged", tenant: "default", start: NOON, eventType: "a" });
    assertEquals({ ...read, histogram: [...read.histogram.encode()] }, { ...cell, histogram: [...histogram.encode()] });
  }));
});

Deno.test("transfer lines: what is no line of an export is told what is wrong with it", () => {
  const sound = formatLine({ kind: "event", event: event({ id: "a", properties: '{"a":1}' }) });
  const histogram = new Histogram();
  histogram.add(5 * ONE, 2);
  const cell = { count: 2, sum: 100_000n, min: 5 * ONE, max: 5 * ONE, histogram };
  const purged = formatLine({ kind: "purged", tenant: "default", start: NOON, eventType: "a", cell });
  const changed = (text: string, members: object) => JSON.stringify({ ...JSON.parse(text), ...members });
  const cases: [string, RegExp][] = [
    ["{", /not JSON/],
    ["[]", /not a JSON object/],
    ["null", /not a JSON object/],
    ["{}", /no line of an export/],
    ['{"eventhub":"other"}', /eventhub must be "export"/],
    ['{"eventhub":"export","version":2}', /version 2 of the form, and this Event Hub reads version 1/],
    ['{"eventhub":"export","version":1,"store":"x","exported_at":"now"}', /exported_at/],
    [changed(sound, { amount: "0.00001" }), /\/amount: .*at most 4 fraction digits/],
    [changed(sound, { amount: "1e9" }), /\/amount/],
    [changed(sound, { id: "" }), /\/id/],
    [changed(sound, { id: null }), /id is required/],
    [changed(sound, { tenant: "No Tenant" }), /tenant/],
    [changed(sound, { tenant: "a:b" }), /tenant/],
    [changed(sound, { source: "mail" }), /source/],
    [changed(sound, { received_at: 5 }), /received_at must be a text/],
    [changed(sound, { received_at: "2026-13-01T00:00:00Z" }), /received_at/],
    [changed(sound, { timestamp: undefined }), /timestamp is required/],
    [changed(sound, { timestamp_given: "no" }), /timestamp_given/],
    [changed(sound, { erased: true }), /an erased event has neither/],
    [changed(sound, { erased: false }), /erased can only be true/],
    [changed(sound, { user_id: "", event_type: "9" }), /\/user_id: .*; \/event_type: /],
    [changed(sound, { more: 1 }), /\/more/],
    [changed(purged, { purged: "2026-01-15T12:00:01Z" }), /start of a minute/],
    [changed(purged, { count: 3 }), /as many amounts as count/],
    [changed(purged, { count: -1 }), /count must be a count/],
    [changed(purged, { count: 1.5 }), /count must be a count/],
    [changed(purged, { total: "11" }), /total cannot be/],
    [changed(purged, { total: 10 }), /total must be a text/],
    [changed(purged, { min: "6" }), /total cannot be/],
    [changed(purged, { max: "2000000000" }), /max must be/],
    [changed(purged, { histogram: "AA==" }), /histogram is none/],
    [changed(purged, { histogram: "AQ!" }), /histogram is none/],
    [changed(purged, { histogram: "Af//////////////" }), /histogram is none/],
    [changed(purged, { event_type: "1" }), /event_type/],
    ['{"total":"1","count":1,"tenant":"a","event_type":1}', /event_type must be a text/],
    ['{"end":"export","events":1,"purged":0,"minutes":null}', /minutes must be an object/],
    ['{"end":"export","events":1,"purged":0,"minutes":{"cells":1,"sha256":"x"}}', /sha256/],
  ];
  for (const [text, expected] of cases) {
    const { message } = assertThrows(() => parseLine(text), LineFault) as unknown as LineFault;
    assertMatch(message, expected, text);
  }
});

/** Imports lines into a new SQLite store, and asserts that they are refused and nothing is there. */
async function refused(folder: Folder, text: string | Uint8Array, expected: RegExp): Promise<void> {
  const path = folder.file("bad.ndjson");
  if (typeof text === "string") Deno.writeTextFileSync(path, text);
  else Deno.writeFileSync(path, text);
  await using target = await openTransfer(`sqlite:${folder.file("data/bad.db")}`, { mustExist: false });
  let message = "it was taken";
  try {
    await importFile(path, target, { signal: new AbortController().signal });
  } catch (error) {
    message = (error as Error).message;
  }
  assertMatch(message, expected);
  assertEquals(await target.transfer.tenants(), []);
  assertEquals(await target.transfer.refusedThrough(), null);
}

processTest(
  "transfer: a file that is cut, changed, mixed up or huge is refused, and nothing of it is believed",
  async () => {
    await using folder = workFolder();
    await fillStore(folder, "source", 300);
    assertEquals(
      (await runTransfer(folder, ["export", "--store", folder.store("source")], { out: "a.ndjson" })).code,
      0,
    );
    const lines = linesOf(folder, "a.ndjson");
    const file = (all: readonly string[]) => all.join("\n") + "\n";
    const [firstEvent, firstTotal] = [
      lines.findIndex((line) => line.startsWith('{"id"')),
      lines.findIndex((line) => line.startsWith('{"total"')),
    ];
    const swapped = (at: number, text: string) => file(lines.with(at, text));
    assert(firstEvent > 10 && firstTotal > firstEvent);
    await refused(folder, "", /the last line of an export is missing/);
    await refused(folder, file(lines.slice(0, -1)), /missing behind line \d+: the file was cut/);
    await refused(folder, file(lines).slice(0, -9), new RegExp(`line ${lines.length}: it is not JSON`));
    await refused(
      folder,
      file(lines.slice(0, firstEvent + 3)).slice(0, -9),
      new RegExp(`line ${firstEvent + 3}: it is not JSON`),
    );
    await refused(folder, file(lines.slice(1)), /line 1: an export begins with its header/);
    await refused(folder, file([...lines, lines.at(-1)!]), /of kind end cannot stand behind one of kind end/);
    await refused(folder, file([...lines, lines[firstEvent]!]), /of kind event cannot stand behind one of kind end/);
    await refused(folder, file([lines[0]!, ...lines]), /line 2: a line of kind header/);
    await refused(folder, swapped(firstEvent + 1, lines[2]!), /of kind purged cannot stand behind one of kind event/);
    await refused(folder, swapped(firstEvent, "garbage"), new RegExp(`line ${firstEvent + 1}: it is not JSON`));
    await refused(folder, swapped(0, lines[0]!.replace('"version":1', '"version":7')), /line 1: it is of version 7/);
    await refused(
      folder,
      swapped(firstEvent, lines[firstEvent]!.replace(/"user_id":"/, '"user_id":"x')),
      /the file was changed/,
    );
    await refused(
      folder,
      new Uint8Array([...new TextEncoder().encode(lines[0] + "\n"), 0xff, 0xfe, 10]),
      /line 2: The line is not UTF-8/,
    );
  },
);

processTest(
  "transfer: a changed amount, a dropped cell and a dropped event are noticed, also by one who seals the file anew",
  async () => {
    await using folder = workFolder();
    await fillStore(folder, "source", 300);
    assertEquals(
      (await runTransfer(folder, ["export", "--store", folder.store("source")], { out: "a.ndjson" })).code,
      0,
    );
    const lines = linesOf(folder, "a.ndjson");
    const firstEvent = lines.findIndex((line) => line.startsWith('{"id"'));
    const seal = async (changed: readonly string[], expected: RegExp) => {
      writeSealed(folder, "sealed.ndjson", changed);
      const { code, stdout, stderr } = await runTransfer(folder, [
        "import",
        "--store",
        folder.store("bad"),
        "sealed.ndjson",
      ]);
      assertEquals([code, stdout], [1, ""]);
      assertMatch(stderr, expected);
      assertStringIncludes(stderr, "Nothing was imported.");
      await using target = await openTransfer(`sqlite:${folder.file("data/bad.db")}`, { mustExist: true });
      assertEquals((await target.transfer.tenants()).length, 0);
    };
    const amount = lines[firstEvent]!.replace(/"amount":"[^"]*"/, '"amount":"12.34"');
    await seal(lines.with(firstEvent, amount), /its lines have 25 events of [\d.-]+, its totals say 25 events of/);
    await seal(lines.toSpliced(2, 1), /its lines have \d+ events/);
    await seal(lines.toSpliced(firstEvent, 1), /it has 224 events and cells of 75, and should have 225 and 75/);
    writeSealed(folder, "sealed.ndjson", lines);
    const sound = await runTransfer(folder, ["import", "--store", folder.store("good"), "sealed.ndjson"]);
    assertEquals(sound.code, 0, sound.stderr);
    const other = JSON.parse(lines.at(-1)!);
    const digest = { ...other, minutes: { ...other.minutes, sha256: "0".repeat(64) } };
    writeSealed(folder, "sealed.ndjson", [...lines.slice(0, -1), JSON.stringify(digest)]);
    const differing = await runTransfer(folder, ["import", "--store", folder.store("good"), "sealed.ndjson"]);
    assertEquals(differing.code, 1);
    assertMatch(differing.stderr, /the cells of minutes are not those of the source/);
  },
);

processTest("transfer: a line of 256 MiB takes no such memory", async () => {
  await using folder = workFolder();
  await using target = await openTransfer(`sqlite:${folder.file("data/target.db")}`, { mustExist: false });
  const path = folder.file("huge.ndjson");
  {
    // A hole: it takes no place on the disk, and is read as zeros.
    using file = Deno.openSync(path, { write: true, create: true });
    file.truncateSync(1 << 28);
  }
  const before = Deno.memoryUsage();
  let message = "";
  let largest = 0;
  const watching = setInterval(() => largest = Math.max(largest, Deno.memoryUsage().external), 1);
  try {
    await importFile(path, target, { signal: new AbortController().signal });
  } catch (error) {
    message = (error as Error).message;
  } finally {
    clearInterval(watching);
  }
  assertMatch(message, /line 1: The line has more than 65,536 bytes/);
  assert(largest - before.external < 128 << 20, `${largest - before.external} bytes`);
  assertEquals(await countsOf(target.transfer), {
    totals: [],
    minutes: { cells: 0, sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    hours: { cells: 0, sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
  });
});

processTest("transfer: an export of a store whose cells are wrong has no end, and says so", async () => {
  await using folder = workFolder();
  await fillStore(folder, "source", 300);
  const { behindItsBack } = await import("../storage/sqlite.ts");
  const path = folder.file("data/source.db");
  const run = () => runTransfer(folder, ["export", "--store", folder.store("source")], { out: "a.ndjson" });
  behindItsBack(
    path,
    (database) => database.exec(`update cells set count = count + 1 where span = 60000 and start > ${NOON + 9 * HOUR}`),
  );
  const { code, stderr } = await run();
  assertEquals(code, 1);
  assertMatch(stderr, /exported \d+ events of .*in the cells \d+ events of/);
  assertStringIncludes(stderr, '"rollups rebuild" mends');
  assertMatch(stderr, /an import into it was cut: run that again.* a rebuild would destroy the cells that it moved/);
  await refused(folder, Deno.readTextFileSync(folder.file("a.ndjson")), /the file was cut/);
});

processTest(
  "transfer: a sealed file that says a line twice is no file of an export, or a store that holds less",
  async () => {
    await using folder = workFolder();
    await fillStore(folder, "source", 300);
    assertEquals(
      (await runTransfer(folder, ["export", "--store", folder.store("source")], { out: "a.ndjson" })).code,
      0,
    );
    const lines = linesOf(folder, "a.ndjson");
    const end = JSON.parse(lines.at(-1)!);
    const twice = (start: string, more: object) => {
      const at = lines.findIndex((line) => line.startsWith(start));
      const { tenant, event_type, amount, total, count = 1 } = JSON.parse(lines[at]!);
      const told = lines.toSpliced(at, 0, lines[at]!).map((line) => {
        if (!line.startsWith('{"total"')) return line;
        const sum = JSON.parse(line);
        if (sum.tenant !== tenant || sum.event_type !== event_type) return line;
        const units = (text: string) => BigInt(Math.round(Number(text) * 10_000));
        const raised = formatAmount(units(sum.total) + units(amount ?? total));
        return JSON.stringify({ ...sum, count: sum.count + count, total: raised });
      });
      writeSealed(folder, "sealed.ndjson", told.with(-1, JSON.stringify({ ...end, ...more })));
    };
    const run = () => runTransfer(folder, ["import", "--store", folder.store("bad"), "sealed.ndjson"]);
    const purged = JSON.parse(lines.find((line) => line.startsWith('{"purged"'))!);
    twice('{"purged"', { purged: end.purged + purged.count });
    const first = await run();
    assertEquals([first.code, first.stdout], [1, ""]);
    assertMatch(first.stderr, /line \d+: lines of purged events rise by tenant, minute and event_type/);
    twice('{"id"', { events: end.events + 1 });
    const second = await run();
    assertEquals(second.code, 1, second.stdout);
    assertMatch(second.stderr, /the store counts \d+ events of [\d.-]+, the source \d+ events of/);
    const again = await run();
    assertEquals(again.code, 1, "what is there already does not make up for it");
  },
);
