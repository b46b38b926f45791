/** What must hold in every state of the settle model, and that there is always a way to the end. */
import { type Happenings, type Model, size } from "./settle_model.ts";
import type { State } from "./settle_model_state.ts";
import { workerSteps } from "./settle_model_worker.ts";

const NOTHING: Happenings = {
  crashes: false,
  partialReads: false,
  stream: false,
  losses: false,
  outages: false,
  sweeps: false,
  purges: false,
  failovers: false,
};

/** A promise that a run can break. */
export type Promised =
  | "what is settled is counted"
  | "nothing is counted twice"
  | "no count goes down"
  | "what is neither pending nor marked was published"
  | "nothing is purged before its time"
  | "everything can still be settled and published";

/** The promise that a state breaks, or `null`. */
export function brokenIn(model: Model, state: State): Promised | null {
  const ever = state.ever;
  for (let level = 1; level < model.levels.length; level++) {
    for (const cell of model.levels[level]!) {
      // Not only when all workers rest: no pend left means counted, whatever stale workers still hold.
      if ((state.pend & cell) === 0 && (state.cells[level]! & cell) !== (ever & cell)) {
        return "what is settled is counted";
      }
    }
  }
  if (state.twice !== 0) return "nothing is counted twice";
  if ((ever & ~state.pend & ~state.unpub & ~state.published) !== 0) {
    return "what is neither pending nor marked was published";
  }
  if ((state.purged & ~model.oldest[state.floor]!) !== 0) return "nothing is purged before its time";
  return null;
}

/** The promise that a step breaks, or `null`. */
export function brokenBetween(model: Model, before: State, next: State): Promised | null {
  for (let level = 1; level < model.levels.length; level++) {
    const [was, is] = [before.cells[level]!, next.cells[level]!];
    if (was === is) continue;
    for (const cell of model.levels[level]!) {
      if (size(is & cell) < size(was & cell)) return "no count goes down";
    }
  }
  return null;
}

/**
 * Whether the sweep alone settles everything from a state without working workers, while Redis is away, and then
 * publishes all that is marked. A crash leads to such a state from any other, so this shows that nothing is ever lost
 * for good.
 */
export function canEnd(model: Model, state: State): boolean {
  const alone = state.copy();
  alone.away = true;
  alone.hidden = 0;
  const settled = run(model, alone);
  if (settled.pend !== 0 || brokenIn(model, settled) !== null) return false;
  settled.away = false;
  const published = run(model, settled, settled.unpub);
  return published.unpub === 0 && brokenIn(model, published) === null;
}

/** One worker does the largest piece of work there is, without any disturbance. */
function run(model: Model, from: State, work = from.pend): State {
  if (work === 0) return from;
  const happenings = { ...NOTHING, sweeps: model.scope.happenings.sweeps };
  const alone = { ...model, scope: { ...model.scope, workers: 1, happenings } };
  let state = from;
  do {
    let next: State | null = null;
    workerSteps(alone, state, (candidate) => next ??= candidate);
    if (next === null) return state;
    state = next;
  } while (!state.idle);
  return state;
}
