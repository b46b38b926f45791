/** What a worker of the settle model does: steps 3 to 6 of the protocol, one operation at a time. */
import { members, type Model, size, subsets } from "./settle_model.ts";
import { packWorker, type State, unpackWorker, type Worker } from "./settle_model_state.ts";

/**
 * Takes what a step leads to.
 *
 * @param next The state after the step; the receiver may keep it.
 * @param step What was done.
 * @param worker Who did it, or -1.
 * @param set The insertions it was done with.
 */
export type Emit = (next: State, step: string, worker: number, set: number) => void;

const LEVEL_NAMES = ["slice", "minute", "hour"];
const RECOMPUTE = LEVEL_NAMES.map((name) => ({
  scan: `4 recompute ${name}: scans a document`,
  nothing: `4 recompute ${name}: found nothing to write`,
  replaced: `4 recompute ${name}: replaced`,
  absent: `4 recompute ${name}: none with a smaller n, tries to insert`,
  inserted: `4 recompute ${name}: inserted`,
  duplicateKey: `4 recompute ${name}: 11000`,
  repeated: `4 recompute ${name}: replaced without upsert`,
  fuller: `4 recompute ${name}: matched 0, a fuller one is there`,
  increment: `increments each ${name}`,
}));

/** Every step that workers can take. */
export function workerSteps(model: Model, state: State, emit: Emit): void {
  let idleSeen = false;
  for (let i = 0; i < model.scope.workers; i++) {
    const worker = unpackWorker(state.workers[i]!);
    if (worker.at !== 0) {
      step(model, state, { worker, i, emit });
      if (model.scope.happenings.crashes) emit(goTo(state, i, null), "crash", i, 0);
    } else if (!idleSeen) {
      // Idle workers are alike: what one can begin is what any can begin.
      idleSeen = true;
      begin(model, state, i, emit);
    }
  }
}

/** A copy of the state in which a worker holds this; `null` is nothing. */
function goTo(state: State, i: number, worker: Worker | null): State {
  const next = state.copy();
  next.workers[i] = worker === null ? 0 : packWorker(worker);
  return next;
}

/** The next instruction from `at` on that concerns what the worker has read. */
function instructionFrom(model: Model, at: number, read: number): number {
  let next = at;
  while ((model.program[next]!.cell & read) === 0) next = model.program[next]!.after;
  return next;
}

/** The worker, done with a cell. */
function onwards(model: Model, worker: Worker, after: number): Worker {
  return { ...worker, at: instructionFrom(model, after, worker.read), counted: 0 };
}

/** 3 read: any of the entries delivered, any of the events with `pend` for ten seconds; or 6: any with `unpub`. */
function begin(model: Model, state: State, i: number, emit: Emit): void {
  const { stream, sweeps, partialReads } = model.scope.happenings;
  const readings = (set: number) => partialReads ? subsets(set) : set === 0 ? [] : [set];
  const readable = state.pend & ~state.hidden;
  const read = (set: number, sweeping: boolean) =>
    goTo(state, i, { at: instructionFrom(model, 1, set), sweeping, read: set, counted: 0 });
  if (stream && !state.away) {
    const entries = model.rules.pendNames === "insertion" ? state.entries : model.sameIds[state.entries]!;
    for (const set of readings(entries & readable)) emit(read(set, false), "3 read: entries delivered", i, set);
  }
  if (!sweeps) return;
  for (const set of readings(readable)) emit(read(set, true), "6 sweep: read with pend", i, set);
  if (state.away) return;
  for (const set of readings(state.unpub & ~state.hidden)) beginPublishing(model, state, { i, set, emit });
}

/** 6 sweep: publishes what an earlier clearing marked; the mark is removed in a step of its own. */
function beginPublishing(model: Model, state: State, { i, set, emit }: { i: number; set: number; emit: Emit }): void {
  const next = goTo(state, i, { at: model.unmark, sweeping: true, read: set, counted: 0 });
  if (model.rules.unmarks === "before publishing") {
    next.unpub &= ~set;
    return emit(next, "6 sweep: unpub unset", i, set);
  }
  publish(model, next, set);
  emit(next, "6 sweep: published again", i, set);
}

/** XADD: the entries are there, for the group and for live subscribers. */
export function publish(model: Model, next: State, set: number): void {
  next.published |= set;
  if (model.scope.happenings.stream) next.entries |= set;
}

interface Turn {
  readonly worker: Worker;
  readonly i: number;
  readonly emit: Emit;
}

function step(model: Model, state: State, turn: Turn): void {
  const { worker, i, emit } = turn;
  const instruction = model.program[worker.at]!;
  switch (instruction.kind) {
    case "scan":
      return scan(model, state, turn);
    case "replace":
    case "insert":
    case "repeat":
      return write(model, state, turn);
    case "increment": {
      const next = goTo(state, i, onwards(model, worker, instruction.after));
      next.twice |= next.cells[instruction.level]! & worker.read;
      next.cells[instruction.level]! |= worker.read;
      return emit(next, RECOMPUTE[instruction.level]!.increment, i, worker.read);
    }
    case "clear":
      return clear(model, state, turn);
    case "acknowledge": {
      if (state.away) return emit(goTo(state, i, null), "5 XACK fails: Redis is away", i, worker.read);
      const next = goTo(state, i, null);
      next.entries &= ~worker.read;
      return emit(next, "5 XACK", i, worker.read);
    }
    case "unmark":
      return unmark(model, state, turn);
    case "idle":
      throw new Error("Cannot step: the worker is idle");
  }
}

/** 4 recompute: reads one document of the cell, as it is now. The next one is read in another step. */
function scan(model: Model, state: State, { worker, i, emit }: Turn): void {
  const { level, part, cell } = model.program[worker.at]!;
  // In a causally consistent session the server answers once it has caught up with what the session has read.
  if (state.hidden !== 0 && model.rules.reads === "causal") return;
  const found = level === 0 ? state.stored & part & ~state.hidden : state.cells[level - 1]! & part;
  const counted = worker.counted | found;
  const saw = model.rules.clears === "what the scan saw" && level === 0 ? found & state.pend : 0;
  const next = { ...worker, at: worker.at + 1, counted, read: worker.read | saw };
  const lastPart = model.program[next.at]!.kind !== "scan";
  if (lastPart && counted === 0) {
    // All that was read is purged by now.
    const after = onwards(model, next, model.program[next.at]!.after);
    return emit(goTo(state, i, after), RECOMPUTE[level]!.nothing, i, cell);
  }
  emit(goTo(state, i, next), RECOMPUTE[level]!.scan, i, found);
}

/** Whether rules guard the cells of a level. */
function guarded({ rules: { guard } }: Model, level: number): boolean {
  return guard === "slices and minutes" || guard === (level === 0 ? "slices only" : "minutes only");
}

/**
 * 4 recompute: `updateOne({_id, n: {$lte: n}}, {$set}, {upsert: true})` and what follows on 11000. The server looks
 * for the document and inserts one in two steps, and does not try again by itself.
 */
function write(model: Model, state: State, { worker, i, emit }: Turn): void {
  const { kind, level, cell, after } = model.program[worker.at]!;
  const stored = state.cells[level]! & cell;
  const may = !guarded(model, level) || size(stored) <= size(worker.counted);
  const name = RECOMPUTE[level]!;
  const done = () => {
    const next = goTo(state, i, onwards(model, worker, after));
    next.cells[level] = next.cells[level]! & ~cell | worker.counted;
    return next;
  };
  const pass = () => goTo(state, i, onwards(model, worker, after));
  if (kind === "insert") {
    if (stored === 0) return emit(done(), name.inserted, i, worker.counted);
    const repeats = model.rules.afterDuplicateKey === "repeat without upsert";
    const next = repeats ? goTo(state, i, { ...worker, at: worker.at + 1 }) : pass();
    return emit(next, name.duplicateKey, i, worker.counted);
  }
  if (stored !== 0 && may) {
    return emit(done(), kind === "replace" ? name.replaced : name.repeated, i, worker.counted);
  }
  if (kind === "repeat") return emit(pass(), name.fuller, i, worker.counted);
  emit(goTo(state, i, { ...worker, at: worker.at + 1 }), name.absent, i, worker.counted);
}

/** The insertions of the slices that hold one of a set. */
function slicesOf(model: Model, set: number): number {
  return model.levels[0]!.reduce((sum, slice) => (slice & set) === 0 ? sum : sum | slice, 0);
}

/**
 * 5 clear: `events.updateMany({_id: {$in}, pend: {$in}}, {$unset: {pend}})`; the sweep sets `unpub` as well. The server
 * changes the events one by one, in any order, and the worker may die on the way.
 */
function clear(model: Model, state: State, { worker, i, emit }: Turn): void {
  const { clears, pendNames, sweepMarks } = model.rules;
  const named = clears === "all of the slice" ? slicesOf(model, worker.read) : worker.read;
  const matching = (set: number) => (pendNames === "id" ? model.sameIds[set]! : set) & state.pend;
  const targets = members(named & ~worker.counted).filter((bit) => matching(bit) !== 0);
  if (targets.length === 0) return emit(goTo(state, i, cleared(model, worker)), "5 clear: matched 0", i, 0);
  for (const bit of targets) {
    const matched = matching(bit);
    const rest = { ...worker, counted: worker.counted | bit };
    const next = goTo(state, i, targets.length === 1 ? cleared(model, worker) : rest);
    next.pend &= ~matched;
    const marks = worker.sweeping && sweepMarks;
    if (marks) next.unpub |= matched;
    emit(next, marks ? "5 clear: pend unset, unpub set" : "5 clear: pend unset", i, matched);
  }
}

/** What follows the clearing: more levels, where the clearing came too early, or the acknowledgement. */
function cleared(model: Model, worker: Worker): Worker | null {
  const after = onwards(model, worker, worker.at + 1);
  const { kind } = model.program[after.at]!;
  // What the sweep found was not delivered, so there is nothing to acknowledge.
  if (kind === "unmark" || (kind === "acknowledge" && worker.sweeping)) return null;
  return after;
}

/** 6 sweep: what was published is unmarked. */
function unmark(model: Model, state: State, { worker, i, emit }: Turn): void {
  const next = goTo(state, i, null);
  if (model.rules.unmarks === "before publishing") {
    if (state.away) return;
    publish(model, next, worker.read);
    return emit(next, "6 sweep: published again", i, worker.read);
  }
  const matched = model.rules.unpubNames === "id" ? model.sameIds[worker.read]! : worker.read;
  next.unpub &= ~matched;
  emit(next, "6 sweep: unpub unset", i, matched);
}
