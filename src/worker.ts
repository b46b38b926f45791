/** Long-running parts under one supervisor: started again with back-off when they fail, and seen by health. */
import { getLogger } from "@logtape/logtape";
import { RESTART_DELAY_MS_MAX, RESTART_DELAY_MS_MIN } from "./limits.ts";

const log = getLogger(["eventhub", "supervisor"]);

/** A part that runs until its signal is aborted. Returning or throwing before that is a failure. */
export interface SupervisedWorker {
  readonly name: string;
  run(signal: AbortSignal): Promise<void>;
}

/** State of a supervised part, for health and `/readyz`. */
export interface WorkerHealth {
  readonly ok: boolean;
  readonly detail: string;
}

/** A part that ran so long before it failed starts again from the shortest back-off. */
const STEADY_MS = 60_000;

/**
 * The machine's clocks, milliseconds: the time of day, which may be set back or forward at any time, and the time that has
 * passed, by which everything is measured that waits.
 */
export const clocks = { now: (): number => Date.now(), elapsed: (): number => performance.now() };

/** How long to wait before the next start: doubling from 100 ms to 30 s. `failures` counts from 1. */
export function nextDelay(failures: number): number {
  return Math.min(RESTART_DELAY_MS_MAX, RESTART_DELAY_MS_MIN * 2 ** (failures - 1));
}

/** Keeps parts running until it is disposed. */
export class Supervisor implements AsyncDisposable {
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, Promise<void>>();
  readonly #health = new Map<string, WorkerHealth>();
  readonly #now: () => number;

  constructor(options: { now: () => number }) {
    this.#now = options.now;
  }

  /** Starts a part; its name must be new. */
  start(worker: SupervisedWorker): void {
    if (this.#running.has(worker.name)) throw new Error(`Cannot start worker "${worker.name}" twice`);
    this.#running.set(worker.name, this.#keep(worker));
  }

  /** The state of every part, by name. */
  health(): Record<string, WorkerHealth> {
    return Object.fromEntries(this.#health);
  }

  /** Aborts every part and waits for all of them. Harmless twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running.values());
  }

  async #keep(worker: SupervisedWorker): Promise<void> {
    const { signal } = this.#stopping;
    for (let failures = 1; !signal.aborted; failures++) {
      const startedAt = this.#now();
      this.#health.set(worker.name, { ok: true, detail: "running" });
      try {
        await worker.run(signal);
        if (signal.aborted) return;
        throw new Error(`Worker "${worker.name}" stopped by itself`);
      } catch (cause) {
        if (signal.aborted) return;
        if (this.#now() - startedAt >= STEADY_MS) failures = 1;
        const delayMs = nextDelay(failures);
        log.error("Worker {name} failed; it starts again in {delayMs} ms", { name: worker.name, delayMs, cause });
        this.#health.set(worker.name, { ok: false, detail: `failed: ${reasonOf(cause)}` });
        await wait(delayMs, signal);
      }
    }
  }
}

/** What keeps a part from its work, for its log and for health: told once when it begins and once when it is over. */
export class Trouble {
  #reason: string | null = null;
  readonly #tell: { readonly begun: (cause: unknown) => void; readonly over: () => void };

  constructor(tell: { readonly begun: (cause: unknown) => void; readonly over: () => void }) {
    this.#tell = tell;
  }

  /** Why the part does not work now; `null` while it does. */
  get reason(): string | null {
    return this.#reason;
  }

  /** The part failed; told unless it did before. The reason is always the last one. */
  begin(cause: unknown): void {
    const isNew = this.#reason === null;
    this.#reason = reasonOf(cause);
    if (isNew) this.#tell.begun(cause);
  }

  /** The part works. */
  end(): void {
    if (this.#reason === null) return;
    this.#reason = null;
    this.#tell.over();
  }
}

/** What an error says, with what its causes add to it. */
export function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause === undefined || cause.cause === null
    ? cause.message
    : `${cause.message}: ${reasonOf(cause.cause)}`;
}

/**
 * Tells whether another thread is silent, in looks and not by a clock: what happens while the process is stopped, or
 * while its clock is set, is nobody's silence. Only looks that no sign of life followed count.
 */
export class Silence {
  readonly #looksMax: number;
  #looks = 0;

  /** `looksMax`: so many looks without a sign of life are too many. */
  constructor(options: { looksMax: number }) {
    this.#looksMax = options.looksMax;
  }

  /** A sign of life came. */
  end(): void {
    this.#looks = 0;
  }

  /** Looks once more, at intervals; true when it is taken for dead. */
  look(): boolean {
    return this.#looks++ >= this.#looksMax;
  }
}

/** Runs a step every `everyMs` until the signal is aborted; a step that throws ends it with that error. */
export async function every(everyMs: number, signal: AbortSignal, step: () => void | Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await wait(everyMs, signal);
    if (!signal.aborted) await step();
  }
}

/** Resolves after a time or when the signal is aborted, whichever is first. */
export function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}

/** Settles as the promise does, or rejects when the time is over. */
export async function within<T>(milliseconds: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
