/** Time in a soak run: a pace to send at, and conditions to wait for. The only file here that owns timers. */

/** How often a pace gives what is due; finer ticks would cost the machine more than the load itself. */
const TICK_MS = 10;
const CONDITION_INTERVAL_MS = 50;

/** Waits; ends early and quietly when the signal aborts. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal?.aborted) return Promise.resolve();
  const timer = setTimeout(done, milliseconds);
  signal?.addEventListener("abort", done);
  function done() {
    clearTimeout(timer);
    signal?.removeEventListener("abort", done);
    resolve();
  }
  return promise;
}

/** Gives, tick by tick, how many events are due at a rate a second, until the signal aborts. What a slow tick missed comes with the next. */
export async function* paced(ratePerSecond: number, signal: AbortSignal): AsyncGenerator<number> {
  const startedAt = performance.now();
  let given = 0;
  while (!signal.aborted) {
    await pause(TICK_MS, signal);
    const due = Math.floor((performance.now() - startedAt) / 1_000 * ratePerSecond) - given;
    if (due <= 0) continue;
    given += due;
    yield due;
  }
}

/** Waits until a condition holds; throws with its name after the deadline. Answers how long it took, in milliseconds. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  options: { name: string; timeoutMs: number },
): Promise<number> {
  const startedAt = performance.now();
  while (!(await condition())) {
    if (performance.now() - startedAt > options.timeoutMs) {
      throw new Error(`Waited ${options.timeoutMs} ms in vain until ${options.name}`);
    }
    await pause(CONDITION_INTERVAL_MS);
  }
  return performance.now() - startedAt;
}
