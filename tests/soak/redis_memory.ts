/** The memory of a Redis from the moment at which its stream is as long as it may be. */
import type { TestRedis } from "../services/redis.ts";
import { pause } from "./pace.ts";

/** What was seen. */
export interface MemoryFigures extends Record<string, number> {
  /** When the bound was first reached, mebibytes. */
  readonly redis_mib_at_bound: number;
  readonly redis_mib_at_end: number;
  readonly redis_mib_max: number;
  /** At the end beside at the bound. */
  readonly growth: number;
  readonly entries_max: number;
}

const LOOK_MS = 200;
const MEBIBYTE = 1024 * 1024;

/** Looks again and again until it is stopped. */
export class RedisMemory {
  readonly #redis: TestRedis;
  readonly #entriesMax: number;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #atBound = NaN;
  #largest = 0;
  #last = 0;
  #entries = 0;

  constructor(redis: TestRedis, entriesMax: number) {
    this.#redis = redis;
    this.#entriesMax = entriesMax;
    this.#running = this.#run();
  }

  /** A last look; the figures are not numbers when the bound was never reached. */
  async stop(): Promise<MemoryFigures> {
    this.#stopping.abort();
    await this.#running;
    await this.#look();
    return {
      redis_mib_at_bound: this.#atBound / MEBIBYTE,
      redis_mib_at_end: this.#last / MEBIBYTE,
      redis_mib_max: this.#largest / MEBIBYTE,
      growth: this.#last / this.#atBound,
      entries_max: this.#entries,
    };
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.#look();
      await pause(LOOK_MS, this.#stopping.signal);
    }
  }

  async #look(): Promise<void> {
    const entries = Number(await this.#redis.send("XLEN", this.#redis.prefix));
    const used = Number(/^used_memory:(\d+)/m.exec(String(await this.#redis.send("INFO", "memory")))?.[1]);
    this.#entries = Math.max(this.#entries, entries);
    if (entries < this.#entriesMax) return;
    if (Number.isNaN(this.#atBound)) this.#atBound = used;
    this.#last = used;
    this.#largest = Math.max(this.#largest, used);
  }
}
