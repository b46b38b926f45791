/** What a scrape is told of Redis. */
import type { GroupMeasures, ServerMeasures } from "../telemetry_stream.ts";
import type { RedisConnection } from "./redis_connection.ts";
import { groupsOf } from "./redis_groups.ts";
import { INBOUND_GROUP } from "./redis_inbound.ts";
import { ROLLUP_GROUP } from "./redis_rollup.ts";
import type { RedisKeys } from "./redis_scripts.ts";

/** How long the streams are, and how far the hub's groups are with them. Groups of others are not told of. */
export async function measureStreams(connection: RedisConnection, keys: RedisKeys): Promise<ServerMeasures> {
  const [live, inbound, rollup, ingest] = await Promise.all([
    connection.ask("XLEN", keys.stream),
    connection.ask("XLEN", keys.inbound),
    measureGroup(connection, { stream: keys.stream, group: ROLLUP_GROUP }),
    measureGroup(connection, { stream: keys.inbound, group: INBOUND_GROUP }),
  ]);
  return { entries: { live: Number(live), inbound: Number(inbound) }, groups: [...rollup, ...ingest] };
}

async function measureGroup(
  connection: RedisConnection,
  { stream, group }: { stream: string; group: string },
): Promise<readonly GroupMeasures[]> {
  const groups = await groupsOf(connection, stream);
  return groups.filter(({ name }) => name === group).map(({ pending, lag }) => ({ group, pending, lag }));
}
