/**
 * Which events, workers and failures are put together. Each scope is explored to its end; a promise kept in it is kept
 * for good, because nothing in it is bounded but the number of insertions and of workers.
 */
import type { Happenings, Insertion, Scope } from "./settle_model.ts";

/** Workers that sweep, and die. */
const SWEEPING: Happenings = {
  crashes: true,
  partialReads: true,
  stream: false,
  losses: false,
  outages: false,
  sweeps: true,
  purges: false,
  failovers: false,
};
/** Redis as well, which may lose everything. */
const STREAMING: Happenings = { ...SWEEPING, stream: true, losses: true };

/** An insertion; by default in the first slice of the first minute. */
function insertion(name: string, place: Partial<Insertion> = {}): Insertion {
  return { name, slice: 0, minute: 0, hour: 0, ...place };
}

const A = insertion("A");
const B = insertion("B");
/** Two events of one slice. */
const ONE_SLICE = [A, B];
/** Two events of two slices of one minute. */
const TWO_SLICES = [A, insertion("B", { slice: 1 })];
/** Two events of two minutes. */
const TWO_MINUTES = [A, insertion("B", { slice: 1, minute: 1 })];
/** Three events in two slices of one minute. */
const SHARED_MINUTE = [A, B, insertion("C", { slice: 1 })];
/** An event that is purged and sent again with a newer timestamp. */
const RESENT = [A, insertion("A again", { slice: 1, minute: 1, resends: 0 })];
/** The same beside another event of the purged minute. */
const RESENT_BESIDE = [A, insertion("B", { slice: 1 }), insertion("A again", { slice: 2, minute: 1, resends: 0 })];

/** Two events of a minute that are purged and sent again. */
const BOTH_RESENT = [...RESENT_BESIDE, insertion("B again", { slice: 2, minute: 1, resends: 1 })];

/** The scopes of the short run; the controls are found in these, so that the change alone makes the difference. */
export const SMALL_SCOPES = {
  oneEvent: scope("one event, Redis loses and goes away", [A], 2, { ...STREAMING, outages: true }),
  oneSlice: scope("two events of a slice", ONE_SLICE, 2, STREAMING),
  oneSliceSwept: scope("two events of a slice, without Redis, three workers", ONE_SLICE, 3, SWEEPING),
  twoSlices: scope("two slices of a minute", TWO_SLICES, 2, SWEEPING),
  threeEvents: scope("three events of a minute, one worker", SHARED_MINUTE, 1, STREAMING),
  threeEventsTwoWorkers: scope("three events of a slice, two workers", [A, B, insertion("C")], 2, SWEEPING),
  hours: {
    ...scope("two minutes of an hour", TWO_MINUTES, 2, SWEEPING),
    hours: true,
  },
  purge: scope("two events, purge", TWO_SLICES, 2, { ...SWEEPING, purges: true }),
  resent: scope("purge and resend", RESENT, 2, { ...SWEEPING, purges: true }),
  resentStreaming: scope("purge and resend, with Redis", RESENT, 1, { ...STREAMING, purges: true }),
  resentSameMinute: scope(
    "purge and resend into the same minute",
    [A, insertion("A again", { slice: 1, resends: 0 })],
    2,
    { ...SWEEPING, purges: true },
  ),
  failover: scope("two events of a slice, failovers", ONE_SLICE, 2, { ...SWEEPING, failovers: true }),
} satisfies Record<string, Scope>;

/** The scopes that `deno task model` explores as well. */
export const LARGE_SCOPES: readonly Scope[] = [
  scope("three events of two slices, two workers", SHARED_MINUTE, 2, SWEEPING),
  scope("three events of two slices, three workers that live and read all", SHARED_MINUTE, 3, {
    ...SWEEPING,
    crashes: false,
    partialReads: false,
  }),
  scope("two events of a slice, Redis, three workers", ONE_SLICE, 3, STREAMING),
  scope("two slices of a minute, Redis, three workers", TWO_SLICES, 3, STREAMING),
  scope("two events of a slice, Redis goes away, three workers", ONE_SLICE, 3, { ...STREAMING, outages: true }),
  scope("purge and resend, three workers", RESENT, 3, { ...SWEEPING, purges: true }),
  scope("purge and resend, Redis goes away, two workers", RESENT, 2, { ...STREAMING, purges: true, outages: true }),
  scope("purge and resend beside another, two workers", RESENT_BESIDE, 2, { ...SWEEPING, purges: true }),
  scope("purge and resend beside another, Redis, reads of all", RESENT_BESIDE, 2, {
    ...STREAMING,
    purges: true,
    partialReads: false,
  }),
  scope("purge and resend of two events, reads of all", BOTH_RESENT, 2, {
    ...SWEEPING,
    purges: true,
    partialReads: false,
  }),
  { ...scope("two minutes of an hour, three workers", TWO_MINUTES, 3, SWEEPING), hours: true },
  {
    ...scope(
      "three events of two minutes of an hour",
      [...TWO_SLICES, insertion("C", { slice: 2, minute: 1 })],
      2,
      SWEEPING,
    ),
    hours: true,
  },
  scope("two events of a slice, failovers, three workers", ONE_SLICE, 3, { ...SWEEPING, failovers: true }),
];

function scope(name: string, insertions: readonly Insertion[], workers: number, happenings: Happenings): Scope {
  return { name, insertions, workers, hours: false, happenings };
}
