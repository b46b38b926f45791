/** The same ids from many clients at once. */
import { soakCase } from "./soak_case.ts";

soakCase("of equal ids from many clients each is stored once and answered rightly", {
  run: async () => (await import("./duplicates.ts")).runDuplicates({ clients: 12, ids: 100 }),
});
