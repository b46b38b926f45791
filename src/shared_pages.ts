/**
 * Pages of the log, read and made into batches once for all subscribers that walk over them at about the same time: when
 * a hub or a proxy starts again, all its subscribers come back at once, with cursors that lie close together.
 */
import { LiveBatch } from "./feed.ts";
import { LOG_PAGE_EVENTS, LOG_PAGE_SHARED_MS, LOG_PAGES_SHARED_MAX } from "./limits.ts";
import type { EventStream, LogEntry, LogPage, Position } from "./stream.ts";
import { matches, type Subscriber } from "./subscriber.ts";

/** What is shared of a stream on one thread. */
export class SharedPages {
  readonly #stream: Pick<EventStream, "read" | "cursor">;
  readonly #elapsed: () => number;
  readonly #pages = new Map<string, { readonly page: LogPage; readonly readAt: number }>();
  readonly #batches = new WeakMap<readonly LogEntry[], Map<string, LiveBatch | null>>();

  /** `elapsed`: see `HubOptions`. */
  constructor(stream: Pick<EventStream, "read" | "cursor">, options: { elapsed: () => number }) {
    this.#stream = stream;
    this.#elapsed = options.elapsed;
  }

  /** A page of a tenant behind a place; one that others have just read, when there is one. */
  async read(after: Position, tenant: string): Promise<LogPage> {
    const key = `${tenant} ${after}`;
    const known = this.#pages.get(key);
    if (known !== undefined && this.#elapsed() - known.readAt < LOG_PAGE_SHARED_MS) return known.page;
    const page = await this.#stream.read({ after, limit: LOG_PAGE_EVENTS, tenant });
    if (page.entries.length > 0 && page.reset === undefined) this.#keep(key, page);
    return page;
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

  /** Whether it was the last page is not shared: meanwhile there may be more behind it. */
  #keep(key: string, page: LogPage): void {
    const [oldest] = this.#pages.keys();
    this.#pages.delete(key);
    if (this.#pages.size >= LOG_PAGES_SHARED_MAX && oldest !== undefined) this.#pages.delete(oldest);
    this.#pages.set(key, { page: { ...page, caughtUp: false }, readAt: this.#elapsed() });
  }
}
