/** Replaces the cells of a range by a recount, in steps between commits. */
import type { DatabaseSync } from "node:sqlite";
import { SQLITE_REBUILD_STEP_ROWS } from "../limits.ts";
import type { EventRange, RecountReport } from "../storage.ts";
import { HOUR_MS, MINUTE_MS } from "../window.ts";
import { HISTOGRAM_ID, histogramId } from "./sqlite_cells.ts";
import { writeTransaction } from "./sqlite_connection.ts";
import { Names } from "./sqlite_names.ts";
import { type HourRecount, Recount } from "./sqlite_recount.ts";
import { type CountedCell, RecountQueries } from "./sqlite_recount_queries.ts";
import type { WriterParts } from "./sqlite_writer.ts";

/** Rebuilds a range; the report tells what differed before. Each `next` is one small step. */
export function* rebuild(parts: WriterParts, { range }: { range: EventRange }): Generator<void, RecountReport> {
  const { database, appender } = parts;
  const names = new Names(database);
  const tenant = names.tenantId(range.tenant);
  if (tenant === undefined) return { events: 0, cells: 0, differing: 0, differences: [], frozenMinutes: 0 };
  const queries = new RecountQueries(database);
  const recount = new Recount(queries, { names, tenant, range });
  const replacement = new Replacement(database);
  for (;;) {
    const hour = recount.next();
    if (hour === null) return recount.report;
    yield;
    while (hour.step()) yield;
    if (!recount.take(hour)) continue;
    // Events came in while the hour was counted: follow the log, at last within the transaction that replaces.
    const later = [...hour.unindexed];
    let through = hour.throughSeq;
    const follow = (to: number) => {
      const rows = queries.tail(tenant, hour.hour, { after: through, through: to });
      for (const row of rows) hour.fold(row, { indexed: false });
      later.push(...rows);
      through = to;
    };
    while (queries.state().lastSeq - through > SQLITE_REBUILD_STEP_ROWS) {
      follow(through + SQLITE_REBUILD_STEP_ROWS);
      yield;
    }
    writeTransaction(database, () => {
      const { lastSeq, indexedSeq } = queries.state();
      follow(Math.max(through, lastSeq));
      for (const row of later) if (row.seq <= indexedSeq) hour.index(row);
      replacement.run(hour);
    });
    appender.cells.forget();
    yield;
  }
}

class Replacement {
  readonly #deletes;
  readonly #insertCell;
  readonly #insertHistogram;

  constructor(database: DatabaseSync) {
    // The histograms first: they are found by their cells.
    const stored = "from cells as c where span = ? and tenant = ? and start >= ? and start < ?";
    this.#deletes = [
      database.prepare(`delete from histograms where id in (select ${HISTOGRAM_ID} ${stored})`),
      database.prepare(`delete ${stored}`),
    ];
    this.#insertCell = database.prepare("insert into cells values (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    this.#insertHistogram = database.prepare("insert or replace into histograms values (?, ?)");
  }

  run(hour: HourRecount): void {
    const { tenant } = hour;
    const end = hour.hour + HOUR_MS;
    for (const statement of this.#deletes) {
      statement.run(MINUTE_MS, tenant, Math.max(hour.hour, hour.frozenThrough + 1), end);
      statement.run(HOUR_MS, tenant, hour.hour, end);
    }
    for (const cell of hour.counted()) this.#insert(cell);
  }

  #insert({ span, tenant, start, type, count, high, low, min, max, histogram }: CountedCell): void {
    this.#insertCell.run(span, tenant, start, type, count, high, low, min, max);
    if (histogram !== null) this.#insertHistogram.run(histogramId({ span, start, type }), histogram.encode());
  }
}
