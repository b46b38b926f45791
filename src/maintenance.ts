/**
 * The pass of each minute: count what is not counted, purge what retention no longer keeps. It works from what is
 * stored and not from the ticks that trigger it, so a missed tick delays work and loses none.
 */
import { getLogger } from "@logtape/logtape";
import { MAINTENANCE_PASS_MS, MAINTENANCE_RETRY_MS, MAINTENANCE_SILENCE_MS, RETENTION_SLACK_MS } from "./limits.ts";
import type { EventStore } from "./storage.ts";
import { within, type WorkerHealth } from "./worker.ts";

const log = getLogger(["eventhub", "maintenance"]);

/** What a pass works on. */
export interface MaintenanceOptions {
  readonly store: Pick<EventStore, "settle" | "purge">;
  /** The clock, milliseconds. */
  readonly now: () => number;
  /** A clock that is never set, milliseconds. */
  readonly elapsed: () => number;
  /** How long events are kept; `null` = for ever. */
  readonly retentionMs: number | null;
  readonly maxFutureMs: number;
  /** Shortened by tests: `MAINTENANCE_PASS_MS`. */
  readonly passMs?: number;
}

/** Runs passes, one at a time, and knows whether they still come. */
export class Maintenance {
  readonly #options: MaintenanceOptions;
  #finishedAt: number;
  #problem: string | null = null;
  #isLong = false;
  #running: Promise<void> | null = null;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
    this.#finishedAt = options.elapsed();
  }

  /**
   * One pass; a call while one runs waits for that one. Never rejects and never takes longer than
   * `MAINTENANCE_PASS_MS`, because the next tick of `Deno.cron` is set only when this one has ended. A pass that has much
   * to do goes on.
   */
  async pass(): Promise<void> {
    this.#running ??= this.#run().finally(() => this.#running = null);
    const { passMs = MAINTENANCE_PASS_MS } = this.#options;
    try {
      await within(passMs, "The pass of the minute", this.#running);
    } catch (cause) {
      // It does not reject: so it is not done.
      if (!this.#isLong) log.warn("The pass of the minute has much to do and goes on", { cause });
      this.#isLong = true;
    }
  }

  async #run(): Promise<void> {
    try {
      await this.#work();
      this.#problem = null;
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message : String(cause);
      // It is tried again soon: the same trouble is told once.
      if (problem !== this.#problem) log.error("The pass of the minute failed and is tried again", { cause });
      this.#problem = problem;
    }
    this.#isLong = false;
    this.#finishedAt = this.#options.elapsed();
  }

  /**
   * The watchdog: runs a pass when none has ended for `MAINTENANCE_SILENCE_MS`, and soon after one that failed, so that
   * health does not tell of a trouble for a minute that was over in a second.
   */
  async watch(): Promise<void> {
    if (this.#running !== null) return;
    const silenceMs = this.#options.elapsed() - this.#finishedAt;
    const failed = this.#problem !== null;
    if (silenceMs < (failed ? MAINTENANCE_RETRY_MS : MAINTENANCE_SILENCE_MS)) return;
    if (!failed) log.warn("No tick for {silenceMs} ms; the watchdog runs the pass of the minute", { silenceMs });
    await this.pass();
  }

  /** Whether the last pass ended well. One that takes long is told, and is no fault of a process that takes events. */
  health(): WorkerHealth {
    if (this.#problem !== null) return { ok: false, detail: this.#problem };
    return { ok: true, detail: this.#isLong ? "running; a pass has much to do" : "running" };
  }

  async #work(): Promise<void> {
    const { store, now, retentionMs, maxFutureMs } = this.#options;
    const settled = await store.settle();
    if (settled > 0) log.debug("Counted {settled} events", { settled });
    if (retentionMs === null) return;
    const time = now();
    const purged = await store.purge(time - retentionMs - maxFutureMs - RETENTION_SLACK_MS, { now: time });
    if (purged > 0) log.info("Purged {purged} events that retention no longer keeps", { purged });
  }
}
