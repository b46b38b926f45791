/** The input types of the schema. */
import { builder } from "./builder.ts";

/** An event to publish. */
export const EventInput = builder.inputType("EventInput", {
  description: "An event to publish. `userId`, `eventType` and `amount` are required, though not by the type system: " +
    "the hub judges each event by itself and tells everything that is wrong with it, so that in a batch one faulty " +
    "event harms no other.",
  fields: (t) => ({
    id: t.id({
      description:
        "1–128 characters of `[A-Za-z0-9._:@~+=/-]`. An id is stored once: sending the same event again is " +
        "safe. Without one the hub gives a UUIDv7, and a retry would be another event.",
    }),
    userId: t.string({ description: "Required. 1–256 characters, no control characters." }),
    eventType: t.string({
      description:
        "Required. `purchase`, `return`, `refund`, `exchange` or another: a letter, then letters, digits and " +
        "`_ . : -`, at most 64.",
    }),
    amount: t.field({
      type: "Decimal",
      description: "Required. At most four fraction digits, at most a billion in absolute value.",
    }),
    timestamp: t.field({ type: "DateTime", description: "When it happened; now when missing." }),
    properties: t.field({
      type: "JSON",
      description: "An object of at most 16 KiB and 8 levels for everything else.",
    }),
  }),
});

/** Which events. */
export const EventFilter = builder.inputType("EventFilter", {
  description: "Which events; what is missing does not restrict.",
  fields: (t) => ({
    userId: t.string({ description: "Events of this user." }),
    eventTypes: t.stringList({ description: "Events of one of these types; an empty list does not restrict." }),
    from: t.field({ type: "DateTime", description: "Earliest `timestamp`, inclusive." }),
    to: t.field({ type: "DateTime", description: "Latest `timestamp`, exclusive." }),
  }),
});
