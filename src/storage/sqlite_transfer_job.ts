/** What the writer does for a move: adds the cells of purged events, and refuses what is as old as they are. */
import type { DatabaseSync } from "node:sqlite";
import { Histogram } from "../histogram.ts";
import { type CellGroup, type CountedCell, type PurgedCellsStatus, standingOf } from "../transfer.ts";
import { HOUR_MS, hourOf, MINUTE_MS } from "../window.ts";
import { cellKey, Fold, histogramId } from "./sqlite_cells.ts";
import { IMPORT_MARK } from "./sqlite_schema.ts";
import { Query, writeTransaction } from "./sqlite_connection.ts";
import type { SentCells, TransferTask } from "./sqlite_messages.ts";
import type { Registry } from "./sqlite_names.ts";
import { HourRecount } from "./sqlite_recount.ts";
import { type CountedCell as RecountedCell, RecountQueries } from "./sqlite_recount_queries.ts";
import { joinSum, splitSum } from "./sqlite_schema.ts";
import type { WriterParts } from "./sqlite_writer.ts";

/** Does a task; each `next` is one step. Cells are added a call a transaction. */
export function* transfer(parts: WriterParts, task: TransferTask): Generator<void, unknown> {
  const { database, appender, indexer } = parts;
  switch (task.kind) {
    case "index":
      for (; indexer.backlog > 0; indexer.step()) yield;
      return;
    case "refuse":
      writeTransaction(database, () => {
        database.prepare("update meta set value = max(value, cast(? as integer)) where name = 'purged_through'")
          .run(task.through);
      });
      return appender.readPurged();
    case "import":
      writeTransaction(database, () => {
        database.prepare(
          task.isUnderWay ? "insert or replace into meta values (?, 1)" : "delete from meta where name = ?",
        )
          .run(IMPORT_MARK);
      });
      return;
    case "add":
      return appender.write((registry) => {
        const addition = new Addition(parts, registry);
        return task.groups.map((group) => addition.take(fromSent(group), task));
      });
  }
}

/** The cells of an hour by minute and type, as they are stored and as the events that are there say. */
export interface HourCells {
  readonly stored: ReadonlyMap<number, ReadonlyMap<string, CountedCell>>;
  readonly counted: ReadonlyMap<number, ReadonlyMap<string, CountedCell>>;
}

/** Reads and counts an hour, frozen minutes too. Call it in a transaction. */
export function cellsOfHour(
  queries: RecountQueries,
  { tenant, hour, typeOf }: { tenant: number; hour: number; typeOf: (id: number) => string },
): HourCells {
  const recount = new HourRecount(queries, { tenant, hour, frozen: true });
  while (recount.step());
  const byMinute = (cells: readonly RecountedCell[]) => {
    const minutes = new Map<number, Map<string, CountedCell>>();
    for (const cell of cells) {
      if (cell.span !== MINUTE_MS) continue;
      let minute = minutes.get(cell.start);
      if (minute === undefined) minutes.set(cell.start, minute = new Map());
      minute.set(typeOf(cell.type), countedOf(cell));
    }
    return minutes;
  };
  return { stored: byMinute(recount.stored), counted: byMinute(recount.counted()) };
}

/** A stored cell as the domain has it. */
export function countedOf({ count, high, low, min, max, histogram }: Omit<RecountedCell, "tenant">): CountedCell {
  return { count, sum: joinSum(high, low), min, max, histogram: histogram ?? new Histogram() };
}

/** Cells as they go to the writer. */
export function toSent({ tenant, start, cells }: CellGroup): SentCells {
  return {
    tenant,
    start,
    cells: [...cells].map(([eventType, { histogram, ...cell }]) => [eventType, cell, histogram.encode()]),
  };
}

function fromSent({ tenant, start, cells }: SentCells): CellGroup {
  return {
    tenant,
    start,
    cells: new Map(
      cells.map(([eventType, cell, bytes]) => [eventType, { ...cell, histogram: Histogram.decode(bytes) }]),
    ),
  };
}

/** Adds cells within one transaction. */
class Addition {
  readonly #parts: WriterParts;
  readonly #registry: Registry;
  readonly #queries: RecountQueries;
  readonly #typeName: Query;
  readonly #histograms: Histograms;
  /** The hour looked at last: cells come in order. */
  #hour: { readonly key: string; readonly cells: HourCells } | null = null;

  constructor(parts: WriterParts, registry: Registry) {
    this.#parts = parts;
    this.#registry = registry;
    this.#queries = new RecountQueries(parts.database);
    this.#typeName = new Query(parts.database, "select name from event_types where id = ?");
    this.#histograms = new Histograms(parts.database);
  }

  take(group: CellGroup, { check }: { check: boolean }): PurgedCellsStatus {
    const { stored, counted } = this.#hourOf(group);
    const { status, missing } = standingOf(group, {
      stored: stored.get(group.start) ?? new Map(),
      counted: counted.get(group.start) ?? new Map(),
    });
    if (status !== "added") return status;
    if (!this.#registry.hasRoom(group.tenant, missing.keys())) return "too_many_event_types";
    if (!check) this.#add(group, missing);
    return "added";
  }

  #hourOf({ tenant, start }: CellGroup): HourCells {
    const hour = hourOf(start);
    const key = `${tenant} ${hour}`;
    const id = this.#registry.tenant(tenant);
    if (id === undefined) return { stored: new Map(), counted: new Map() };
    if (this.#hour?.key !== key) {
      const typeOf = (type: number) => this.#typeName.first(type)![0] as string;
      this.#hour = { key, cells: cellsOfHour(this.#queries, { tenant: id, hour, typeOf }) };
    }
    return this.#hour.cells;
  }

  #add({ tenant: name, start }: CellGroup, cells: ReadonlyMap<string, CountedCell>): void {
    const minutes = new Fold(MINUTE_MS);
    const hours = new Fold(HOUR_MS);
    for (const [eventType, { count, sum, min, max, histogram }] of cells) {
      const { tenant, type } = this.#registry.add(name, eventType)!;
      const cell = { tenant, type, start, count, ...splitSum(sum), min, max };
      minutes.cells.set(cellKey(start, { span: MINUTE_MS, type }), cell);
      for (const span of [MINUTE_MS, HOUR_MS]) {
        this.#histograms.merge(histogramId({ span, start: Math.floor(start / span) * span, type }), histogram);
      }
    }
    hours.merge(minutes.cells.values());
    this.#parts.appender.cells.write(minutes);
    this.#parts.appender.cells.write(hours);
  }
}

/** Histograms in the file. */
class Histograms {
  readonly #select: Query;
  readonly #insert;

  constructor(database: DatabaseSync) {
    this.#select = new Query(database, "select buckets from histograms where id = ?");
    this.#insert = database.prepare("insert or replace into histograms values (?, ?)");
  }

  merge(id: number, added: Histogram): void {
    const histogram = new Histogram();
    const stored = this.#select.first(id);
    if (stored !== undefined) histogram.merge(Histogram.decode(stored[0] as Uint8Array));
    histogram.merge(added);
    this.#insert.run(id, histogram.encode());
  }
}
