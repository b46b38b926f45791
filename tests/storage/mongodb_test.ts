/** The MongoDB store under the suite of its port. */
import { mongoLacking } from "../services/mongo.ts";
import { testEventStore } from "./conformance.ts";
import { openMongodb } from "./mongodb.ts";

testEventStore("mongodb", {
  open: () => openMongodb(),
  lacking: mongoLacking(),
  deviations: {
    "count: two million amounts of a billion in one cell neither overflow nor lose the smallest one":
      "minutes on the Java server, and a minute that lost events to a purge takes no more; see mongodb_settle_test.ts",
  },
});
