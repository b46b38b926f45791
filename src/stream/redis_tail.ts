/**
 * The blocking reader of one process: it waits on a connection of its own for entries and changed cells, and tells whoever
 * watches. Pages are read elsewhere. After each wait, also an empty one, it looks whether the stream is still the same:
 * who follows it learns of a loss by reading.
 */
import { getLogger } from "@logtape/logtape";
import {
  CELLS_ENTRIES_MAX,
  CELLS_REFRESH_MS,
  REDIS_BLOCK_MS,
  REDIS_COMMAND_MS,
  REDIS_RETRY_MS,
  STREAM_COMPARE_MS,
} from "../limits.ts";
import type { ChangedCells } from "../stream.ts";
import { Trouble, wait } from "../worker.ts";
import { lastCells, readCells } from "./redis_cells.ts";
import { RedisConnection } from "./redis_connection.ts";
import type { RedisEpochs } from "./redis_epochs.ts";
import { compareIds } from "./redis_position.ts";
import type { RedisKeys } from "./redis_scripts.ts";

const log = getLogger(["eventhub", "redis"]);

/** What a tail works with. */
export interface TailOptions {
  readonly url: string;
  readonly keys: RedisKeys;
  readonly epochs: RedisEpochs;
  readonly blockMs?: number;
  readonly timeoutMs?: number;
  readonly compareMs?: number;
}

interface CellListener {
  readonly listener: (cells: ChangedCells) => void;
}

/** Tells who watches that there is something to read. */
export class RedisTail implements AsyncDisposable {
  readonly #options: TailOptions;
  readonly #blockMs: number;
  readonly #connection: RedisConnection;
  readonly #listeners = new Set<{ readonly listener: () => void }>();
  readonly #cellListeners = new Set<CellListener>();
  readonly #stopping = new AbortController();
  #running: Promise<void> | null = null;
  /** How far was told. */
  #entries = "0-0";
  #cells = "0-0";
  #epoch = 0;
  #refreshedAt = performance.now();
  #comparedAt = performance.now();

  constructor(options: TailOptions) {
    this.#options = options;
    this.#blockMs = options.blockMs ?? REDIS_BLOCK_MS;
    this.#connection = new RedisConnection(options.url, {
      name: "eventhub-tail",
      timeoutMs: this.#blockMs + (options.timeoutMs ?? REDIS_COMMAND_MS),
    });
  }

  /** Finds the end of the stream and follows it from there, or from whatever is found when Redis comes back. */
  async start(): Promise<void> {
    try {
      await this.#find();
      // Before a former Redis finds that nobody follows this one.
      await this.#options.epochs.compare();
    } catch (cause) {
      log.warn("The stream cannot be followed yet; it is tried again", { cause });
    }
    this.#running = this.#follow();
  }

  /** See the port. */
  watch(listener: () => void): () => void {
    const entry = { listener };
    if (!this.#stopping.signal.aborted) this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  /** See the port. */
  watchCells(listener: CellListener["listener"]): () => void {
    const entry = { listener };
    if (!this.#stopping.signal.aborted) this.#cellListeners.add(entry);
    return () => void this.#cellListeners.delete(entry);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#listeners.clear();
    this.#cellListeners.clear();
    await Promise.all([this.#connection[Symbol.asyncDispose](), this.#running]);
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stopping;
    const trouble = new Trouble({
      begun: (cause) => log.warn("The stream cannot be followed; it is tried again", { cause }),
      over: () => log.info("The stream is followed again"),
    });
    let wasRefused = false;
    while (!signal.aborted) {
      try {
        await this.#step();
        wasRefused = false;
        if (trouble.reason !== null) this.#tellAll();
        trouble.end();
      } catch (cause) {
        if (signal.aborted) return;
        // Who waits for entries learns at once that none will come.
        const isRefused = this.#options.epochs.objection !== null;
        if (isRefused && !wasRefused) this.#tellAll();
        wasRefused = isRefused;
        trouble.begin(cause);
        await wait(REDIS_RETRY_MS, signal);
      }
    }
  }

  async #step(): Promise<void> {
    const { keys, epochs } = this.#options;
    const what = ["COUNT", 1, "BLOCK", this.#blockMs, "STREAMS", keys.stream, keys.cells];
    const reply = await this.#connection.send("XREAD", ...what, this.#entries, this.#cells);
    if (performance.now() - this.#comparedAt >= (this.#options.compareMs ?? STREAM_COMPARE_MS)) {
      this.#comparedAt = performance.now();
      await epochs.compare();
    }
    const { epoch, last } = await epochs.look();
    if (epoch.number !== this.#epoch) {
      // The epoch was seen by another connection, which may lead to another server by now.
      this.#connection.reconnect();
      await this.#find();
      this.#tellAll();
      return;
    }
    const streams = Array.isArray(reply) ? reply as readonly [string, unknown][] : [];
    if (compareIds(last, this.#entries) > 0) {
      this.#entries = last;
      this.#tell();
    } else if (streams.some(([name]) => name === keys.stream)) {
      // What was read is not where it is looked: the two connections lead to different servers.
      this.#connection.reconnect();
      await wait(REDIS_RETRY_MS, this.#stopping.signal);
    }
    if (streams.some(([name]) => name === keys.cells)) await this.#tellCells();
    if (performance.now() - this.#refreshedAt >= CELLS_REFRESH_MS) this.#tellMissed();
  }

  async #find(): Promise<void> {
    const { epoch, last } = await this.#options.epochs.look();
    this.#cells = await lastCells(this.#connection, this.#options.keys);
    this.#entries = last;
    this.#epoch = epoch.number;
  }

  /** Everybody looks for themselves: anything may have happened. */
  #tellAll(): void {
    this.#tell();
    this.#tellMissed();
  }

  #tell(): void {
    for (const { listener } of [...this.#listeners]) listener();
  }

  #tellMissed(): void {
    this.#refreshedAt = performance.now();
    for (const { listener } of [...this.#cellListeners]) listener("all");
  }

  async #tellCells(): Promise<void> {
    const { cells, last, entries } = await readCells(this.#connection, {
      keys: this.#options.keys,
      after: this.#cells,
    });
    this.#cells = last;
    if (entries >= CELLS_ENTRIES_MAX) this.#tellMissed();
    if (cells.length > 0) { for (const { listener } of [...this.#cellListeners]) listener(cells); }
  }
}
