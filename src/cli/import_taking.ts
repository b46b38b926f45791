/** Gives events to a store, again while it does not answer, and tells which it did not take and why. */
import type { Event } from "../event.ts";
import { TRANSFER_RETRY_MS } from "../limits.ts";
import { outcome } from "../outcome.ts";
import type { AppendStatus } from "../storage.ts";
import type { StoreTransfer } from "../transfer.ts";
import { nextDelay, wait } from "../worker.ts";
import { Incomplete } from "./failure.ts";
import { note, shown } from "./terminal.ts";
import { Totals } from "./transfer_summary.ts";

/** Tells faults and counts them. */
export class Faults {
  #count = 0;

  /** How many there were. */
  get count(): number {
    return this.#count;
  }

  /** Tells one on standard error. */
  tell(text: string): void {
    this.#count++;
    note(shown(text));
  }
}

/** Puts events into a store. */
export class Taking {
  /** Events that are in the store now, and were not before. */
  stored = 0;
  /** Events that were there already. */
  duplicates = 0;
  /** What the stored ones add up to. */
  readonly added = new Totals();
  readonly #transfer: Pick<StoreTransfer, "append">;
  readonly #signal: AbortSignal;
  readonly #faults: Faults;

  constructor(transfer: Pick<StoreTransfer, "append">, options: { signal: AbortSignal; faults: Faults }) {
    this.#transfer = transfer;
    this.#signal = options.signal;
    this.#faults = options.faults;
  }

  /** Stores events; `nameOf` names one by its place among them. Throws {@link Incomplete} when the store stays away. */
  async take(events: readonly Event[], nameOf: (index: number) => string): Promise<void> {
    const statuses = await appendAll(this.#transfer, events, this.#signal);
    statuses.forEach((status, i) => {
      const event = events[i]!;
      if (status === "duplicate") this.duplicates++;
      else if (status !== "stored") this.#faults.tell(`${nameOf(i)}: ${reasonOf(event, status)}`);
      else {
        this.stored++;
        this.added.add(event, { count: 1, sum: BigInt(event.amount) });
      }
    });
  }
}

/** Appends until nothing is `unavailable`. Throws {@link Incomplete} after `TRANSFER_RETRY_MS`, or when interrupted. */
export async function appendAll(
  transfer: Pick<StoreTransfer, "append">,
  events: readonly Event[],
  signal: AbortSignal,
): Promise<readonly AppendStatus[]> {
  const deadline = performance.now() + TRANSFER_RETRY_MS;
  const statuses: AppendStatus[] = new Array(events.length).fill("unavailable");
  for (let failures = 0;; failures++) {
    if (signal.aborted) throw new Incomplete("Stopped: the import is not complete. Run it again");
    const open = statuses.flatMap((status, i) => status === "unavailable" ? [i] : []);
    if (open.length === 0) return statuses;
    if (performance.now() > deadline) {
      throw new Incomplete("The store does not answer: the import is not complete. Run it again when it does");
    }
    if (failures > 0) await wait(nextDelay(failures), signal);
    const again = await transfer.append(open.map((i) => events[i]!));
    open.forEach((i, at) => statuses[i] = again[at]!);
  }
}

/** Why an event was not taken, in the words of the hub. */
function reasonOf({ id, tenant }: Event, status: AppendStatus): string {
  const { errors } = outcome(id, status) as { errors?: readonly { detail: string }[] };
  return `event ${id} of tenant ${tenant} was not taken: ${errors?.[0]?.detail ?? status}`;
}
