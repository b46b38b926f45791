/** Asks a store again while it does not answer: whatever a move does with one may be done twice. */
import { type ErrorCode, HubError } from "../errors.ts";
import { TRANSFER_RETRY_MS } from "../limits.ts";
import type { OpenTransfer, PrototypeSource } from "../transfer.ts";
import { nextDelay, wait } from "../worker.ts";
import { Incomplete, sentenceOf } from "./failure.ts";

/** What may be otherwise a moment later. */
const PASSING: ReadonlySet<ErrorCode> = new Set(["unavailable", "overloaded", "timeout", "deadline_exceeded"]);

/**
 * Does something until the store answers. Throws {@link Incomplete} when it did not for `TRANSFER_RETRY_MS` after it first
 * failed, or when interrupted meanwhile.
 */
export async function patiently<T>(
  work: () => Promise<T>,
  { signal, retryMs = TRANSFER_RETRY_MS }: { signal: AbortSignal; retryMs?: number },
): Promise<T> {
  let deadline = Infinity;
  for (let failures = 1;; failures++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof HubError) || !PASSING.has(error.code)) throw error;
      const now = performance.now();
      deadline = Math.min(deadline, now + retryMs);
      if (now >= deadline) {
        throw new Incomplete(`${sentenceOf(error)}. Run the same command again when the store answers`);
      }
      await wait(Math.min(nextDelay(failures), deadline - now), signal);
      if (signal.aborted) throw new Incomplete("Stopped while the store did not answer: run the same command again");
    }
  }
}

/** The same store, asked {@link patiently}. */
export function patientStore(open: OpenTransfer, signal: AbortSignal): OpenTransfer {
  const { store, transfer } = open;
  const again = <T>(work: () => Promise<T>) => patiently(work, { signal });
  return {
    store: {
      name: store.name,
      settle: () => again(() => store.settle()),
      verify: (range) => again(() => store.verify(range)),
    },
    transfer: {
      begin: () => again(() => transfer.begin()),
      tenants: () => again(() => transfer.tenants()),
      refusedThrough: () => again(() => transfer.refusedThrough()),
      events: (page) => again(() => transfer.events(page)),
      cells: (span, page) => again(() => transfer.cells(span, page)),
      purgedCells: (page) => again(() => transfer.purgedCells(page)),
      append: (events) => again(() => transfer.append(events)),
      addPurged: (groups, options) => again(() => transfer.addPurged(groups, options)),
      refuseThrough: (timestamp) => again(() => transfer.refuseThrough(timestamp)),
      [Symbol.asyncDispose]: () => transfer[Symbol.asyncDispose](),
    },
    [Symbol.asyncDispose]: () => open[Symbol.asyncDispose](),
  };
}

/** The same source, asked {@link patiently}. */
export function patientSource(source: PrototypeSource, signal: AbortSignal): PrototypeSource {
  return {
    count: () => patiently(() => source.count(), { signal }),
    read: (page) => patiently(() => source.read(page), { signal }),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}
