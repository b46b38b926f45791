/**
 * A subscriber as a good client writes one: when its connection ends, for whatever reason, it comes again with its last
 * cursor, until it is told to rest.
 */
import { follow, type FollowProtocol, type HubAddress } from "./follow.ts";
import { pause } from "./pace.ts";

/** A rest before the next connection. */
const RETRY_MS = 100;

/** Follows the log from a cursor on, over as many connections as it takes. */
export class LastingSubscriber {
  readonly name: string;
  /** Every id that came, each once. */
  readonly ids: ReadonlySet<string>;
  /** Deliveries of what had come before. */
  repeats = 0;
  /** Resets that were announced. */
  resets = 0;
  /** How connections ended that this side did not end: how often, by the kind of end. */
  readonly ends: Map<string, number> = new Map();
  readonly #protocol: FollowProtocol;
  readonly #hub: HubAddress;
  readonly #ids = new Set<string>();
  #cursor: string;
  #running: { stop: AbortController; ended: Promise<void> } | null = null;

  constructor(protocol: FollowProtocol, options: { name: string; hub: HubAddress; after: string }) {
    this.#protocol = protocol;
    this.name = options.name;
    this.#hub = options.hub;
    this.#cursor = options.after;
    this.ids = this.#ids;
  }

  /** Follows until {@link rest}. Harmless when it does already. */
  follow(): void {
    if (this.#running !== null) return;
    const stop = new AbortController();
    this.#running = { stop, ended: this.#run(stop.signal) };
  }

  /** Cuts the connection; the cursor is kept. */
  async rest(): Promise<void> {
    this.#running?.stop.abort();
    await this.#running?.ended;
    this.#running = null;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const end = await follow(this.#protocol, {
        hub: this.#hub,
        after: this.#cursor,
        signal,
        onEvent: (id, cursor) => {
          this.#cursor = cursor;
          if (this.#ids.has(id)) this.repeats += 1;
          this.#ids.add(id);
        },
        onReset: ({ cursor }) => {
          this.#cursor = cursor;
          this.resets += 1;
        },
      });
      if (end.kind === "cut") return;
      // What an answer of the hub says beyond its status names that one request.
      const what = end.kind === "ended" ? end.reason : end.detail.split(": {")[0]!;
      this.ends.set(what, (this.ends.get(what) ?? 0) + 1);
      await pause(RETRY_MS, signal);
    }
  }
}
