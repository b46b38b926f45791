/**
 * A process that appends to a SQLite file until it is killed, and says which ids were acknowledged: `deno run -A
 * sqlite_child.ts <path>`. A line holds the number of a batch of which every event was answered `stored`.
 */
import { connectSqlite, SqliteDatabase } from "../../src/storage/sqlite.ts";
import { batchOf } from "./sqlite_batches.ts";

const database = await SqliteDatabase.open({ path: Deno.args[0]! });
const { store } = await connectSqlite(database.ports().ports);
let next = 0;
await Promise.all([0, 1, 2].map(async () => {
  for (;;) {
    const batch = next++;
    const statuses = await store.append(batchOf(batch));
    if (statuses.every((status) => status === "stored")) Deno.stdout.writeSync(new TextEncoder().encode(`${batch}\n`));
  }
}));
