/** The stream of changed cells: names of cells to read again, and nothing that would be missed. */
import { getLogger } from "@logtape/logtape";
import { CELLS_ENTRIES_MAX, CELLS_PER_ENTRY_MAX } from "../limits.ts";
import type { ChangedCell } from "../stream.ts";
import { Trouble } from "../worker.ts";
import type { RedisConnection, Reply } from "./redis_connection.ts";
import { toEntries } from "./redis_entry.ts";
import type { RedisKeys } from "./redis_scripts.ts";

const log = getLogger(["eventhub", "redis"]);

/** Names changed cells to all hubs, if it can: whoever follows windows also reads them anew from time to time. */
export class CellNews {
  readonly #keys: RedisKeys;
  readonly #trouble = new Trouble({
    begun: (cause) => log.warn("Changed cells cannot be named; hubs find them at their next look", { cause }),
    over: () => log.info("Changed cells are named again"),
  });

  constructor(keys: RedisKeys) {
    this.#keys = keys;
  }

  /** Never rejects. */
  async tell(connection: RedisConnection, cells: readonly ChangedCell[]): Promise<void> {
    if (cells.length === 0) return;
    try {
      await addCells(connection, { keys: this.#keys, cells });
      this.#trouble.end();
    } catch (cause) {
      this.#trouble.begin(cause);
    }
  }
}

/** Tells all hubs that cells changed. */
export async function addCells(
  connection: RedisConnection,
  { keys, cells }: { keys: RedisKeys; cells: readonly ChangedCell[] },
): Promise<void> {
  for (let i = 0; i < cells.length; i += CELLS_PER_ENTRY_MAX) {
    const names = cells.slice(i, i + CELLS_PER_ENTRY_MAX).map((
      { tenant, start, eventType },
    ) => [tenant, start, eventType]);
    const trim = ["MAXLEN", "~", CELLS_ENTRIES_MAX, "*"];
    await connection.send("XADD", keys.cells, ...trim, "cells", JSON.stringify(names));
  }
}

/** The cells named behind an id, and how far was read. As many entries as are kept may mean that others are gone. */
export async function readCells(
  connection: RedisConnection,
  { keys, after }: { keys: RedisKeys; after: string },
): Promise<{ readonly cells: readonly ChangedCell[]; readonly last: string; readonly entries: number }> {
  const reply = await connection.ask("XRANGE", keys.cells, `(${after}`, "+", "COUNT", CELLS_ENTRIES_MAX);
  const entries = toEntries(reply);
  const cells = new Map<string, ChangedCell>();
  for (const { fields } of entries) {
    for (const cell of parseCells(fields?.[1])) cells.set(`${cell.tenant} ${cell.start} ${cell.eventType}`, cell);
  }
  return { cells: [...cells.values()], last: entries.at(-1)?.id ?? after, entries: entries.length };
}

/** The end of the stream of changed cells. */
export async function lastCells(connection: RedisConnection, keys: RedisKeys): Promise<string> {
  const reply = await connection.ask("XREVRANGE", keys.cells, "+", "-", "COUNT", 1);
  return toEntries(reply as Reply).at(0)?.id ?? "0-0";
}

/** What others wrote there is not believed to be in order; at worst a window is read again later. */
function parseCells(text: string | undefined): ChangedCell[] {
  let names: unknown;
  try {
    names = JSON.parse(text ?? "");
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
  if (!Array.isArray(names)) return [];
  return names.flatMap((name: unknown) => {
    if (!Array.isArray(name)) return [];
    const [tenant, start, eventType] = name as unknown[];
    return typeof tenant === "string" && typeof start === "number" && typeof eventType === "string"
      ? [{ tenant, start, eventType }]
      : [];
  });
}
