/**
 * A hub of the distributed profile with a fault put in: it marks events as counted, and of the cells it recounted
 * it writes the first of each group alone. It is the control of runs that must find cells that differ from a recount.
 */
import { Collection } from "mongodb";

const { bulkWrite } = Collection.prototype;
Collection.prototype.bulkWrite = function (operations, options) {
  return bulkWrite.call(this, this.collectionName === "rollups" ? operations.slice(0, 1) : operations, options);
};

await import("../../main.ts");
