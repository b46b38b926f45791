/** The SQLite store under the suite of its port. */
import { testEventStore } from "./conformance.ts";
import { openSqlite, SQLITE_NEEDS } from "./sqlite.ts";

testEventStore("sqlite", { open: () => openSqlite(), needs: SQLITE_NEEDS });

// The same with the index close behind the commits: most cases store too little to be indexed otherwise.
testEventStore("sqlite, indexed at once", {
  open: () => openSqlite({ indexStepRows: 5 }),
  needs: SQLITE_NEEDS,
  deviations: {
    "count: two million amounts of a billion in one cell neither overflow nor lose the smallest one":
      "runs above, indexed in large steps",
  },
});
