/** What Redis tells of consumer groups. */
import { type RedisConnection, RedisRefusal, type Reply } from "./redis_connection.ts";

/** What the server tells of a group. */
export interface GroupState {
  readonly name: string;
  /** The id of the last entry that was given to a consumer. */
  readonly delivered: string;
  /** Entries given to consumers and not acknowledged. */
  readonly pending: number;
  /** Entries nobody was given yet; `null` where the server does not know, as before Redis 7. */
  readonly lag: number | null;
}

/** The groups of a stream; none of one that is not there. */
export async function groupsOf(connection: RedisConnection, stream: string): Promise<readonly GroupState[]> {
  try {
    const groups = await connection.ask("XINFO", "GROUPS", stream) as readonly (readonly Reply[])[];
    return groups.map((group) => {
      const of = (field: string) => group.includes(field) ? group[group.indexOf(field) + 1] ?? null : null;
      const lag = of("lag");
      return {
        name: String(of("name")),
        delivered: String(of("last-delivered-id")),
        pending: Number(of("pending")),
        lag: lag === null ? null : Number(lag),
      };
    });
  } catch (error) {
    if (error instanceof RedisRefusal && error.is("ERR no such key")) return [];
    throw error;
  }
}
