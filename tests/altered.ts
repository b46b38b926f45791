/** Broken drivers for the controls: a sound one with some of its members replaced. */
import { AssertionError, assertRejects } from "@std/assert";
import fc from "fast-check";
import { type Case, caseNamed, runCase } from "./conformance.ts";

const CONTROL_SEED = 20_260_115;

/** A way to be wrong, and the cases that must notice. */
export interface Fault<Port> {
  readonly name: string;
  /** Members that replace those of a sound driver. */
  break(sound: Port): Partial<Port>;
  readonly noticedBy: readonly string[];
}

/** The driver with some members replaced. */
export function altered<Port extends object>(sound: Port, changes: Partial<Port>): Port {
  return new Proxy(sound, {
    get(target, key) {
      const value: unknown = Reflect.get(key in changes ? changes : target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Registers a control for each fault: with it, each of the cases named must fail a check of its own. */
export function testFaults<Port, Harness extends AsyncDisposable>(
  suite: string,
  options: {
    cases: readonly Case<Harness>[];
    faults: readonly Fault<Port>[];
    open(fault: Fault<Port>): Promise<Harness>;
  },
): void {
  // The same random events every time: a control must not depend on luck.
  fc.configureGlobal({ seed: CONTROL_SEED });
  for (const fault of options.faults) {
    Deno.test(`control: ${suite} that ${fault.name} is noticed`, async () => {
      for (const name of fault.noticedBy) {
        const error = await assertRejects(() => runCase(caseNamed(options.cases, name), () => options.open(fault)));
        if (error instanceof AssertionError || error.message.startsWith("Property failed")) continue;
        throw new Error(`"${name}" did not fail a check, it broke`, { cause: error });
      }
    });
  }
}
