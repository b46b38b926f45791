/** When to try again: exponential back-off with jitter, as a pure function. */

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;

/**
 * The wait before the attempt after `attempt` failed ones (1 = the first failed): between half and the whole of
 * 100 ms · 2^(attempt − 1), at most 5 s, and never less than what the hub asked for. The jitter keeps many senders from
 * coming back in step.
 */
export function nextDelayMs(attempt: number, options: { askedMs?: number; random?: () => number } = {}): number {
  const random = options.random ?? Math.random;
  const full = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.max(0, attempt - 1));
  return Math.max(options.askedMs ?? 0, Math.round(full / 2 + (full / 2) * random()));
}
