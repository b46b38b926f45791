/** Imports the file of an export: judges it and asks the store, then writes, then compares. */
import type { Event } from "../event.ts";
import type { CellGroup, OpenTransfer, PurgedCellsStatus, StoreTransfer } from "../transfer.ts";
import { Incomplete } from "./failure.ts";
import { compareRecount, compareTotals, number, RETENTION_WAITS, say } from "./import_comparing.ts";
import { appendAll, Faults, Taking } from "./import_taking.ts";
import { Progress } from "./progress.ts";
import { readParts } from "./transfer_file.ts";
import type { End, Header } from "./transfer_lines.ts";
import { summarise, Totals } from "./transfer_summary.ts";

/** What is known of a file that is whole. */
interface Judged {
  readonly header: Header;
  readonly end: End;
  /** Of events and purged events. */
  readonly totals: Totals;
}

/** Puts a file into a store. Throws {@link Incomplete} when anything of it was not taken or differs. */
export async function importFile(
  path: string,
  target: OpenTransfer,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const { store, transfer } = target;
  await transfer.begin();
  const { header, end, totals } = await judge(path, transfer, signal);
  say(`${path}: ${number(end.events)} events and cells of ${number(end.purged)} purged ones, from ${header.store}`);
  const before = (await summarise(transfer)).totals;
  const faults = new Faults();
  await transfer.beginImport();
  const added = await take(path, { transfer, total: end.events, signal, faults });
  if (header.refusedThrough !== null) await transfer.refuseThrough(header.refusedThrough);
  await store.settle();
  await comparePurged(path, { transfer, signal, faults });
  const tenants = new Set([...totals.entries()].map(({ tenant }) => tenant));
  await compareRecount(target, { tenants, faults });
  const whole = { totals, minutes: end.minutes, hours: end.hours };
  await compareTotals(target, { before, added, whole }, faults);
  if (faults.count > 0) {
    throw new Incomplete(`Not everything is as it was: ${number(faults.count)} faults. ${RETENTION_WAITS}`);
  }
  await transfer.endImport();
  say("Everything agrees.");
}

/**
 * Reads all of a file: it must be whole and count what it says. Asks the store whether it can take the file, and
 * writes nothing there: cells of purged events must not meet others, and events not a time that the store refuses.
 */
async function judge(path: string, transfer: StoreTransfer, signal: AbortSignal): Promise<Judged> {
  const refused = await transfer.refusedThrough();
  const [totals, told] = [new Totals(), new Totals()];
  const counted = { events: 0, purged: 0 };
  const faults = new Faults();
  let header: Header | null = null;
  let end: End | null = null;
  for await (const part of readParts(path, signal)) {
    switch (part.kind) {
      case "header":
        header = part.header;
        break;
      case "purged":
        for (const { tenant, cells } of part.groups) {
          for (const [eventType, cell] of cells) {
            totals.add({ tenant, eventType }, cell);
            counted.purged += cell.count;
          }
        }
        tellPurged(part, await transfer.addPurged(part.groups, { check: true }), faults);
        break;
      case "events":
        for (const event of part.events) totals.add(event, { count: 1, sum: BigInt(event.amount) });
        counted.events += part.events.length;
        if (refused !== null) await askRefused(part, { transfer, refused, signal, faults });
        break;
      case "total":
        told.add(part.total, part.total);
        break;
      case "end":
        end = part.end;
    }
  }
  if (header === null || end === null) throw new Error("A file without header or end was read to its end");
  const differences = totals.differences(told, { own: "its lines have", other: "its totals say" });
  if (counted.events !== end.events || counted.purged !== end.purged) {
    differences.push(
      `it has ${counted.events} events and cells of ${counted.purged}, and should have ${end.events} and ${end.purged}`,
    );
  }
  for (const difference of differences) faults.tell(`${path}: ${difference}`);
  if (faults.count > 0) throw new Incomplete("Nothing was imported.");
  return { header, end, totals };
}

/** Asks for events that the store would refuse for their age: what it holds already it knows, and stores nothing. */
async function askRefused(
  { events, lines }: { readonly events: readonly Event[]; readonly lines: readonly number[] },
  { transfer, refused, signal, faults }: {
    transfer: StoreTransfer;
    refused: number;
    signal: AbortSignal;
    faults: Faults;
  },
): Promise<void> {
  const places = events.flatMap(({ timestamp }, i) => timestamp <= refused ? [i] : []);
  const statuses = await appendAll(transfer, places.map((i) => events[i]!), signal);
  statuses.forEach((status, at) => {
    if (status !== "purged") return;
    const { id, tenant } = events[places[at]!]!;
    const through = new Date(refused).toISOString();
    faults.tell(
      `line ${lines[places[at]!]}: event ${id} of tenant ${tenant} is too old: the store has purged until ${through}`,
    );
  });
}

/** Writes everything, in the order of the file; answers what the store counts more for it. */
async function take(
  path: string,
  { transfer, total, signal, faults }: {
    transfer: StoreTransfer;
    total: number;
    signal: AbortSignal;
    faults: Faults;
  },
): Promise<Totals> {
  const taking = new Taking(transfer, { signal, faults });
  using progress = new Progress(total);
  const minutes: Record<"added" | "there", number> = { added: 0, there: 0 };
  for await (const part of readParts(path, signal)) {
    if (part.kind === "purged") {
      const statuses = await transfer.addPurged(part.groups);
      tellPurged(part, statuses, faults);
      statuses.forEach((status, i) => {
        if (status === "added" || status === "there") minutes[status]++;
        if (status === "added") addGroup(taking.added, part.groups[i]!);
      });
    } else if (part.kind === "events") {
      await taking.take(part.events, (i) => `line ${part.lines[i]}`);
      progress.show(taking.stored + taking.duplicates);
    }
  }
  progress.clear();
  say(`events: ${number(taking.stored)} stored, ${number(taking.duplicates)} there already`);
  say(`minutes of purged events: ${number(minutes.added)} added, ${number(minutes.there)} there already`);
  return taking.added;
}

/** The store must count every cell of purged events beside the events it holds. */
async function comparePurged(
  path: string,
  { transfer, signal, faults }: { transfer: StoreTransfer; signal: AbortSignal; faults: Faults },
): Promise<void> {
  let cells = 0;
  for await (const part of readParts(path, signal)) {
    if (part.kind === "header") continue;
    if (part.kind !== "purged") break;
    const statuses = await transfer.addPurged(part.groups, { check: true });
    statuses.forEach((status, i) => {
      cells += part.groups[i]!.cells.size;
      if (status !== "there") faults.tell(`${nameOf(part.groups[i]!)} is not what the file says`);
    });
  }
  say(`compared: ${number(cells)} cells of purged events`);
}

function tellPurged(
  { groups, lines }: { groups: readonly CellGroup[]; lines: readonly number[] },
  statuses: readonly PurgedCellsStatus[],
  faults: Faults,
): void {
  statuses.forEach((status, i) => {
    const name = `line ${lines[i]}: ${nameOf(groups[i]!)}`;
    if (status === "conflict") faults.tell(`${name} holds other events in the store, or lost others there`);
    if (status === "too_many_event_types") faults.tell(`${name} has a type more than a tenant may have`);
  });
}

function addGroup(totals: Totals, { tenant, cells }: CellGroup): void {
  for (const [eventType, cell] of cells) totals.add({ tenant, eventType }, cell);
}

function nameOf({ tenant, start }: CellGroup): string {
  return `the minute ${new Date(start).toISOString()} of tenant ${tenant}`;
}
