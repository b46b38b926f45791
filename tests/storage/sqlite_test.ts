/** The SQLite store under the suite of its port, and what only a file can do. */
import { testEventStore } from "./conformance.ts";
import { openSqlite, SQLITE_NEEDS } from "./sqlite.ts";

testEventStore("sqlite", { open: openSqlite, needs: SQLITE_NEEDS });
