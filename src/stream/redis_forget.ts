/** Erasure in the stream: the entries of a user are searched and taken out. */
import { STREAM_SEARCH_ENTRIES } from "../limits.ts";
import type { RedisConnection } from "./redis_connection.ts";
import { toEntries } from "./redis_entry.ts";
import { FORGET, type RedisKeys } from "./redis_scripts.ts";

/** Ids a script takes at once: Lua unpacks a few thousand arguments at most. */
const IDS_AT_ONCE = 1_000;

/** Takes every entry of a user out of the stream, and answers how many they were. */
export async function forgetUser(
  connection: RedisConnection,
  { keys, tenant, userId }: { keys: RedisKeys; tenant: string; userId: string },
): Promise<number> {
  let forgotten = 0;
  for (let after = "-";;) {
    const entries = toEntries(await connection.ask("XRANGE", keys.stream, after, "+", "COUNT", STREAM_SEARCH_ENTRIES));
    const ids = entries.filter(({ fields }) => isOf(fields ?? [], tenant, userId)).map(({ id }) => id);
    for (let i = 0; i < ids.length; i += IDS_AT_ONCE) {
      const args = ids.slice(i, i + IDS_AT_ONCE);
      forgotten += Number(
        await FORGET.run(connection, { keys: [keys.stream, keys.epoch, keys.floor], args, repeatable: true }),
      );
    }
    const last = entries.at(-1);
    if (last === undefined || entries.length < STREAM_SEARCH_ENTRIES) return forgotten;
    after = `(${last.id}`;
  }
}

function isOf(fields: readonly string[], tenant: string, userId: string): boolean {
  let [isTenant, isUser] = [false, false];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (fields[i] === "tenant") isTenant = fields[i + 1] === tenant;
    else if (fields[i] === "user_id") isUser = fields[i + 1] === userId;
  }
  return isTenant && isUser;
}
