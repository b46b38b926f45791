/**
 * Events as columns, the form in which they go between threads: a few long strings and one array of numbers that is
 * handed over, not copied. Cloning an object an event costs several times as much.
 */
import type { Event, Source } from "../event.ts";
import type { Row } from "./sqlite_connection.ts";
import type { Names } from "./sqlite_names.ts";

/** Ids, users and JSON text hold no control characters, so this one can stand between them. */
const SEPARATOR = "\n";

/** The order is that of the numbers in the file: add at the end only. */
const SOURCES: readonly Source[] = ["rest", "graphql", "grpc", "redis", "import"];
const SOURCE_NUMBERS = new Map(SOURCES.map((source, index) => [source, index]));

/** The numbers of one event in a row of {@link EventColumns.numbers}, each kind of number in one stretch. */
const NUMBERS_PER_EVENT = 4;
/** A code holds the kind above the source above the flag of a given timestamp. */
const KIND_UNIT = 16;

/** Many events. */
export interface EventColumns {
  readonly count: number;
  readonly ids: string;
  readonly users: string;
  /** `null` when no event has any; an empty text is none. */
  readonly properties: string | null;
  /** The pairs of tenant and type that occur. */
  readonly kinds: readonly (readonly [tenant: string, eventType: string])[];
  /** First all amounts, then all timestamps, all times of receipt, and all codes of kind, source and flag. */
  readonly numbers: Float64Array<ArrayBuffer>;
}

/** Events to columns. Transfer `numbers.buffer`. */
export function toColumns(events: readonly Event[]): EventColumns {
  const count = events.length;
  const numbers = new Float64Array(count * NUMBERS_PER_EVENT);
  const ids = new Array<string>(count);
  const users = new Array<string>(count);
  const kinds: [string, string][] = [];
  const kindNumbers = new Map<string, Map<string, number>>();
  let properties: string[] | null = null;
  for (let i = 0; i < count; i++) {
    const event = events[i]!;
    ids[i] = event.id;
    users[i] = event.userId;
    if (event.properties !== null) {
      properties ??= new Array<string>(count).fill("");
      properties[i] = event.properties;
    }
    let ofTenant = kindNumbers.get(event.tenant);
    if (ofTenant === undefined) kindNumbers.set(event.tenant, ofTenant = new Map());
    let kind = ofTenant.get(event.eventType);
    if (kind === undefined) {
      ofTenant.set(event.eventType, kind = kinds.length);
      kinds.push([event.tenant, event.eventType]);
    }
    numbers[i] = event.amount;
    numbers[count + i] = event.timestamp;
    numbers[2 * count + i] = event.receivedAt;
    numbers[3 * count + i] = kind * KIND_UNIT + SOURCE_NUMBERS.get(event.source)! * 2 + (event.timestampGiven ? 1 : 0);
  }
  return {
    count,
    ids: ids.join(SEPARATOR),
    users: users.join(SEPARATOR),
    properties: properties === null ? null : properties.join(SEPARATOR),
    kinds,
    numbers,
  };
}

/** Columns one can look into. */
export class ColumnReader {
  readonly count: number;
  readonly ids: readonly string[];
  readonly users: readonly string[];
  readonly kinds: EventColumns["kinds"];
  readonly #properties: readonly string[] | null;
  readonly #numbers: Float64Array;

  constructor(columns: EventColumns) {
    this.count = columns.count;
    this.ids = columns.ids.split(SEPARATOR);
    this.users = columns.users.split(SEPARATOR);
    this.kinds = columns.kinds;
    this.#properties = columns.properties?.split(SEPARATOR) ?? null;
    this.#numbers = columns.numbers;
  }

  amount(i: number): number {
    return this.#numbers[i]!;
  }

  timestamp(i: number): number {
    return this.#numbers[this.count + i]!;
  }

  receivedAt(i: number): number {
    return this.#numbers[2 * this.count + i]!;
  }

  /** Place of the event's tenant and type in {@link kinds}. */
  kind(i: number): number {
    return Math.floor(this.#numbers[3 * this.count + i]! / KIND_UNIT);
  }

  /** The source as the file holds it. */
  source(i: number): number {
    return (this.#numbers[3 * this.count + i]! % KIND_UNIT) >> 1;
  }

  /** 1 when the sender gave the timestamp, else 0. */
  timestampGiven(i: number): number {
    return this.#numbers[3 * this.count + i]! & 1;
  }

  properties(i: number): string | null {
    return this.#properties?.[i] || null;
  }

  /** One event as an object. */
  event(i: number): Event {
    const [tenant, eventType] = this.kinds[this.kind(i)]!;
    return {
      id: this.ids[i]!,
      tenant,
      userId: this.users[i]!,
      eventType,
      amount: this.amount(i),
      timestamp: this.timestamp(i),
      timestampGiven: this.timestampGiven(i) === 1,
      receivedAt: this.receivedAt(i),
      source: SOURCES[this.source(i)]!,
      properties: this.properties(i),
    };
  }
}

/** Columns back to events. */
export function fromColumns(columns: EventColumns): Event[] {
  const reader = new ColumnReader(columns);
  return Array.from({ length: columns.count }, (_, i) => reader.event(i));
}

/** The columns of table `events` in the order of {@link eventOf}. */
export const EVENT_COLUMNS =
  "seq, tenant, id, user_id, type, amount, ts, ts_given, received_at, source, properties, erased";

/** A row of {@link EVENT_COLUMNS} as an event. Such rows begin with their seq and end with the mark of erasure. */
export function eventOf(row: Row, names: Names): Event {
  return {
    id: row[2] as string,
    tenant: names.tenant(row[1] as number),
    userId: row[3] as string,
    eventType: names.type(row[4] as number),
    amount: row[5] as number,
    timestamp: row[6] as number,
    timestampGiven: row[7] === 1,
    receivedAt: row[8] as number,
    source: SOURCES[row[9] as number]!,
    properties: row[10] as string | null,
  };
}

/** Whether a row of {@link EVENT_COLUMNS} was erased. */
export function isErased(row: Row): boolean {
  return row[11] === 1;
}
