/**
 * How long an acknowledged event takes until the metrics show it. A probe is an event in a minute of its own, far from
 * the load: the minute has a row when it is counted. The end of a measurement is the moment at which the answer with the
 * row has arrived, so it includes the time between two looks.
 */
import { getJson } from "./api.ts";
import type { Ledger } from "./ledger.ts";
import { pause, until } from "./pace.ts";
import { restSender } from "./send.ts";
import { typicalEvent } from "./typical_event.ts";

/** Where and how often to probe. */
export interface FreshnessOptions {
  readonly httpUrl: string;
  readonly ledger: Ledger;
  readonly probesPerSecond: number;
}

const MINUTE_MS = 60_000;
/** Probes lie so far in the past: further than any load here is late. */
const PROBES_BEFORE_MS = 10 * 86_400_000;
const LOOK_MS = 40;

/** Probes until it is stopped. */
export class Freshness {
  /** Milliseconds from the acknowledgement to the row, of each probe that has been shown. */
  readonly samples: number[] = [];
  readonly #options: FreshnessOptions;
  readonly #firstMinute = Math.floor((Date.now() - PROBES_BEFORE_MS) / MINUTE_MS) * MINUTE_MS;
  /** When each probe that is not shown yet was acknowledged, by its minute. */
  readonly #open = new Map<number, number>();
  readonly #sendingStopped = new AbortController();
  readonly #lookingStopped = new AbortController();
  readonly #running: Promise<void>;
  #failure: { error: unknown } | null = null;
  #sent = 0;

  constructor(options: FreshnessOptions) {
    this.#options = options;
    this.#running = Promise.all([this.#send(), this.#look()]).then(() => {}, (error) => {
      this.#failure = { error };
    });
  }

  /** Sends no more, and waits until all are shown; answers how many are not by then. Throws what went wrong meanwhile. */
  async stop(timeoutMs: number): Promise<number> {
    this.#sendingStopped.abort();
    const isOver = () => this.#open.size === 0 || this.#failure !== null;
    await until(isOver, { name: "all probes are shown", timeoutMs }).catch(() => {});
    this.#lookingStopped.abort();
    await this.#running;
    if (this.#failure !== null) throw this.#failure.error;
    return this.#open.size;
  }

  async #send(): Promise<void> {
    const { httpUrl, ledger, probesPerSecond } = this.#options;
    const sender = restSender(httpUrl);
    while (!this.#sendingStopped.signal.aborted) {
      const minute = this.#firstMinute + this.#sent * MINUTE_MS;
      const event = typicalEvent(this.#sent++, { prefix: "probe", timestamp: minute });
      const [told] = await ledger.send(sender, [event]);
      if (told === "stored") this.#open.set(minute, performance.now());
      await pause(1_000 / probesPerSecond, this.#sendingStopped.signal);
    }
  }

  async #look(): Promise<void> {
    while (!this.#lookingStopped.signal.aborted) {
      if (this.#open.size > 0) await this.#lookOnce();
      await pause(LOOK_MS, this.#lookingStopped.signal);
    }
  }

  async #lookOnce(): Promise<void> {
    const minutes = [...this.#open.keys()];
    const range = { from: Math.min(...minutes), to: Math.max(...minutes) + MINUTE_MS };
    const query = new URLSearchParams({
      from: new Date(range.from).toISOString(),
      to: new Date(range.to).toISOString(),
    });
    const { rows } = await getJson<{ rows: { start: string }[] }>(`${this.#options.httpUrl}/aggregates?${query}`);
    const now = performance.now();
    for (const { start } of rows) {
      const acknowledgedAt = this.#open.get(Date.parse(start));
      if (acknowledgedAt === undefined) continue;
      this.samples.push(now - acknowledgedAt);
      this.#open.delete(Date.parse(start));
    }
  }
}
