/** Moving a store there and back. */
import { mongoLacking } from "../services/mongo.ts";
import { soakCase } from "./soak_case.ts";

soakCase("a store that is moved to MongoDB and back is what it was", {
  run: async () => (await import("./transfer.ts")).runTransfers({ events: 3_000 }),
  lacking: mongoLacking(),
});
