/**
 * A model of how the MongoDB driver counts events: docs/design.md, "settle by recomputing, without transactions".
 *
 * The protocol is written down as single steps, each of which is one operation on the database or on Redis. The
 * explorer takes them in every order that is possible, with crashes and losses in between, and looks at every state.
 * What is modelled, by the names of the driver:
 *
 * - append, publish, read, recompute slices, minutes and hours, clear, acknowledge: `settle_model_worker.ts`, and
 *   what clients, Redis, retention and failures do: `settle_model_surroundings.ts`;
 * - what must hold in every state: `settle_model_promises.ts`;
 * - which events, workers and failures are put together: `settle_model_scopes.ts`;
 * - ways to be wrong, which must be found: `settle_model_controls.ts`.
 *
 * An **insertion** is one successful insert of an event: an id that is purged and sent again is a second insertion.
 * Everything is a set of insertions, held as bits of a number. A cell (a slice, a minute or an hour) is the set of
 * insertions it has counted; its `n` is the size of that set. Times do not exist: a worker may sleep between any two
 * steps for as long as it likes, so every worker is a stale one in some of the runs.
 */

/** Insertions in a scope at most: a set of them is four bits of a packed state. */
export const INSERTIONS_MAX = 4;
/** Minutes in a scope at most. */
export const MINUTES_MAX = 3;
/** Workers in a scope at most. */
export const WORKERS_MAX = 3;

/** One insertion that may happen, and where it is counted. Minutes are numbered from the oldest. */
export interface Insertion {
  readonly name: string;
  readonly slice: number;
  readonly minute: number;
  readonly hour: number;
  /** The insertion of the same id that must be purged first: before that, this one would be a duplicate. */
  readonly resends?: number;
}

/** Failures and chores that a scope knows; what is left out never happens in it. */
export interface Happenings {
  /** Workers die at any moment and lose what they hold. */
  readonly crashes: boolean;
  /** A pass may read any part of what it could; otherwise it reads all, which leaves fewer states. */
  readonly partialReads: boolean;
  /** Redis delivers entries. Without it, workers have the sweep alone. */
  readonly stream: boolean;
  /** Redis loses every entry at once. */
  readonly losses: boolean;
  /** Redis goes away and comes back. While it is away, nothing is published, delivered or acknowledged. */
  readonly outages: boolean;
  /** Workers sweep: they settle events whatever Redis says, and publish what the clearing marked. */
  readonly sweeps: boolean;
  /** Retention purges old minutes, its settings change, and purged ids are sent again. */
  readonly purges: boolean;
  /** MongoDB changes its primary; the new one answers majority reads from behind for a while. */
  readonly failovers: boolean;
}

/** What is explored in one run. */
export interface Scope {
  readonly name: string;
  readonly insertions: readonly Insertion[];
  readonly workers: number;
  /** Whether hours are merged from minutes as well. */
  readonly hours: boolean;
  readonly happenings: Happenings;
}

/**
 * The points of the protocol at which one can be wrong. `PROTOCOL` has each of them right; a control changes one.
 */
export interface Rules {
  /** Step 4 replaces a cell only if the new count is not smaller; `none` replaces whatever is there. */
  readonly guard: "slices and minutes" | "slices only" | "minutes only" | "none";
  /** Step 4, when an upsert answers 11000: the same without upsert, or nothing, as if another had done the work. */
  readonly afterDuplicateKey: "repeat without upsert" | "done";
  /** Step 4 recomputes cells from what is stored, or adds what was read to them. */
  readonly counting: "recompute" | "increment";
  /** Step 5 clears exactly what step 3 read, or what the scans met on their way, or all that the slices hold by now. */
  readonly clears: "what was read" | "what the scan saw" | "all of the slice";
  /** Step 5 comes after the last level, or after the slices. */
  readonly clearsAfter: "all levels" | "slices";
  /** `pend` is a new value with each insertion, or no more than the id. */
  readonly pendNames: "insertion" | "id";
  /** Step 6 marks what it clears, so that it is published. */
  readonly sweepMarks: boolean;
  /** Step 6 removes the mark after publishing, or before it. */
  readonly unmarks: "after publishing" | "before publishing";
  /** What step 6 asks of an event to remove its mark: that it is the insertion it published, or the id alone. */
  readonly unpubNames: "insertion" | "id";
  /** What stands in retention's delete beside the ids it once listed: all conditions, all but one, or none. */
  readonly deletes: "with conditions" | "without receivedAt" | "without unpub" | "by id alone";
  /**
   * Retention starts on minutes only when no event of them is uncounted any more, which it asks after it has raised the
   * floor; or it looks at each event by itself.
   */
  readonly purges: "settled minutes" | "settled events";
  /**
   * A minute that retention has begun on takes no event any more, whatever the settings are now: the whole minute, not
   * only what is not newer than the newest event purged.
   */
  readonly floor: boolean;
  /** Retention waits for longer than any append takes. */
  readonly grace: boolean;
  /** The reads of a pass never go back behind what the pass has read, whichever server answers. */
  readonly reads: "causal" | "majority only";
}

/** The protocol as it is meant. */
export const PROTOCOL: Rules = {
  guard: "slices and minutes",
  afterDuplicateKey: "repeat without upsert",
  counting: "recompute",
  clears: "what was read",
  clearsAfter: "all levels",
  pendNames: "insertion",
  sweepMarks: true,
  unmarks: "after publishing",
  unpubNames: "insertion",
  deletes: "with conditions",
  purges: "settled minutes",
  floor: true,
  grace: true,
  reads: "causal",
};

/** One instruction of a worker; it is carried out in one step. */
export interface Instruction {
  readonly kind: "idle" | "scan" | "replace" | "insert" | "repeat" | "increment" | "clear" | "acknowledge" | "unmark";
  /** 0: slices, 1: minutes, 2: hours. */
  readonly level: number;
  /** The insertions of the cell that is worked on; a worker that has read none of them leaves it out. */
  readonly cell: number;
  /** The document that a scan reads now: an event, a slice or a minute, as the insertions it may hold. */
  readonly part: number;
  /** Where the next cell begins. */
  readonly after: number;
}

/** A scope and rules, made ready for exploring. */
export interface Model {
  readonly scope: Scope;
  readonly rules: Rules;
  /** All insertions. */
  readonly all: number;
  /** The cells of each level. */
  readonly levels: readonly (readonly number[])[];
  /** What a worker does, from reading to acknowledging. Instruction 0 is idleness. */
  readonly program: readonly Instruction[];
  readonly unmark: number;
  /** For each set of insertions, all those that share an id with one of them. */
  readonly sameIds: readonly number[];
  /** For each number of minutes, the insertions of as many of the oldest minutes. */
  readonly oldest: readonly number[];
}

/** The size of a set. */
export function size(set: number): number {
  let left = set;
  let count = 0;
  for (; left !== 0; left &= left - 1) count += 1;
  return count;
}

/** The sets of one that make up a set. */
export function members(set: number): number[] {
  const found: number[] = [];
  for (let left = set; left !== 0; left &= left - 1) found.push(left & -left);
  return found;
}

/** The sets within a set, but for the empty one. */
export function subsets(set: number): number[] {
  const found: number[] = [];
  for (let one = set; one !== 0; one = (one - 1) & set) found.push(one);
  return found;
}

/** The insertions with a property, grouped by it in ascending order. */
function grouped(insertions: readonly Insertion[], by: "slice" | "minute" | "hour"): number[] {
  const groups: number[] = [];
  insertions.forEach((insertion, i) => groups[insertion[by]] = (groups[insertion[by]] ?? 0) | 1 << i);
  return groups.filter((group) => group !== undefined);
}

/** Step 4 of the protocol for each cell that a worker may touch, then steps 5 and the acknowledgement. */
function programOf(scope: Scope, rules: Rules, levels: readonly (readonly number[])[]): Instruction[] {
  const all = (1 << scope.insertions.length) - 1;
  const whole = { level: 0, cell: all, part: 0 };
  const program: Instruction[] = [{ ...whole, kind: "idle", after: 1 }];
  const add = (kind: Instruction["kind"]) => program.push({ ...whole, kind, after: program.length + 1 });
  levels.forEach((cells, level) => {
    if (rules.counting === "recompute") {
      for (const cell of cells) {
        const parts = level === 0 ? members(cell) : levels[level - 1]!.filter((part) => (part & cell) !== 0);
        const after = program.length + parts.length + 3;
        for (const part of parts) program.push({ kind: "scan", level, cell, part, after });
        for (const kind of ["replace", "insert", "repeat"] as const) {
          program.push({ kind, level, cell, part: 0, after });
        }
      }
    } else if (level > 0) program.push({ ...whole, level, kind: "increment", after: program.length + 1 });
    if (level === 0 && rules.clearsAfter === "slices") add("clear");
  });
  if (rules.clearsAfter === "all levels") add("clear");
  if (scope.happenings.stream) add("acknowledge");
  add("unmark");
  return program;
}

/** Makes a scope ready for exploring under rules. */
export function modelOf(scope: Scope, rules: Rules): Model {
  const { insertions } = scope;
  const minutesCount = new Set(insertions.map(({ minute }) => minute)).size;
  if (insertions.length > INSERTIONS_MAX || scope.workers > WORKERS_MAX || minutesCount > MINUTES_MAX) {
    throw new RangeError(`Cannot pack the scope: ${scope.name}`);
  }
  const levels = (["slice", "minute", "hour"] as const).slice(0, scope.hours ? 3 : 2)
    .map((by) => grouped(insertions, by));
  const all = (1 << insertions.length) - 1;
  const program = programOf(scope, rules, levels);
  const idOf = (i: number) => insertions[i]!.resends ?? i;
  const sameIds = Array.from({ length: all + 1 }, (_, set) => {
    const ids = insertions.map((_, i) => i).filter((i) => (set & 1 << i) !== 0).map(idOf);
    return insertions.reduce((same, _, i) => ids.includes(idOf(i)) ? same | 1 << i : same, 0);
  });
  const minutes = levels[1]!;
  const oldest = Array.from(
    { length: minutes.length + 1 },
    (_, count) => minutes.slice(0, count).reduce((sum, one) => sum | one, 0),
  );
  return { scope, rules, all, levels, program, unmark: program.length - 1, sameIds, oldest };
}
