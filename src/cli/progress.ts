/** A line on standard error that tells how far long work has come. */

const REDRAW_MS = 100;
const BAR_CHARACTERS = 24;

/** Draws itself only when standard error is a terminal; elsewhere it does nothing. */
export class Progress implements Disposable {
  readonly #total: number | null;
  readonly #started = performance.now();
  readonly #visible = Deno.stderr.isTerminal();
  #drawnAt = -Infinity;

  /** `total` is the number of events to come, or `null` when nobody knows. */
  constructor(total: number | null) {
    this.#total = total;
  }

  /** Tells how many events are done. Cheap enough to be called after every batch. */
  show(done: number): void {
    const now = performance.now();
    if (!this.#visible || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    const line = progressLine({ done, total: this.#total, elapsedMs: now - this.#started });
    Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[2K${line}`));
  }

  /** Wipes the line, so that what is printed next begins on a clean one. */
  clear(): void {
    if (this.#drawnAt === -Infinity) return;
    Deno.stderr.writeSync(new TextEncoder().encode("\r\x1b[2K"));
    this.#drawnAt = -Infinity;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

/** The text of the line: a bar when the total is known, and the mean rate so far. */
export function progressLine(state: { done: number; total: number | null; elapsedMs: number }): string {
  const rate = state.elapsedMs > 0 ? Math.round((state.done * 1_000) / state.elapsedMs) : 0;
  const speed = `${rate.toLocaleString("en")} events/s`;
  if (!state.total) return `${state.done.toLocaleString("en")} events, ${speed}`;
  const part = Math.min(1, state.done / state.total);
  const filled = Math.round(part * BAR_CHARACTERS);
  const bar = "█".repeat(filled) + "░".repeat(BAR_CHARACTERS - filled);
  const percent = `${Math.floor(part * 100)}`.padStart(3);
  return `${bar} ${percent} %  ${state.done.toLocaleString("en")} of ${state.total.toLocaleString("en")}, ${speed}`;
}
