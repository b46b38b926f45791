/** Ways to be wrong in the settle protocol. Each breaks a promise, and the explorer must find it by itself. */
import { PROTOCOL, type Rules, type Scope } from "./settle_model.ts";
import type { Promised } from "./settle_model_promises.ts";
import { SMALL_SCOPES } from "./settle_model_scopes.ts";

/** A protocol that is wrong in one point. */
export interface Control {
  readonly name: string;
  /** What follows from it, as the shortest trace shows. */
  readonly why: string;
  readonly scope: Scope;
  readonly rules: Rules;
  readonly breaks: Promised;
}

const { oneEvent, oneSlice, oneSliceSwept, twoSlices, hours, purge, resent, resentSameMinute, failover } = SMALL_SCOPES;

/** The controls, in the order of the steps. */
export const CONTROLS: readonly Control[] = [
  control("no guard on slices", {
    why: "a worker that scanned early replaces a fuller slice, and what it leaves out has been cleared",
    scope: oneSlice,
    wrong: { guard: "minutes only" },
  }),
  control("no guard on minutes", {
    why: "a worker that read the slices early replaces a fuller minute",
    scope: twoSlices,
    wrong: { guard: "slices only" },
    breaks: "no count goes down",
  }),
  control("no guard at all", {
    why: "a stale worker takes back what was counted",
    scope: oneSlice,
    wrong: { guard: "none" },
    breaks: "no count goes down",
  }),
  control("11000 is taken as already done", {
    why: "two workers create a document at once, and the fuller count of the slower one is dropped",
    scope: oneSliceSwept,
    wrong: { afterDuplicateKey: "done" },
  }),
  control("counts are incremented", {
    why: "a worker dies between counting and clearing, and the event is counted again",
    scope: oneEvent,
    wrong: { counting: "increment" },
    breaks: "nothing is counted twice",
  }),
  control("clears what came later too", {
    why: "an event inserted after the scan is cleared without being counted",
    scope: oneSlice,
    wrong: { clears: "all of the slice" },
  }),
  control("clears what its scan saw", {
    why: "two scans that missed different events write the same n, one over the other",
    scope: SMALL_SCOPES.threeEventsTwoWorkers,
    wrong: { clears: "what the scan saw" },
  }),
  control("clears before the minutes are merged", {
    why: "a worker dies after clearing, and no one merges the slice",
    scope: oneEvent,
    wrong: { clearsAfter: "slices" },
  }),
  control("clears before the hours are merged", {
    why: "a worker dies after clearing, and no one merges the minute",
    scope: hours,
    wrong: { clearsAfter: "slices" },
  }),
  control("pend names the id, not the insertion", {
    why: "a worker sleeps before clearing, and clears an insertion that came after a purge",
    scope: resent,
    wrong: { pendNames: "id" },
  }),
  control("no sweep", {
    why: "the publisher dies before publishing, and no worker ever hears of the event",
    scope: { ...oneEvent, happenings: { ...oneEvent.happenings, sweeps: false } },
    wrong: {},
    breaks: "everything can still be settled and published",
  }),
  control("the sweep does not mark what it clears", {
    why: "the publisher died before publishing, and the event is settled without ever being published",
    scope: oneEvent,
    wrong: { sweepMarks: false },
    breaks: "what is neither pending nor marked was published",
  }),
  control("the mark is removed before publishing", {
    why: "a worker dies in between",
    scope: oneEvent,
    wrong: { unmarks: "before publishing" },
    breaks: "what is neither pending nor marked was published",
  }),
  control("unpub names the id, not the insertion", {
    why: "a worker sleeps before removing the mark, and removes that of an insertion that came after a purge",
    scope: resent,
    wrong: { unpubNames: "id" },
    breaks: "what is neither pending nor marked was published",
  }),
  control("purge without its conditions in the delete", {
    why: "a delete that is repeated takes the insertion that came after it, and was not counted yet",
    scope: resent,
    wrong: { deletes: "by id alone" },
  }),
  control("purge without receivedAt in the delete", {
    why: "a delete that is repeated takes the insertion that came after it, and should have been kept",
    scope: resent,
    wrong: { deletes: "without receivedAt" },
    breaks: "nothing is purged before its time",
  }),
  control("purge of what is marked", {
    why: "an event that was never published is gone before the sweep publishes it",
    scope: resent,
    wrong: { deletes: "without unpub" },
    breaks: "what is neither pending nor marked was published",
  }),
  control("purge looks at each event by itself", {
    why: "a minute loses a counted event and its slice while another event of it is uncounted, and is recounted short",
    scope: purge,
    wrong: { purges: "settled events" },
  }),
  control("a purged minute takes events again", {
    why: "retention is set longer, the id comes again with its old timestamp, and the minute is recounted short",
    scope: resentSameMinute,
    wrong: { floor: false },
  }),
  control("retention does not wait for appends under way", {
    why: "an append looks at the age, sleeps while the minute is purged, and inserts",
    scope: purge,
    wrong: { grace: false },
  }),
  control("majority reads without a causally consistent session", {
    why: "after a failover a scan does not see what the pass had read before, and the pass clears it",
    scope: failover,
    wrong: { reads: "majority only" },
  }),
];

function control(
  name: string,
  { why, scope, wrong, breaks = "what is settled is counted" }: {
    why: string;
    scope: Scope;
    wrong: Partial<Rules>;
    breaks?: Promised;
  },
): Control {
  return { name, why, scope, rules: { ...PROTOCOL, ...wrong }, breaks };
}
