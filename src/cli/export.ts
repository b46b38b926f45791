/** `export`: everything a store holds, as NDJSON on standard output. */
import { Command } from "commander";
import { createHash } from "node:crypto";
import { TRANSFER_CELLS_PAGE, TRANSFER_EVENTS_PAGE } from "../limits.ts";
import type { StoreTransfer } from "../transfer.ts";
import { Incomplete } from "./failure.ts";
import { Progress } from "./progress.ts";
import { note, onInterrupt, OutputClosed, print, shown } from "./terminal.ts";
import { formatLine, type TransferLine } from "./transfer_lines.ts";
import { openStore, PASSWORD_HELP, storeOption } from "./transfer_store.ts";
import { groupsOf, summarise, type Summary, Totals } from "./transfer_summary.ts";

const EXAMPLES = `
The hub on a SQLite file must be stopped first, and what writes into MongoDB should be: an export of a store that changes
meanwhile ends with exit code 1. The file holds every event, those of erased users without them, and the metrics of what
retention purged.

Examples:
  deno task transfer export > events.ndjson
  deno task transfer export --store sqlite:./data/eventhub.db > events.ndjson
  deno task transfer export --store mongodb://localhost:27017/event_hub > events.ndjson${PASSWORD_HELP}`;

/** The command. */
export function exportCommand(): Command {
  return new Command("export")
    .description("write everything a store holds to standard output, for import (run as: deno task transfer export)")
    .addOption(storeOption())
    .addHelpText("after", EXAMPLES)
    .action(async ({ store }: { store?: string }) => {
      using interrupted = onInterrupt();
      await using open = await openStore(store, { mustExist: true, signal: interrupted });
      await open.transfer.begin();
      try {
        await new Export(open.transfer, interrupted).run(open.store.name);
      } catch (error) {
        if (error instanceof OutputClosed) {
          throw new Incomplete("Standard output was closed before the end of the export");
        }
        throw error;
      }
    });
}

/** One export under way. */
class Export {
  readonly #transfer: StoreTransfer;
  readonly #signal: AbortSignal;
  readonly #hash = createHash("sha256");
  /** What the lines so far count. */
  readonly #written = new Totals();
  #events = 0;
  #purged = 0;
  #unreadable = 0;

  constructor(transfer: StoreTransfer, signal: AbortSignal) {
    this.#transfer = transfer;
    this.#signal = signal;
  }

  async run(store: string): Promise<void> {
    const summary = await summarise(this.#transfer);
    using progress = new Progress(summary.totals.count);
    this.#write([{
      kind: "header",
      store,
      exportedAt: Date.now(),
      counted: summary.totals.count,
      refusedThrough: await this.#transfer.refusedThrough(),
    }]);
    await this.#writePurged(progress);
    await this.#writeEvents(progress);
    progress.clear();
    this.#compare(summary);
    this.#write([...summary.totals.entries()].map((entry) => ({ kind: "total", ...entry })));
    const { minutes, hours } = summary;
    const sha256 = this.#hash.digest("hex");
    print(formatLine({ kind: "end", events: this.#events, purged: this.#purged, minutes, hours, sha256 }) + "\n");
    note(`${this.#events.toLocaleString("en")} events, and cells of ${this.#purged.toLocaleString("en")} purged ones`);
    if (this.#unreadable > 0) {
      throw new Incomplete(`${this.#toldUnreadable()} They are not in this export`);
    }
  }

  async #writePurged(progress: Progress): Promise<void> {
    for (const tenant of await this.#transfer.tenants()) {
      const read = (from: number) => this.#transfer.purgedCells({ tenant, from, limit: TRANSFER_CELLS_PAGE });
      for await (const { start, cells } of groupsOf(read)) {
        this.#stopWhenAsked();
        this.#write(
          [...cells].sort(([a], [b]) => a < b ? -1 : 1).map(([eventType, cell]) => {
            this.#purged += cell.count;
            this.#written.add({ tenant, eventType }, cell);
            return { kind: "purged", tenant, start, eventType, cell };
          }),
        );
        progress.show(this.#purged);
      }
    }
  }

  async #writeEvents(progress: Progress): Promise<void> {
    for (let after: string | null = null;;) {
      this.#stopWhenAsked();
      const page = await this.#transfer.events({ after, limit: TRANSFER_EVENTS_PAGE });
      for (const event of page.events) this.#written.add(event, { count: 1, sum: BigInt(event.amount) });
      this.#write(page.events.map((event) => ({ kind: "event", event })));
      for (const key of page.unreadable) note(shown(`${key} was changed by hand and is no event any more`));
      this.#events += page.events.length;
      this.#unreadable += page.unreadable.length;
      progress.show(this.#purged + this.#events);
      if (page.next === null) return;
      after = page.next;
    }
  }

  /** Each event is counted in the file once, as itself or with purged ones: so the cells must say the same. */
  #compare({ totals }: Summary): void {
    const differences = this.#written.differences(totals, { own: "exported", other: "in the cells" });
    if (differences.length === 0) return;
    if (this.#unreadable > 0) {
      throw new Incomplete(`${this.#toldUnreadable()} The export has no end, and import refuses it`);
    }
    for (const difference of differences) note(shown(difference));
    throw new Incomplete(
      "What was exported is not what the store counts, so the export has no end and import refuses it. Either the store " +
        "changed meanwhile: stop what writes into it. Or an import into it was cut: run that again, and nothing else before, " +
        "since a rebuild would destroy the cells that it moved. Or else its cells are wrong: " +
        '"rollups verify" tells, "rollups rebuild" mends',
    );
  }

  #toldUnreadable(): string {
    return `${this.#unreadable} documents are no events any more, as told above. Mend or delete each of them, then run ` +
      '"rollups rebuild", and export again.';
  }

  #write(lines: readonly TransferLine[]): void {
    if (lines.length === 0) return;
    const text = lines.map((line) => formatLine(line) + "\n").join("");
    this.#hash.update(text);
    print(text);
  }

  #stopWhenAsked(): void {
    if (this.#signal.aborted) throw new Incomplete("Stopped: the export has no end, and import refuses it.");
  }
}
