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
}

/** Runs passes, one at a time, and knows whether they still come. */
export class Maintenance {
  readonly #options: MaintenanceOptions;
  #finishedAt: number;
  #problem: string | null = null;
  #running: Promise<void> | null = null;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
    this.#finishedAt = options.elapsed();
  }

  /**
   * One pass; a call while one runs waits for that one. Never rejects and never takes longer than
   * `MAINTENANCE_PASS_MS`, because the next tick of `Deno.cron` is set only when this one has ended.
   */
  async pass(): Promise<void> {
    this.#running ??= this.#work().finally(() => this.#running = null);
    try {
      await within(MAINTENANCE_PASS_MS, "The pass of the minute", this.#running);
      this.#problem = null;
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message : String(cause);
      // It is tried again soon: the same trouble is told once.
      if (problem !== this.#problem) log.error("The pass of the minute failed and is tried again", { cause });
      this.#problem = problem;
    }
    this.#finishedAt = this.#options.elapsed();
  }

  /**
   * The watchdog: runs a pass when none has ended for `MAINTENANCE_SILENCE_MS`, and soon after one that failed, so that
   * health does not tell of a trouble for a minute that was over in a second.
   */
  async watch(): Promise<void> {
    const silenceMs = this.#options.elapsed() - this.#finishedAt;
    const failed = this.#problem !== null;
    if (silenceMs < (failed ? MAINTENANCE_RETRY_MS : MAINTENANCE_SILENCE_MS)) return;
    if (!failed) log.warn("No tick for {silenceMs} ms; the watchdog runs the pass of the minute", { silenceMs });
    await this.pass();
  }

  /** Whether the last pass ended well. */
  health(): WorkerHealth {
    return this.#problem === null ? { ok: true, detail: "running" } : { ok: false, detail: this.#problem };
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
