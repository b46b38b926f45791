/** Makes the events of a user anonymous, in small steps. */
import type { Collection } from "mongodb";
import { MONGODB_COMMAND_DOCUMENTS } from "../limits.ts";
import type { EventDocument } from "./mongodb_documents.ts";

/** Erases a user's events and answers how many. What waited to be published again does so no more. */
export async function erase(
  events: Collection<EventDocument>,
  { tenant, userId }: { tenant: string; userId: string },
): Promise<number> {
  // The user of erased events is nobody.
  if (userId === "") return 0;
  let erased = 0;
  for (;;) {
    const found = await events.find({ tenant, user_id: userId }, { projection: { _id: 1 } })
      .limit(MONGODB_COMMAND_DOCUMENTS).toArray();
    if (found.length === 0) return erased;
    const { modifiedCount } = await events.updateMany(
      { _id: { $in: found.map(({ _id }) => _id) }, tenant, user_id: userId },
      { $set: { user_id: "", erased: true }, $unset: { properties: "", unpub: "" } },
    );
    erased += modifiedCount;
  }
}
