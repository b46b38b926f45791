/**
 * Pages of the log, read and made into batches once for all subscribers that walk over them at about the same time: when
 * a hub or a proxy starts again, all its subscribers come back at once, with cursors that lie close together.
 */
import { LiveBatch } from "./feed.ts";
import { LOG_PAGE_EVENTS, LOG_PAGE_SHARED_MS, LOG_PAGES_PER_TURN, LOG_PAGES_SHARED_MAX } from "./limits.ts";
import type { EventStream, LogEntry, LogPage, Position } from "./stream.ts";
import { matches, type Subscriber } from "./subscriber.ts";

/** What is shared of a stream on one thread. */
export class SharedPages {
  readonly #stream: Pick<EventStream, "read" | "cursor">;
  readonly #elapsed: () => number;
  readonly #turns: (() => void)[] = [];
  readonly #pages = new Map<string, { readonly page: LogPage; readonly readAt: number }>();
  readonly #reading = new Map<string, Promise<LogPage>>();
  readonly #batches = new WeakMap<readonly LogEntry[], Map<string, LiveBatch | null>>();

  /** `elapsed`: see `HubOptions`. */
  constructor(stream: Pick<EventStream, "read" | "cursor">, options: { elapsed: () => number }) {
    this.#stream = stream;
    this.#elapsed = options.elapsed;
  }

  /** A page of a tenant behind a place, when it is the caller's turn; one that others have just read, when there is one. */
  async read(after: Position, tenant: string): Promise<LogPage> {
    await new Promise<void>((resolve) => {
      if (this.#turns.push(resolve) === 1) setImmediate(this.#turn);
    });
    const key = `${tenant} ${after}`;
    const known = this.#pages.get(key);
    if (known !== undefined && this.#elapsed() - known.readAt < LOG_PAGE_SHARED_MS) return known.page;
    let running = this.#reading.get(key);
    if (running === undefined) {
      running = this.#readAnew(key, { after, tenant }).finally(() => this.#reading.delete(key));
      this.#reading.set(key, running);
    }
    return await running;
  }

  /** Lets go of pages that are shared no more; call it about once a second. */
  tick(): void {
    const oldest = this.#elapsed() - LOG_PAGE_SHARED_MS;
    for (const [key, { readAt }] of this.#pages) if (readAt <= oldest) this.#pages.delete(key);
  }

  /** Resolves when nobody waits for a turn. */
  async whenIdle(): Promise<void> {
    while (this.#turns.length > 0 || this.#reading.size > 0) await new Promise((resolve) => setImmediate(resolve));
  }

  /** The entries that are for a subscriber; `null` when none is. Those with the same key get the same batch. */
  batch(entries: readonly LogEntry[], { key, tenant, filter }: Pick<Subscriber, "key" | "tenant" | "filter">) {
    let batches = this.#batches.get(entries);
    if (batches === undefined) this.#batches.set(entries, batches = new Map());
    let batch = batches.get(key);
    if (batch === undefined) {
      const events = entries
        .filter(({ event }) => event.tenant === tenant && matches(filter, event))
        .map(({ event, position }) => ({ event, cursor: this.#stream.cursor(tenant, position) }));
      batches.set(key, batch = events.length === 0 ? null : new LiveBatch(events));
    }
    return batch;
  }

  readonly #turn = (): void => {
    for (const go of this.#turns.splice(0, LOG_PAGES_PER_TURN)) go();
    if (this.#turns.length > 0) setImmediate(this.#turn);
  };

  async #readAnew(key: string, options: { after: Position; tenant: string }): Promise<LogPage> {
    const page = await this.#stream.read({ ...options, limit: LOG_PAGE_EVENTS });
    if (page.entries.length > 0 && page.reset === undefined) this.#keep(key, page);
    return page;
  }

  /** Whether it was the last page is not shared: meanwhile there may be more behind it. */
  #keep(key: string, page: LogPage): void {
    const [oldest] = this.#pages.keys();
    this.#pages.delete(key);
    if (this.#pages.size >= LOG_PAGES_SHARED_MAX && oldest !== undefined) this.#pages.delete(oldest);
    this.#pages.set(key, { page: { ...page, caughtUp: false }, readAt: this.#elapsed() });
  }
}
