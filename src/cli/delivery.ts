/** Sending events so that each arrives once: every one has an id, and what may be repeated is repeated with it. */
import type { FieldError } from "../errors.ts";
import { wait } from "../worker.ts";
import { type Client, HubProblem, HubUnreachable } from "./client.ts";
import type { BatchResult } from "./contract.ts";
import { nextDelayMs } from "./retry.ts";

/** An event on its way out: where it came from, its id, and its JSON. */
export interface Outgoing {
  /** Number of its line, from 1. */
  readonly line: number;
  /** `null` when the line is no object; the hub will say so. */
  readonly id: string | null;
  readonly text: string;
}

/** An event that was not taken, and why, in a sentence. */
export interface Refusal {
  readonly line: number;
  readonly id: string | null;
  readonly status: "conflict" | "invalid" | "malformed" | "unavailable";
  readonly detail: string;
}

/** What was sent so far. */
export interface Tally {
  stored: number;
  duplicates: number;
  refused: number;
}

/** How patient a sender is. */
export interface Patience {
  /** How long one request is repeated. */
  readonly forMs: number;
  /** Ends the repeating, not the request that is running. */
  readonly signal: AbortSignal;
}

/** Thrown when repeating did not help in time. */
export class GaveUp extends Error {
  override readonly name = "GaveUp";
}

/** A failure after which the same can be sent again. */
interface Failure {
  readonly error: Error;
  readonly askedMs?: number;
}

/** Repeats an attempt, with back-off, until it does not fail. Throws {@link GaveUp} when the patience is at its end. */
export async function persist(attempt: () => Promise<Failure | null>, patience: Patience): Promise<void> {
  const began = performance.now();
  for (let failed = 1;; failed++) {
    const failure = await attempt();
    if (!failure) return;
    const waitMs = nextDelayMs(failed, { askedMs: failure.askedMs });
    const spentMs = performance.now() - began;
    if (patience.signal.aborted || spentMs + waitMs > patience.forMs) {
      const tries = failed === 1 ? "one attempt" : `${failed} attempts in ${(spentMs / 1_000).toFixed(1)} s`;
      throw new GaveUp(`Gave up after ${tries}. ${failure.error.message}`, { cause: failure.error });
    }
    await wait(waitMs, patience.signal);
  }
}

/** What an error means to {@link persist}; rethrows one that repeating cannot mend. */
export function retryable(error: unknown, client: Client): Failure {
  if (error instanceof HubProblem && error.retryable) return { error, askedMs: error.retryAfterMs };
  // A hub that has never answered is not a hub that is restarting: say at once that the address is wrong.
  if (error instanceof HubUnreachable && client.reached) return { error };
  throw error;
}

/** Sends batches and keeps count. */
export class Delivery {
  readonly tally: Tally = { stored: 0, duplicates: 0, refused: 0 };
  readonly #client: Client;
  readonly #options: Patience & { readonly gzip: boolean; readonly onRefusal: (refusal: Refusal) => void };

  /** `onRefusal` is told of each event that was not taken. */
  constructor(client: Client, options: Patience & { gzip: boolean; onRefusal: (refusal: Refusal) => void }) {
    this.#client = client;
    this.#options = options;
  }

  /** Events the hub has answered for, or that were refused before they were sent. */
  get done(): number {
    return this.tally.stored + this.tally.duplicates + this.tally.refused;
  }

  /** Counts an event as refused, and tells. */
  refuse(refusal: Refusal): void {
    this.tally.refused++;
    this.#options.onRefusal(refusal);
  }

  /**
   * Sends one batch until the hub has answered for each of its events. Throws {@link GaveUp} after it has told, event
   * by event, which ones are not known to be stored.
   */
  async send(batch: readonly Outgoing[]): Promise<void> {
    let waiting = batch;
    if (waiting.length === 0) return;
    try {
      await persist(async () => {
        try {
          waiting = await this.#attempt(waiting);
        } catch (error) {
          return retryable(error, this.#client);
        }
        return waiting.length === 0 ? null : { error: new Error("The hub cannot store events at the moment.") };
      }, this.#options);
    } catch (error) {
      const detail = "Not known to be stored; send it again with this id";
      if (error instanceof GaveUp) {
        for (const { line, id } of waiting) this.refuse({ line, id, status: "unavailable", detail });
      }
      throw error;
    }
  }

  /** One request; answers what is to be sent again. */
  async #attempt(batch: readonly Outgoing[]): Promise<readonly Outgoing[]> {
    const answer = await this.#client.sendBatch(batch.map((each) => each.text), { gzip: this.#options.gzip });
    this.tally.stored += answer.accepted;
    this.tally.duplicates += answer.duplicates;
    const again: Outgoing[] = [];
    for (const result of answer.results) {
      const sent = batch[result.index];
      if (!sent || result.status === "stored" || result.status === "duplicate") continue;
      if (result.status === "unavailable") again.push(sent);
      else this.refuse({ line: sent.line, id: sent.id, status: result.status, detail: describe(result) });
    }
    return again;
  }
}

function describe(result: BatchResult): string {
  return (result.errors ?? []).map(describeField).join("; ") || "Refused without a reason";
}

function describeField({ pointer, parameter, detail }: FieldError): string {
  const name = pointer || parameter;
  return name ? `${name}: ${detail}` : detail;
}
