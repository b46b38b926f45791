/** Stores groups of events, a transaction a group, with the cells they change. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { sameContent } from "../event.ts";
import { HOUR_MS, MINUTE_MS } from "../window.ts";
import { CellWriter, Fold } from "./sqlite_cells.ts";
import { type ColumnReader, EVENT_COLUMNS, eventOf, isErased } from "./sqlite_columns.ts";
import { Query, type Value, writeTransaction } from "./sqlite_connection.ts";
import { STATUS } from "./sqlite_messages.ts";
import { Names, Registry } from "./sqlite_names.ts";
import { LogStateQuery } from "./sqlite_schema.ts";

/** Rows of one statement: three times as fast as one by one. */
const ROWS_PER_STATEMENT = 50;
const INSERTED = "seq, tenant, id, user_id, type, amount, ts, ts_given, received_at, source, erased, properties";
const INSERTED_COLUMNS = INSERTED.split(",").length;

/** A part of one request: its events from `from` to `to`, and a byte for what becomes of each event of the request. */
export interface Slice {
  readonly events: ColumnReader;
  readonly from: number;
  readonly to: number;
  readonly statuses: Uint8Array;
}

/** The rows a transaction stored, in the order of the log, as columns. */
export class StoredRows {
  readonly seqs: number[] = [];
  readonly tenants: number[] = [];
  readonly types: number[] = [];
  readonly timestamps: number[] = [];
  readonly amounts: number[] = [];
  readonly receivedAts: number[] = [];
  readonly users: string[] = [];
  /** The minute cells that changed. */
  readonly minutes = new Fold(MINUTE_MS);
}

/** A row that waits for its statement. */
interface Waiting {
  readonly slice: Slice;
  readonly index: number;
  readonly tenant: number;
  readonly type: number;
}

/** The only one who adds to the log. */
export class Appender {
  readonly cells: CellWriter;
  readonly #database: DatabaseSync;
  readonly #inserts: StatementSync[] = [];
  readonly #selectSeqs: Query;
  readonly #selectById: Query;
  readonly #selectLastSeq: Query;
  readonly #state: LogStateQuery;
  /** Made anew with {@link reset}: it looks within transactions, and so at what may be rolled back. */
  #names: Names;
  #registry: Registry;
  #nextSeq = 0;
  #purgedThrough = 0;
  #waiting: Waiting[] = [];
  #values: Value[] = [];
  #stored = new StoredRows();
  /** What is remembered may be of a transaction that was rolled back. */
  #stale = true;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.cells = new CellWriter(database);
    this.#names = new Names(database);
    this.#registry = new Registry(database);
    this.#state = new LogStateQuery(database);
    this.#selectSeqs = new Query(database, "select seq from events where seq >= ? and seq < ?");
    this.#selectById = new Query(database, `select ${EVENT_COLUMNS} from events where tenant = ? and id = ?`);
    this.#selectLastSeq = new Query(database, "select seq from sqlite_sequence where name = 'events'");
    this.reset();
  }

  /** Reads from the file what is remembered of it. */
  reset(): void {
    this.cells.forget();
    this.#names = new Names(this.#database);
    this.#registry = new Registry(this.#database);
    this.#nextSeq = (this.#selectLastSeq.first()?.[0] as number ?? 0) + 1;
    this.readPurged();
    this.#stale = false;
  }

  /** The number of a tenant; `undefined` when it has no events. */
  tenant(name: string): number | undefined {
    if (this.#stale) this.reset();
    return this.#registry.tenant(name);
  }

  /** Learns that a purge went on. */
  readPurged(): void {
    this.#purgedThrough = this.#state.read().purgedThrough;
  }

  /** Writes some pages that hold nothing; throws when the disk does not take them. */
  probe(): void {
    writeTransaction(this.#database, () => {
      this.#database.exec("insert into meta(name, value) values ('probe', zeroblob(65536))");
      this.#database.exec("delete from meta where name = 'probe'");
    });
  }

  /** Runs work that adds to names and cells in one transaction. When it fails, what is remembered is read again. */
  write<T>(work: (registry: Registry) => T): T {
    try {
      if (this.#stale) this.reset();
      return writeTransaction(this.#database, () => work(this.#registry));
    } catch (error) {
      this.#stale = true;
      throw error;
    }
  }

  /**
   * Stores the events of a group in one transaction and sets their statuses. Throws when it cannot be committed:
   * then nothing of it is stored.
   */
  commit(slices: readonly Slice[]): StoredRows {
    this.#stored = new StoredRows();
    this.#waiting = [];
    this.#values = [];
    try {
      this.write(() => {
        for (const slice of slices) this.#take(slice);
        this.#flush();
        const { minutes } = this.#stored;
        const hours = new Fold(HOUR_MS);
        hours.merge(minutes.cells.values());
        this.cells.write(minutes);
        this.cells.write(hours);
      });
    } catch (error) {
      for (const { statuses, from, to } of slices) statuses.fill(STATUS.unavailable, from, to);
      throw error;
    }
    return this.#stored;
  }

  #take(slice: Slice): void {
    const { events } = slice;
    const tenants = events.kinds.map(([tenant]) => this.#registry.tenant(tenant));
    const types = events.kinds.map(([tenant, type]) => this.#registry.type(tenant, type));
    for (let i = slice.from; i < slice.to; i++) {
      const kind = events.kind(i);
      if (types[kind] === undefined || events.timestamp(i) <= this.#purgedThrough) {
        if (!this.#admit(slice, i)) continue;
        const [tenant, type] = events.kinds[kind]!;
        tenants.fill(this.#registry.tenant(tenant), kind, kind + 1);
        types[kind] = this.#registry.type(tenant, type);
      }
      this.#wait(slice, { index: i, tenant: tenants[kind]!, type: types[kind]! });
    }
  }

  /**
   * Decides on an event that can only be stored under a condition: its type is new, or it is older than what was
   * purged. What is known already is a duplicate or a conflict all the same.
   */
  #admit(slice: Slice, index: number): boolean {
    this.#flush();
    const { events, statuses } = slice;
    const [tenant, type] = events.kinds[events.kind(index)]!;
    const tenantId = this.#registry.tenant(tenant);
    const known = tenantId === undefined ? null : this.#compare(slice, { index, tenant: tenantId });
    if (known !== null) statuses[index] = known;
    else if (events.timestamp(index) <= this.#purgedThrough) statuses[index] = STATUS.purged;
    else if (this.#registry.add(tenant, type) !== null) return true;
    else statuses[index] = STATUS.too_many_event_types;
    return false;
  }

  #wait(slice: Slice, { index, tenant, type }: { index: number; tenant: number; type: number }): void {
    const { events } = slice;
    this.#values.push(
      this.#nextSeq++,
      tenant,
      events.ids[index]!,
      events.users[index]!,
      type,
      events.amount(index),
      events.timestamp(index),
      events.timestampGiven(index),
      events.receivedAt(index),
      events.source(index),
      // Nobody is the user of an event that was erased where it comes from.
      events.users[index] === "" ? 1 : 0,
      events.properties(index),
    );
    this.#waiting.push({ slice, index, tenant, type });
    if (this.#waiting.length === ROWS_PER_STATEMENT) this.#flush();
  }

  #flush(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    const first = this.#nextSeq - waiting.length;
    const { changes } = this.#insert(waiting.length).run(...this.#values);
    if (changes === waiting.length) {
      for (let i = 0; i < waiting.length; i++) this.#keep(waiting[i]!, first + i);
    } else {
      const seqs = new Set(this.#selectSeqs.all(first, this.#nextSeq).map((row) => row[0] as number));
      waiting.forEach((row, i) => {
        if (seqs.has(first + i)) return this.#keep(row, first + i);
        const status = this.#compare(row.slice, row);
        if (status === null) throw new Error("A row was refused, and none with its id is there");
        row.slice.statuses[row.index] = status;
      });
    }
    this.#waiting = [];
    this.#values = [];
  }

  #keep({ slice, index, tenant, type }: Waiting, seq: number): void {
    const { events, statuses } = slice;
    const stored = this.#stored;
    const timestamp = events.timestamp(index);
    const amount = events.amount(index);
    statuses[index] = STATUS.stored;
    stored.seqs.push(seq);
    stored.tenants.push(tenant);
    stored.types.push(type);
    stored.timestamps.push(timestamp);
    stored.amounts.push(amount);
    stored.receivedAts.push(events.receivedAt(index));
    stored.users.push(events.users[index]!);
    stored.minutes.add({ tenant, type }, timestamp, amount);
  }

  /** What an event is beside the stored one of its id; `null` when there is none. */
  #compare({ events }: Slice, { index, tenant }: { index: number; tenant: number }): number | null {
    const row = this.#selectById.first(tenant, events.ids[index]!);
    if (row === undefined) return null;
    const resent = events.event(index);
    const comparable = isErased(row) ? { ...resent, userId: "", properties: null } : resent;
    return sameContent(eventOf(row, this.#names), comparable) ? STATUS.duplicate : STATUS.conflict;
  }

  #insert(rows: number): StatementSync {
    const row = `(${Array(INSERTED_COLUMNS).fill("?").join(", ")})`;
    return this.#inserts[rows] ??= this.#database.prepare(
      `insert or ignore into events(${INSERTED}) values ${Array(rows).fill(row).join(", ")}`,
    );
  }
}
