/** How much of a file a move holds at once, whatever the file says. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Incomplete } from "../../src/cli/failure.ts";
import { type Part, readParts } from "../../src/cli/transfer_file.ts";
import { formatLine } from "../../src/cli/transfer_lines.ts";
import { Totals } from "../../src/cli/transfer_summary.ts";
import { Histogram } from "../../src/histogram.ts";
import { CLI_BATCH_BYTES_MAX, EVENT_TYPES_PER_TENANT_MAX } from "../../src/limits.ts";
import type { CountedCell } from "../../src/transfer.ts";
import { MINUTE, NOON, ONE } from "../storage/conformance/events.ts";
import { processTest } from "./process.ts";
import { workFolder } from "./transfer.ts";

const HEADER = formatLine({ kind: "header", store: "sqlite", exportedAt: NOON, counted: 1, refusedThrough: null });

/** A cell of events of many sizes: as long a line as there is. */
function wideCell(count: number): CountedCell {
  const histogram = new Histogram();
  const amounts = Array.from({ length: count }, (_, i) => Math.floor(1.01 ** i * ONE));
  for (const amount of amounts) histogram.add(amount);
  const sum = amounts.reduce((total, amount) => total + BigInt(amount), 0n);
  return { count, sum, min: amounts[0]!, max: amounts.at(-1)!, histogram };
}

/** The lines of minutes of so many types each. */
function purgedLines(minutes: number, types: number, cell: CountedCell): string[] {
  return Array.from({ length: minutes }, (_, minute) =>
    Array.from({ length: types }, (_, type) =>
      formatLine({
        kind: "purged",
        tenant: "default",
        start: NOON + minute * MINUTE,
        eventType: `type_${String(type).padStart(4, "0")}`,
        cell,
      }))).flat();
}

async function parts(path: string): Promise<Part[]> {
  return await Array.fromAsync(readParts(path, new AbortController().signal));
}

processTest("transfer: a minute of ever more types is refused at the first that is one too many", async () => {
  await using folder = workFolder();
  const path = folder.file("types.ndjson");
  Deno.writeTextFileSync(path, [HEADER, ...purgedLines(1, EVENT_TYPES_PER_TENANT_MAX + 1, wideCell(1))].join("\n"));
  await assertRejects(
    () => parts(path),
    Incomplete,
    `line ${EVENT_TYPES_PER_TENANT_MAX + 2}: a minute has no more than ${EVENT_TYPES_PER_TENANT_MAX} event types`,
  );
});

processTest("transfer: minutes of long lines are given to the store before they are too many bytes", async () => {
  await using folder = workFolder();
  const lines = purgedLines(60, EVENT_TYPES_PER_TENANT_MAX, wideCell(1_000));
  const minute = lines[0]!.length * EVENT_TYPES_PER_TENANT_MAX;
  assert(lines.length * lines[0]!.length > 3 * CLI_BATCH_BYTES_MAX, `${minute}`);
  const path = folder.file("long.ndjson");
  Deno.writeTextFileSync(path, [HEADER, ...lines].join("\n"));
  const found: number[] = [];
  await assertRejects(
    async () => {
      for await (const part of readParts(path, new AbortController().signal)) {
        if (part.kind === "purged") found.push(part.groups.length * minute);
      }
    },
    Incomplete,
    "the file was cut",
  );
  assert(found.length >= 2, `${found}`);
  for (const bytes of found) assert(bytes <= CLI_BATCH_BYTES_MAX + minute, `${bytes}`);
});

Deno.test("transfer: totals of too many tenants are refused", () => {
  const totals = new Totals({ max: 2 });
  for (const tenant of ["a", "b", "a"]) totals.add({ tenant, eventType: "purchase" }, { count: 1, sum: 1n });
  assertThrows(
    () => totals.add({ tenant: "c", eventType: "purchase" }, { count: 1, sum: 1n }),
    Incomplete,
    "more than 2 pairs of tenant and event_type",
  );
  assertEquals(totals.count, 3);
});
