/** Which cells a pass changed, for the hubs that follow windows. */
import { CELLS_ENTRIES_MAX, CELLS_PER_ENTRY_MAX } from "../limits.ts";
import type { ChangedCell } from "../stream.ts";
import { minuteOf } from "../window.ts";
import type { EventDocument } from "./mongodb_documents.ts";

/** More names than the stream keeps tell nobody anything: whoever is that far behind reads all windows anew. */
const NAMED_MAX = CELLS_PER_ENTRY_MAX * CELLS_ENTRIES_MAX;

/** The cells that events change, each once, as far as anybody would hear of them. */
export class ChangedCells {
  readonly #byKey = new Map<string, ChangedCell>();
  readonly #max: number;

  constructor({ max = NAMED_MAX }: { max?: number } = {}) {
    this.#max = max;
  }

  add(events: readonly Pick<EventDocument, "tenant" | "timestamp" | "event_type">[]): void {
    for (const { tenant, timestamp, event_type: eventType } of events) {
      if (this.#byKey.size >= this.#max) return;
      const start = minuteOf(timestamp.getTime());
      this.#byKey.set(`${tenant} ${start} ${eventType}`, { tenant, start, eventType });
    }
  }

  get cells(): readonly ChangedCell[] {
    return [...this.#byKey.values()];
  }
}
