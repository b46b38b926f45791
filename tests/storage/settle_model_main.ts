/**
 * The large run of the settle model: `deno task model`. Explores every scope, then shows how each control is found
 * broken. Ends with 1 if a promise is broken or a control is not noticed.
 */
import { PROTOCOL, type Rules, type Scope } from "./settle_model.ts";
import { CONTROLS } from "./settle_model_controls.ts";
import { type Exploration, explore } from "./settle_model_explorer.ts";
import { LARGE_SCOPES, SMALL_SCOPES } from "./settle_model_scopes.ts";

/** More would not fit into 3 GB. */
const STATES_MAX = 40_000_000;
/** What the large run promises to look at. */
const STATES_MIN = 2_000_000;

/** Explores, and says what was found. */
function examine(name: string, scope: Scope, rules: Rules): Exploration {
  const start = performance.now();
  const found = explore(scope, rules, { statesMax: STATES_MAX });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const [states, transitions] = [found.states, found.transitions].map((count) => count.toLocaleString("en"));
  console.log(
    `${name.padEnd(60)} ${states!.padStart(11)} states ${transitions!.padStart(12)} steps ${seconds.padStart(5)} s`,
  );
  if (found.violation !== null) {
    const { promise, trace } = found.violation;
    console.log([`  breaks "${promise}" after ${trace.length} steps:`, ...trace].join("\n    "));
  }
  return found;
}

function main(): boolean {
  let [states, transitions, sound] = [0, 0, true];
  console.log("The protocol, in every scope:\n");
  for (const scope of [...Object.values<Scope>(SMALL_SCOPES), ...LARGE_SCOPES]) {
    const found = examine(scope.name, scope, PROTOCOL);
    states += found.states;
    transitions += found.transitions;
    sound &&= found.violation === null;
  }
  console.log(
    `\n${states.toLocaleString("en")} states, ${transitions.toLocaleString("en")} steps: ` +
      (sound ? "every promise is kept" : "A PROMISE IS BROKEN"),
  );
  console.log("\nControls, each of which must be found broken:\n");
  let unnoticed = 0;
  for (const { name, why, scope, rules, breaks } of CONTROLS) {
    const { violation } = examine(name, scope, rules);
    console.log(`  ${why}\n`);
    if (violation?.promise !== breaks) unnoticed += 1;
  }
  console.log(`${CONTROLS.length - unnoticed} of ${CONTROLS.length} controls are found broken`);
  return sound && unnoticed === 0 && states >= STATES_MIN;
}

Deno.exitCode = main() ? 0 : 1;
