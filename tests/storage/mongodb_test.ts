/** The MongoDB store and its dead letters under the suites of their ports. */
import { mongoLacking } from "../services/mongo.ts";
import { testEventStore } from "./conformance.ts";
import { LETTERS_MAX, testDeadLetters } from "./dead_letters_conformance.ts";
import { openMongodb, openMongodbDeadLetters } from "./mongodb.ts";

testEventStore("mongodb", {
  open: () => openMongodb(),
  lacking: mongoLacking(),
  deviations: {
    "count: two million amounts of a billion in one cell neither overflow nor lose the smallest one":
      "minutes on the Java server, and a minute that lost events to a purge takes no more; see mongodb_settle_test.ts",
  },
});

testDeadLetters("mongodb dead letters", {
  open: () => openMongodbDeadLetters(LETTERS_MAX),
  lacking: mongoLacking(),
});
