/** Many commands instead of one that is too large. */
import { MONGODB_COMMANDS_IN_FLIGHT_MAX } from "../limits.ts";

/**
 * Runs `work` on each item, a few at once; the results are in the order of the items. When one fails, no more are
 * begun, and it rejects when those under way have ended.
 */
export async function eachOf<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const workers = Array.from({ length: Math.min(MONGODB_COMMANDS_IN_FLIGHT_MAX, items.length) }, async () => {
    try {
      while (next < items.length) {
        const at = next++;
        results[at] = await work(items[at]!);
      }
    } catch (error) {
      next = items.length;
      throw error;
    }
  });
  for (const worker of await Promise.allSettled(workers)) if (worker.status === "rejected") throw worker.reason;
  return results;
}

/** Cuts a list into pieces of at most `size`. */
export function chunksOf<T>(items: readonly T[], size: number): T[][] {
  const chunks: T[][] = [];
  for (let i = 0; i < items.length; i += size) chunks.push(items.slice(i, i + size));
  return chunks;
}
