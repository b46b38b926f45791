/**
 * Counting by the stream: the entries of a pass name the insertions to count; their cells are counted in the store, the
 * changed ones named to all hubs, and only then the entries are acknowledged. Doing any of it twice changes nothing.
 */
import { ROLLUP_PASS_ENTRIES, ROLLUP_PASS_MS, SWEEP_AGE_MS } from "../limits.ts";
import type { PublicationSource, SettleSource } from "../publication.ts";
import { CellNews } from "./redis_cells.ts";
import type { RedisConnection } from "./redis_connection.ts";
import { fromFields, type RawEntry } from "./redis_entry.ts";
import { epochsOf } from "./redis_epochs.ts";
import { type GroupOptions, GroupWorker } from "./redis_group.ts";
import { RedisKeys } from "./redis_scripts.ts";

/** The group that counts. */
export const ROLLUP_GROUP = "rollup";

/** What the workers of the role `rollup` work with. The times are shortened by tests. */
export interface RollupOptions extends Partial<Omit<GroupOptions, "url" | "group" | "stream" | "prefix" | "admit">> {
  readonly url: string;
  readonly prefix?: string;
  readonly source: PublicationSource & SettleSource;
  /** How long an event waits for the stream before it is swept, milliseconds. */
  readonly ageMs?: number;
}

/** The worker that counts what the stream brings. Any number of them share the work. */
export function rollupWorker(options: RollupOptions): GroupWorker {
  const { url, prefix = "events", source } = options;
  const keys = new RedisKeys(prefix);
  const epochs = epochsOf(source, keys);
  const group: GroupOptions = {
    entriesMax: ROLLUP_PASS_ENTRIES,
    passMs: ROLLUP_PASS_MS,
    ...options,
    url,
    prefix,
    group: ROLLUP_GROUP,
    stream: () => keys.stream,
    // Asked behind the reading too: what only a former Redis brought is not counted by its entry, so that the sweep finds
    // it and publishes it in the other one.
    admit: async (connection) => void await epochs(connection).renew(),
    isTrimmed: true,
  };
  const news = new CellNews(keys);
  return new GroupWorker(group, (entries, connection) => settle(entries, { ...options, connection, news }));
}

/** Counts the entries of a pass. All are done afterwards: those that name nothing the store knows, too. */
async function settle(
  raw: readonly RawEntry[],
  { source, ageMs = SWEEP_AGE_MS, connection, news }: RollupOptions & { connection: RedisConnection; news: CellNews },
): Promise<readonly string[]> {
  const entries = raw.flatMap((each) => fromFields(each) ?? []);
  if (entries.length > 0) await news.tell(connection, await source.settleThese(entries));
  // What comes this late may have been swept, and would be published once more although it is here. Half the age leaves
  // room for a sweep that runs now. The time of publication of what waited for Redis was moved; that of receipt was not.
  const oldest = source.now() - ageMs / 2;
  const late = entries.filter(({ pub, event }) => Math.min(pub, event.receivedAt) <= oldest);
  if (late.length > 0) await source.markPublished(late);
  return raw.map(({ id }) => id);
}
