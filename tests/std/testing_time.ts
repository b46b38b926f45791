/** `@std/testing/time` where JSR cannot be reached: a mocked clock over `node:test`'s mock timers. */
import { mock } from "node:test";

/** Mocks `Date` and timers until disposed; {@link FakeTime.tick} moves the clock. */
export class FakeTime implements Disposable {
  constructor(start: number | Date = Date.now()) {
    mock.timers.enable({ apis: ["Date", "setTimeout", "setInterval"], now: Number(start) });
  }

  /** Moves the clock and runs what falls due. */
  tick(milliseconds: number): void {
    mock.timers.tick(milliseconds);
  }

  /** Gives the real clock back. */
  restore(): void {
    mock.timers.reset();
  }

  [Symbol.dispose](): void {
    this.restore();
  }
}
