/** Explores every state of a settle model, breadth first, so that what breaks a promise is found by a shortest way. */
import { type Model, modelOf, type Rules, type Scope } from "./settle_model.ts";
import { brokenBetween, brokenIn, canEnd, type Promised } from "./settle_model_promises.ts";
import { pack, State, STATE_WORDS, unpack } from "./settle_model_state.ts";
import { surroundingSteps } from "./settle_model_surroundings.ts";
import { NONE, StateTable } from "./settle_model_table.ts";
import { type Emit, workerSteps } from "./settle_model_worker.ts";

/** A broken promise, and the steps that lead to it. */
export interface Violation {
  readonly promise: Promised;
  readonly trace: readonly string[];
}

/** What was found. */
export interface Exploration {
  /** Distinct states; workers are interchangeable, so states that differ in who does what are one. */
  readonly states: number;
  readonly transitions: number;
  /** The names of all steps that were taken somewhere: what is not among them was not examined. */
  readonly steps: ReadonlySet<string>;
  /** `null` when every state that can be reached keeps every promise. */
  readonly violation: Violation | null;
}

/**
 * Explores until every state is seen or a promise is broken.
 *
 * @throws {RangeError} There are more states than `statesMax`.
 */
export function explore(scope: Scope, rules: Rules, { statesMax }: { statesMax: number }): Exploration {
  const model = modelOf(scope, rules);
  const table = new StateTable();
  const packed = new Uint32Array(STATE_WORDS);
  const steps = new Set<string>();
  let transitions = 0;
  let from = new State();
  let broken: Promised | null = null;
  let index = 0;
  const emit: Emit = (next, step) => {
    if (broken !== null) return;
    transitions += 1;
    steps.add(step);
    pack(next, packed, 0);
    broken = brokenBetween(model, from, next);
    if (broken !== null || !table.add(packed, index)) return;
    broken = brokenIn(model, next);
  };
  pack(from, packed, 0);
  table.add(packed, NONE);
  for (; index < table.count && broken === null; index++) {
    if (table.count > statesMax) throw new RangeError(`Cannot explore ${scope.name}: more than ${statesMax} states`);
    from = unpack(table.words, index * STATE_WORDS);
    stepsFrom(model, from, emit);
  }
  const violation = broken === null
    ? hopeless(model, table)
    : { promise: broken as Promised, trace: retrace(model, [...table.pathTo(index - 1), packed]) };
  return { states: table.count, transitions, steps, violation };
}

/** The first state from which not everything can be settled and published any more. */
function hopeless(model: Model, table: StateTable): Violation | null {
  for (let index = 0; index < table.count; index++) {
    const state = unpack(table.words, index * STATE_WORDS);
    if (!state.idle || canEnd(model, state)) continue;
    const trace = retrace(model, table.pathTo(index));
    return { promise: "everything can still be settled and published", trace };
  }
  return null;
}

/** Every step that is possible in a state. */
function stepsFrom(model: Model, state: State, emit: Emit): void {
  workerSteps(model, state, emit);
  surroundingSteps(model, state, emit);
}

/** Goes a way again and writes down its steps. States were packed with interchangeable workers: here each has its name. */
function retrace(model: Model, path: readonly Uint32Array[]): string[] {
  const lines: string[] = [];
  const packed = new Uint32Array(STATE_WORDS);
  let state = new State();
  for (const target of path.slice(1)) {
    let taken: State | null = null;
    stepsFrom(model, state, (next, step, worker, set) => {
      if (taken !== null) return;
      pack(next, packed, 0);
      if (packed.some((word, i) => word !== target[i])) return;
      taken = next;
      lines.push(line(model, next, { step, worker, set }));
    });
    if (taken === null) throw new Error(`Cannot retrace: no step leads on after "${lines.at(-1)}"`);
    state = taken;
  }
  return lines;
}

/** One step, and what is stored after it. */
function line(model: Model, next: State, { step, worker, set }: { step: string; worker: number; set: number }): string {
  const names = (some: number) =>
    `{${model.scope.insertions.filter((_, i) => (some & 1 << i) !== 0).map(({ name }) => name).join(" ")}}`;
  const who = worker < 0 ? "" : `worker ${worker + 1}: `;
  const cells = model.levels.map((_, level) => `${["slices", "minutes", "hours"][level]} ${names(next.cells[level]!)}`);
  const after = `events ${names(next.stored)} pend ${names(next.pend)} unpub ${names(next.unpub)} ${cells.join(" ")}`;
  return `${`${who}${step}${set === 0 ? "" : ` ${names(set)}`}`.padEnd(75)} | ${after}`;
}
