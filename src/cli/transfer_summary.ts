/** What a store counts, in little: totals of each tenant and type, and a fingerprint of every cell. */
import { createHash, type Hash } from "node:crypto";
import { formatAmount } from "../amount.ts";
import { TRANSFER_CELLS_PAGE, TRANSFER_TOTALS_MAX } from "../limits.ts";
import type { Total } from "../storage.ts";
import type { CellGroup, CellPage, StoreTransfer } from "../transfer.ts";
import { Incomplete } from "./failure.ts";
import type { CellsDigest } from "./transfer_lines.ts";

/** Totals of tenants and event types. */
export class Totals {
  readonly #totals = new Map<string, Total>();
  readonly #max: number;

  constructor({ max = TRANSFER_TOTALS_MAX } = {}) {
    this.#max = max;
  }

  /** Adds to one. Throws {@link Incomplete} when there are too many. */
  add({ tenant, eventType }: { tenant: string; eventType: string }, { count, sum }: Total): void {
    const key = `${tenant} ${eventType}`;
    const before = this.#totals.get(key) ?? { count: 0, sum: 0n };
    if (this.#totals.size >= this.#max && !this.#totals.has(key)) {
      throw new Incomplete(
        `There are more than ${this.#max.toLocaleString("en")} pairs of tenant and event_type: too many`,
      );
    }
    this.#totals.set(key, { count: before.count + count, sum: before.sum + sum });
  }

  /** All of them, sorted. */
  *entries(): Iterable<Total & { tenant: string; eventType: string }> {
    for (const [key, total] of [...this.#totals].sort(([a], [b]) => a < b ? -1 : 1)) {
      const [tenant, eventType] = key.split(" ") as [string, string];
      if (total.count !== 0 || total.sum !== 0n) yield { tenant, eventType, ...total };
    }
  }

  /** The number of events. */
  get count(): number {
    return this.#totals.values().reduce((sum, { count }) => sum + count, 0);
  }

  /** What these have more than others. */
  since(before: Totals): Totals {
    const more = new Totals({ max: Infinity });
    for (const entry of this.entries()) more.add(entry, entry);
    for (const entry of before.entries()) more.add(entry, { count: -entry.count, sum: -entry.sum });
    return more;
  }

  /** Where two differ, in words; empty when they are the same. */
  differences(other: Totals, names: { own: string; other: string }): string[] {
    const key = ({ tenant, eventType }: { tenant: string; eventType: string }) => `${tenant} ${eventType}`;
    const [own, others] = [this, other].map((totals) => new Map([...totals.entries()].map((one) => [key(one), one])));
    const told: string[] = [];
    for (const name of new Set([...own!.keys(), ...others!.keys()])) {
      const [mine, theirs] = [own!.get(name), others!.get(name)];
      if (mine?.count === theirs?.count && mine?.sum === theirs?.sum) continue;
      told.push(`${name}: ${names.own} ${describe(mine)}, ${names.other} ${describe(theirs)}`);
    }
    return told;
  }
}

/** What a store counts. */
export interface Summary {
  readonly totals: Totals;
  readonly minutes: CellsDigest;
  readonly hours: CellsDigest;
}

/** Reads every cell of a store. */
export async function summarise(transfer: StoreTransfer): Promise<Summary> {
  const totals = new Totals();
  const minutes = new Fingerprint();
  const hours = new Fingerprint();
  for (const tenant of await transfer.tenants()) {
    for await (
      const group of groupsOf((from) => transfer.cells("minute", { tenant, from, limit: TRANSFER_CELLS_PAGE }))
    ) {
      for (const [eventType, cell] of group.cells) totals.add({ tenant, eventType }, cell);
      minutes.add(group);
    }
    for await (
      const group of groupsOf((from) => transfer.cells("hour", { tenant, from, limit: TRANSFER_CELLS_PAGE }))
    ) {
      hours.add(group);
    }
  }
  return { totals, minutes: minutes.end(), hours: hours.end() };
}

/** Walks pages of cells. */
export async function* groupsOf(read: (from: number) => Promise<CellPage>): AsyncIterable<CellGroup> {
  for (let from: number | null = 0; from !== null;) {
    const page: CellPage = await read(from);
    yield* page.groups;
    from = page.next;
  }
}

/** A SHA-256 of cells, each a line of everything that is known of it; tenants, starts and types in order. */
class Fingerprint {
  readonly #hash: Hash = createHash("sha256");
  #cells = 0;

  add({ tenant, start, cells }: CellGroup): void {
    for (const [eventType, { count, sum, min, max, histogram }] of [...cells].sort(([a], [b]) => a < b ? -1 : 1)) {
      this.#cells++;
      this.#hash.update(`${tenant} ${start} ${eventType} ${count} ${sum} ${min} ${max} ${histogram.encode().join()}\n`);
    }
  }

  end(): CellsDigest {
    return { cells: this.#cells, sha256: this.#hash.digest("hex") };
  }
}

function describe(total: Total | undefined): string {
  return total === undefined ? "none" : `${total.count.toLocaleString("en")} events of ${formatAmount(total.sum)}`;
}
