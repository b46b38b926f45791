/**
 * Load at a rate from many clients at once. Each has one request under way at most; what is due goes to those that are
 * free, and waits while none is.
 */
import { Ledger } from "./ledger.ts";
import { paced } from "./pace.ts";
import type { Sender, Told } from "./send.ts";
import { type TypicalEvent, typicalEvent } from "./typical_event.ts";

/** What is due and cannot be sent is remembered for so long; then the pace waits. */
const BACKLOG_SECONDS = 1;
/** A tenth of the events happened some time ago: they change cells that were closed. */
const LATE_SHARE = 0.1;
const LATENESS_MS = 3_600_000;

/** What a load is made of. */
export interface SteadyLoadOptions {
  readonly senders: readonly Sender[];
  readonly eventsPerSecond: number;
  readonly ledger: Ledger;
  /** Begins the ids of the events. */
  readonly prefix: string;
  /** How late the late events are at most, milliseconds; missing = an hour. */
  readonly latenessMs?: number;
  /** Called with what a request was told. */
  readonly onTold?: (events: readonly TypicalEvent[], told: readonly Told[]) => void;
}

/** A load that runs until it is stopped. */
export class SteadyLoad {
  /** Events by what became of them in the end. */
  readonly told: Record<Told, number> = { stored: 0, duplicate: 0, conflict: 0, unknown: 0 };
  /** The longest a request took, milliseconds. */
  slowestMs = 0;
  readonly #options: SteadyLoadOptions;
  readonly #stopping = new AbortController();
  readonly #free: Sender[];
  readonly #requests = new Set<Promise<void>>();
  readonly #running: Promise<void>;
  #events = 0;
  #failure: { error: unknown } | null = null;

  constructor(options: SteadyLoadOptions) {
    this.#options = options;
    this.#free = [...options.senders];
    this.#running = this.#run();
  }

  /** Sends nothing new, and waits for what is under way. Throws what an answer was that no correct hub gives. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await Promise.all(this.#requests);
    for (const sender of this.#options.senders) sender.close();
    if (this.#failure !== null) throw this.#failure.error;
  }

  async #run(): Promise<void> {
    const { eventsPerSecond } = this.#options;
    let backlog = 0;
    for await (const due of paced(eventsPerSecond, this.#stopping.signal)) {
      backlog = Math.min(backlog + due, eventsPerSecond * BACKLOG_SECONDS);
      while (backlog > 0 && this.#free.length > 0) {
        const sender = this.#free.shift()!;
        const events = Array.from({ length: Math.min(backlog, sender.batchEvents) }, () => this.#next());
        backlog -= events.length;
        const request = this.#send(sender, events).finally(() => this.#requests.delete(request));
        this.#requests.add(request);
      }
    }
  }

  async #send(sender: Sender, events: readonly TypicalEvent[]): Promise<void> {
    const startedAt = performance.now();
    try {
      const told = await this.#options.ledger.send(sender, events);
      for (const word of told) this.told[word] += 1;
      this.#options.onTold?.(events, told);
    } catch (error) {
      this.#failure ??= { error };
      this.#stopping.abort();
    }
    this.slowestMs = Math.max(this.slowestMs, performance.now() - startedAt);
    this.#free.push(sender);
  }

  #next(): TypicalEvent {
    const { prefix, latenessMs = LATENESS_MS } = this.#options;
    const now = Date.now();
    const timestamp = Math.random() < LATE_SHARE ? now - Math.floor(Math.random() * latenessMs) : now;
    return typicalEvent(++this.#events, { prefix, timestamp });
  }
}
