/** Counts dead letters as they are added, so that somebody is told of them. */
import { Counter, type Registry } from "prom-client";
import type { DeadLetters } from "./dead_letters.ts";

/** The counters of one process. */
export class DeadLetterCounters {
  readonly #added: Counter<"code">;
  readonly #dropped: Counter;

  constructor(registry: Registry) {
    this.#added = new Counter({
      name: "eventhub_dead_letters_total",
      help: "Inbound entries put aside because they cannot be taken, by the reason",
      labelNames: ["code"],
      registers: [registry],
    });
    this.#dropped = new Counter({
      name: "eventhub_dead_letters_dropped_total",
      help: "Dead letters lost because there were too many",
      registers: [registry],
    });
  }

  /** The same dead letters, counted. One that is added again, as after a crash, counts again. */
  counting(letters: Pick<DeadLetters, "add">): Pick<DeadLetters, "add"> {
    return {
      add: async (added) => {
        const dropped = await letters.add(added);
        for (const { code } of added) this.#added.inc({ code });
        this.#dropped.inc(dropped);
        return dropped;
      },
    };
  }
}
