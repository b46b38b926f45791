/** What an import compares at the end. */
import { TIMESTAMP_MAX, TIMESTAMP_MIN } from "../timestamp.ts";
import type { OpenTransfer } from "../transfer.ts";
import { Faults } from "./import_taking.ts";
import { print, shown } from "./terminal.ts";
import { summarise, type Summary, type Totals } from "./transfer_summary.ts";

/** Recounts the events of tenants and compares with every cell. */
export async function compareRecount(
  { store, transfer }: OpenTransfer,
  { tenants, faults }: { tenants: Iterable<string>; faults: Faults },
): Promise<void> {
  const sum = { events: 0, cells: 0, frozen: 0 };
  const known = new Set(await transfer.tenants());
  for (const tenant of tenants) {
    if (!known.has(tenant)) continue;
    const report = await store.verify({ tenant, from: TIMESTAMP_MIN, to: TIMESTAMP_MAX });
    sum.events += report.events;
    sum.cells += report.cells;
    sum.frozen += report.frozenMinutes;
    for (const { start, span, eventType } of report.differences) {
      const at = new Date(start).toISOString();
      faults.tell(`the cell of ${eventType} of the ${span} ${at} of tenant ${tenant} is not what its events add up to`);
    }
    if (report.differing > report.differences.length) {
      faults.tell(`${report.differing} cells of ${tenant} differ in all`);
    }
  }
  const { events, cells, frozen } = sum;
  say(`compared: a recount of ${number(events)} events with ${number(cells)} cells; ${number(frozen)} frozen minutes`);
}

/** What a store is expected to count. */
export interface Expected {
  /** What it counted before. */
  readonly before: Totals;
  /** What was added. */
  readonly added: Totals;
  /** What is in the store when it holds nothing but that; without cells when they are not known. */
  readonly whole: { readonly totals: Totals } & Partial<Pick<Summary, "minutes" | "hours">>;
}

/**
 * Compares the totals of each tenant and type, and every cell with those of the source where the store holds nothing
 * else.
 */
export async function compareTotals(
  { transfer }: OpenTransfer,
  { before, added, whole }: Expected,
  faults: Faults,
): Promise<void> {
  const now = await summarise(transfer);
  const types = [...now.totals.entries()].length;
  const isAlone = isSame(now.totals, whole.totals);
  if (!isAlone) {
    const names = { own: "added to the store", other: "imported" };
    const grown = now.totals.since(before);
    const others = grown.since(added);
    // Hubs may take events meanwhile: then there are more. That there are fewer, or as many of another sum, has no excuse.
    const isWrong = [...others.entries()].some(({ count }) => count <= 0);
    if (isWrong) { for (const difference of grown.differences(added, names)) faults.tell(difference); }
    tellMissing(now.totals, { whole: whole.totals, isOwn: before.count === 0 && isSame(grown, added), faults });
    const meanwhile = others.count > 0 ? `, ${number(others.count)} of them stored by others meanwhile` : "";
    say(
      `compared: totals of ${number(types)} tenants and types before and after. The store holds other events, too` +
        `${meanwhile}, so single cells were compared by the recount alone`,
    );
    return;
  }
  say(`compared: totals of ${number(types)} tenants and types, ${number(now.totals.count)} events`);
  for (const span of ["minutes", "hours"] as const) {
    const expected = whole[span];
    if (expected === undefined) continue;
    if (now[span].sha256 !== expected.sha256 || now[span].cells !== expected.cells) {
      faults.tell(
        `the cells of ${span} are not those of the source (${number(now[span].cells)} here, ` +
          `${number(expected.cells)} there): "rollups verify" there tells whether they were right`,
      );
    }
    say(`compared: ${number(now[span].cells)} cells of ${span} with those of the source`);
  }
}

/** Whatever else a store holds, it never counts less than the source; and nothing else at all when all is `isOwn`. */
function tellMissing(
  now: Totals,
  { whole, isOwn, faults }: { whole: Totals; isOwn: boolean; faults: Faults },
): void {
  const names = { own: "the store counts", other: "the source" };
  const missing = [...now.since(whole).entries()].some(({ count }) => count < 0);
  if (missing || isOwn) { for (const difference of now.differences(whole, names)) faults.tell(difference); }
}

function isSame(totals: Totals, others: Totals): boolean {
  return totals.differences(others, { own: "", other: "" }).length === 0;
}

/** Prints a line for a person. */
export function say(line: string): void {
  print(`${shown(line)}\n`);
}

/** A number for a person. */
export function number(value: number): string {
  return value.toLocaleString("en");
}
