/** Reads the file of an export in parts that a store takes at once, and judges it as a whole. */
import { createHash } from "node:crypto";
import { type Event, heldBytes } from "../event.ts";
import {
  CLI_BATCH_BYTES_MAX,
  CLI_BATCH_EVENTS_MAX,
  EVENT_TYPES_PER_TENANT_MAX,
  TRANSFER_CELLS_PAGE,
} from "../limits.ts";
import type { CellGroup, CountedCell } from "../transfer.ts";
import { Incomplete } from "./failure.ts";
import { type InputLine, LineReader } from "./lines.ts";
import { type End, type Header, LineFault, parseLine, type TotalLine, type TransferLine } from "./transfer_lines.ts";

/** Some lines of one kind, in the order of the file; `lines` has their numbers. */
export type Part =
  | { readonly kind: "header"; readonly header: Header }
  | { readonly kind: "purged"; readonly groups: readonly CellGroup[]; readonly lines: readonly number[] }
  | { readonly kind: "events"; readonly events: readonly Event[]; readonly lines: readonly number[] }
  | { readonly kind: "total"; readonly total: TotalLine }
  | { readonly kind: "end"; readonly end: End };

type PurgedLine = Extract<TransferLine, { kind: "purged" }>;

/** What may follow what. */
const ORDER: readonly TransferLine["kind"][] = ["header", "purged", "event", "total", "end"];

/**
 * The parts of a file. Throws {@link Incomplete} with the number of the first line that is wrong: no JSON, too long, not
 * in its place, a faulty member; when the file has no end; when its lines are not those that were written.
 */
export async function* readParts(path: string, signal: AbortSignal): AsyncIterable<Part> {
  const gathering = new Gathering();
  const hash = createHash("sha256");
  let place = -1;
  let last = 0;
  let purged: PurgedLine | null = null;
  for await (const line of readLines(path, signal)) {
    last = line.number;
    if ("fault" in line) throw faulty(path, line.number, line.fault);
    const parsed = parse(path, line);
    const next = ORDER.indexOf(parsed.kind);
    const isOnce = parsed.kind === "header" || parsed.kind === "end";
    if (place === -1 && parsed.kind !== "header") throw faulty(path, line.number, "an export begins with its header");
    if (next < place || (isOnce && next === place)) {
      throw faulty(path, line.number, `a line of kind ${parsed.kind} cannot stand behind one of kind ${ORDER[place]}`);
    }
    place = next;
    if (parsed.kind === "end" && parsed.sha256 !== hash.digest("hex")) {
      throw faulty(path, line.number, "sha256 is not that of the lines before it: the file was changed");
    }
    if (parsed.kind !== "end") hash.update(`${line.text}\n`);
    if (parsed.kind === "purged") {
      if (gathering.isFull(parsed)) {
        throw faulty(path, line.number, `a minute has no more than ${EVENT_TYPES_PER_TENANT_MAX} event types`);
      }
      if (purged !== null && !isBehind(parsed, purged)) {
        throw faulty(
          path,
          line.number,
          "lines of purged events rise by tenant, minute and event_type, and this one does not",
        );
      }
      purged = parsed;
    }
    yield* gathering.take(parsed, { number: line.number, bytes: line.text.length });
  }
  if (signal.aborted) throw new Incomplete("Stopped.");
  if (ORDER[place] !== "end") {
    throw new Incomplete(`${path}: the last line of an export is missing behind line ${last}: the file was cut`);
  }
}

/** As `export` writes them; so none comes twice. */
function isBehind(line: PurgedLine, before: PurgedLine): boolean {
  if (line.tenant !== before.tenant) return line.tenant > before.tenant;
  if (line.start !== before.start) return line.start > before.start;
  return line.eventType > before.eventType;
}

async function* readLines(path: string, signal: AbortSignal): AsyncIterable<InputLine & { text?: string }> {
  using file = await open(path);
  const reader = new LineReader(chunksOf(file), signal);
  for (;;) {
    const lines = await reader.take({ lines: CLI_BATCH_EVENTS_MAX, bytes: CLI_BATCH_BYTES_MAX });
    if (lines.length === 0) return;
    yield* lines;
  }
}

const CHUNK_BYTES = 64 * 1024;

/** A stream of the file would close it by itself. */
async function* chunksOf(file: Deno.FsFile): AsyncIterable<Uint8Array> {
  for (;;) {
    const chunk = new Uint8Array(CHUNK_BYTES);
    const count = await file.read(chunk);
    if (count === null) return;
    yield chunk.subarray(0, count);
  }
}

async function open(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new Incomplete(`Cannot read ${path}: there is no such file`);
    throw error;
  }
}

function parse(path: string, line: { number: number; text: string }): TransferLine {
  try {
    return parseLine(line.text);
  } catch (error) {
    if (error instanceof LineFault) throw faulty(path, line.number, error.message);
    throw error;
  }
}

function faulty(path: string, number: number, detail: string): Incomplete {
  return new Incomplete(`${path}, line ${number}: ${detail}`);
}

/** Gathers lines until there are enough, or one of another kind comes. */
class Gathering {
  #events: Event[] = [];
  #bytes = 0;
  #groups: { tenant: string; start: number; cells: Map<string, CountedCell> }[] = [];
  #lines: number[] = [];

  /** Whether a line of purged events is one more of a minute that has as many event types as there can be. */
  isFull({ tenant, start }: PurgedLine): boolean {
    const last = this.#groups.at(-1);
    return last?.tenant === tenant && last.start === start && last.cells.size === EVENT_TYPES_PER_TENANT_MAX;
  }

  *take(line: TransferLine, { number, bytes }: { number: number; bytes: number }): Iterable<Part> {
    switch (line.kind) {
      case "header":
        yield { kind: "header", header: line };
        return;
      case "purged": {
        const last = this.#groups.at(-1);
        const { tenant, start, eventType, cell } = line;
        if (last?.tenant === tenant && last.start === start) {
          last.cells.set(eventType, cell);
        } else {
          if (this.#groups.length === TRANSFER_CELLS_PAGE || this.#bytes > CLI_BATCH_BYTES_MAX) yield* this.#flush();
          this.#groups.push({ tenant, start, cells: new Map([[eventType, cell]]) });
          this.#lines.push(number);
        }
        this.#bytes += bytes;
        return;
      }
      case "event":
        if (this.#groups.length > 0) yield* this.#flush();
        this.#events.push(line.event);
        this.#lines.push(number);
        this.#bytes += heldBytes(line.event);
        if (this.#events.length === CLI_BATCH_EVENTS_MAX || this.#bytes > CLI_BATCH_BYTES_MAX) yield* this.#flush();
        return;
      case "total":
        yield* this.#flush();
        yield { kind: "total", total: line };
        return;
      case "end":
        yield* this.#flush();
        yield { kind: "end", end: line };
    }
  }

  *#flush(): Iterable<Part> {
    const [events, groups, lines] = [this.#events, this.#groups, this.#lines];
    [this.#events, this.#groups, this.#lines, this.#bytes] = [[], [], [], 0];
    if (groups.length > 0) yield { kind: "purged", groups, lines };
    if (events.length > 0) yield { kind: "events", events, lines };
  }
}
