/** What was sent and what the hub said of it: the book that is compared with the store afterwards. */
import { listIds } from "./api.ts";
import type { Sender, Told } from "./send.ts";
import type { TypicalEvent } from "./typical_event.ts";

/** The book of one run. */
export class Ledger {
  /** Everything ever sent, by id. */
  readonly sent: Map<string, TypicalEvent> = new Map();
  /** Ids the hub called stored or duplicate. */
  readonly acknowledged: Set<string> = new Set();

  /** Sends over a sender and writes down what it was told. */
  async send(sender: Sender, events: readonly TypicalEvent[]): Promise<readonly Told[]> {
    for (const event of events) this.sent.set(event.id, event);
    const told = await sender.send(events);
    for (const [index, event] of events.entries()) {
      if (told[index] === "stored" || told[index] === "duplicate") this.acknowledged.add(event.id);
    }
    return told;
  }

  /** Events of which no answer says that they are stored. */
  open(): TypicalEvent[] {
    return [...this.sent.values()].filter((event) => !this.acknowledged.has(event.id));
  }

  /** What a full listing shows of the promises: acknowledged events that are missing, and events nobody sent. */
  async compare(httpUrl: string, parameters: Record<string, string> = {}): Promise<Comparison> {
    const stored = await listIds(httpUrl, parameters);
    const expected = [...this.acknowledged].filter((id) => {
      const userId = parameters.user_id;
      return userId === undefined || this.sent.get(id)!.user_id === userId;
    });
    return {
      stored: stored.size,
      missing: expected.filter((id) => !stored.has(id)),
      unknown: [...stored].filter((id) => !this.sent.has(id)),
    };
  }
}

/** Result of {@link Ledger.compare}. */
export interface Comparison {
  readonly stored: number;
  readonly missing: readonly string[];
  readonly unknown: readonly string[];
}

/**
 * Every sender sends as fast as it is answered, until the signal aborts; answers that are running then are awaited. Each
 * event comes from `next`. A sender that is told nothing of a
 * whole request stops: its hub is gone.
 */
export async function sendUntil(
  signal: AbortSignal,
  options: { senders: readonly Sender[]; ledger: Ledger; next: () => TypicalEvent },
): Promise<void> {
  await Promise.all(options.senders.map(async (sender) => {
    while (!signal.aborted) {
      const events = Array.from({ length: sender.batchEvents }, options.next);
      const told = await options.ledger.send(sender, events);
      if (told.every((status) => status === "unknown")) return;
    }
  }));
}
