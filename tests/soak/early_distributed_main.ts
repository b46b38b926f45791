/**
 * A hub of the distributed profile with a fault put in: it says "stored" at once, and lets the insert come later. It is
 * the control of runs that must find events lost. Threads of their own (gRPC) are without the fault.
 */
import { MongodbStore } from "../../src/storage/mongodb.ts";

/** How long the insert comes after the answer: long enough for a fault to fall between the two. */
const LATENESS_MS = 1_000;

const { append } = MongodbStore.prototype;
MongodbStore.prototype.append = function (events) {
  setTimeout(() => void append.call(this, events), LATENESS_MS);
  return Promise.resolve(events.map(() => "stored" as const));
};

await import("../../main.ts");
