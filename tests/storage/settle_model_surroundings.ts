/** What goes on around the workers of the settle model: clients, the publisher, Redis, retention, failures. */
import { type Model, subsets } from "./settle_model.ts";
import type { State } from "./settle_model_state.ts";
import { type Emit, publish } from "./settle_model_worker.ts";

const NOBODY = -1;

/** Every step that is not a worker's. */
export function surroundingSteps(model: Model, state: State, emit: Emit): void {
  for (let i = 0; i < model.scope.insertions.length; i++) {
    append(model, state, { i, emit });
    if ((state.ever & ~state.published & 1 << i) !== 0 && !state.away) publishFirst(model, state, 1 << i, emit);
  }
  redis(model, state, emit);
  if (model.scope.happenings.failovers) failover(state, emit);
  if (model.scope.happenings.purges) {
    growOld(model, state, emit);
    purge(model, state, emit);
  }
}

/** Changes a copy. */
function after(state: State, change: (next: State) => void): State {
  const next = state.copy();
  change(next);
  return next;
}

/** Whether an event may be inserted: its minute is within retention, and above what was ever purged. */
function acceptable(model: Model, state: State, bit: number): boolean {
  return (model.oldest[state.old]! & bit) === 0 && (!model.rules.floor || (model.oldest[state.floor]! & bit) === 0);
}

/**
 * 1 append: looks at the age of the event, then inserts it. Only retention can tell that these are two steps, so
 * elsewhere they are one. While an id is stored, another insertion of it is a duplicate, which changes nothing.
 */
function append(model: Model, state: State, { i, emit }: { i: number; emit: Emit }): void {
  const bit = 1 << i;
  if ((state.ever & bit) !== 0) return;
  if ((state.sending & bit) === 0) {
    const { resends } = model.scope.insertions[i]!;
    if (resends !== undefined && (state.purged & 1 << resends) === 0) return;
    if (!acceptable(model, state, bit)) return;
    if (model.scope.happenings.purges) {
      return emit(after(state, (next) => next.sending |= bit), "1 append: taken", NOBODY, bit);
    }
  }
  const next = after(state, (next) => {
    next.sending &= ~bit;
    next.stored |= bit;
    next.pend |= bit;
  });
  emit(next, "1 append: inserted", NOBODY, bit);
}

/** 2 publish: best effort, so that it may come late or never. Publishing again would change nothing more. */
function publishFirst(model: Model, state: State, bit: number, emit: Emit): void {
  emit(after(state, (next) => publish(model, next, bit)), "2 publish", NOBODY, bit);
}

function redis(model: Model, state: State, emit: Emit): void {
  const { stream, losses, outages } = model.scope.happenings;
  if (outages) {
    const step = state.away ? "Redis comes back" : "Redis goes away";
    emit(after(state, (next) => next.away = !state.away), step, NOBODY, 0);
  }
  if (!stream || state.entries === 0) return;
  if (losses) emit(after(state, (next) => next.entries = 0), "Redis loses everything", NOBODY, state.entries);
  if (state.away) return;
  const readable = state.pend & ~state.hidden;
  const matching = model.rules.pendNames === "insertion" ? readable : model.sameIds[readable]!;
  const none = state.entries & ~matching;
  if (none === 0) return;
  emit(after(state, (next) => next.entries &= ~none), "3 read: entries match none, XACK", NOBODY, none);
}

/**
 * A new primary does not know yet that the newest events are on a majority, and majority reads do not show them: also
 * not to a worker that has read them from the old primary.
 */
function failover(state: State, emit: Emit): void {
  if (state.hidden !== 0) {
    return emit(after(state, (next) => next.hidden = 0), "the primary has caught up", NOBODY, state.hidden);
  }
  for (const set of subsets(state.pend)) {
    emit(after(state, (next) => next.hidden = set), "a new primary is behind", NOBODY, set);
  }
}

/** Time passes over a minute; or retention is set longer, so that old minutes are young again. */
function growOld(model: Model, state: State, emit: Emit): void {
  if (state.old < model.oldest.length - 1) {
    const older = model.oldest[state.old + 1]!;
    // Events are purged an hour later than they are refused, and no append is under way for so long.
    if (!model.rules.grace || (state.sending & older) === 0) {
      emit(after(state, (next) => next.old += 1), "a minute is older than retention", NOBODY, older);
    }
  }
  if (state.old > 0) emit(after(state, (next) => next.old = 0), "retention is set longer", NOBODY, 0);
}

/**
 * Purge: the floor is raised, then events are listed, then deleted one by one, then the slices they left. A delete may
 * be repeated at any time, because its answer was lost or because another process lists the same.
 */
function purge(model: Model, state: State, emit: Emit): void {
  const { rules, levels } = model;
  if (state.floor < state.old) {
    emit(after(state, (next) => next.floor = next.old), "purge: floor raised", NOBODY, model.oldest[state.old]!);
  }
  const below = model.oldest[state.floor]!;
  const begins = rules.purges === "settled events" || (state.pend & below) === 0;
  const due = state.stored & below & deletable(model, state);
  if (state.listed === 0 && begins && due !== 0) {
    emit(after(state, (next) => next.listed = due), "purge: lists what is due", NOBODY, due);
  }
  if (state.listed !== 0) {
    emit(after(state, (next) => next.listed = 0), "purge: ends", NOBODY, state.listed);
    for (let bit = 1; bit <= state.listed; bit <<= 1) {
      if ((state.listed & bit) !== 0) purgeEvent(model, state, bit, emit);
    }
  }
  for (const slice of levels[0]!) {
    const left = state.cells[0]! & slice & below;
    if (left === 0 || (state.stored & slice) !== 0) continue;
    emit(after(state, (next) => next.cells[0]! &= ~slice), "purge: slice deleted with its events", NOBODY, left);
  }
}

/** What is settled, and published for certain. */
function deletable({ rules }: Model, state: State): number {
  return ~state.pend & (rules.deletes === "without unpub" ? -1 : ~state.unpub);
}

/** The conditions stand in the delete itself: received long ago, no `pend`, no `unpub`. */
function purgeEvent(model: Model, state: State, bit: number, emit: Emit): void {
  const { deletes } = model.rules;
  const named = deletes === "by id alone" || deletes === "without receivedAt"
    ? model.sameIds[bit]!
    : bit & model.oldest[state.floor]!;
  const victim = state.stored & named & (deletes === "by id alone" ? -1 : deletable(model, state));
  if (victim === 0) return;
  const next = after(state, (next) => {
    next.stored &= ~victim;
    next.pend &= ~victim;
    next.unpub &= ~victim;
    next.hidden &= ~victim;
    next.purged |= victim;
  });
  emit(next, "purge: event deleted", NOBODY, victim);
}
