/**
 * A hub of the distributed profile with a fault put in: whoever goes back to the store for what the stream lost finds
 * nothing there. It is the control of runs that must find gaps. Threads of their own (gRPC) are without the fault.
 */
import { Publications } from "../../src/storage/mongodb_publication.ts";

Publications.prototype.published = ({ after }) => Promise.resolve({ entries: [], place: after, caughtUp: true });

await import("../../main.ts");
