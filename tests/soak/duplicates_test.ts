/** The same ids from many clients at once. */
import { runDuplicates } from "./duplicates.ts";
import { soakCase } from "./soak_case.ts";

soakCase("of equal ids from many clients each is stored once and answered rightly", {
  run: () => runDuplicates({ clients: 12, ids: 100 }),
});
