/**
 * Rows of aggregates as columns, the form in which they go between threads: thousands of objects would take the
 * serving thread longer to receive than the reader to compute.
 */
import type { AggregateRow } from "../rollup.ts";

/** Numbers of one row: start, end, type, count, total, net, min, max, average, p50, p95, p99. */
const NUMBERS_PER_ROW = 12;

/** Many rows. */
export interface RowColumns {
  readonly types: readonly string[];
  /** Row by row; NaN is `null`, or a number beyond what a double holds. */
  readonly numbers: Float64Array<ArrayBuffer>;
  /** Those numbers, by their place. */
  readonly large: ReadonlyMap<number, bigint>;
}

/** Rows to columns. Transfer `numbers.buffer`. */
export function toRowColumns(rows: readonly AggregateRow[]): RowColumns {
  const numbers = new Float64Array(rows.length * NUMBERS_PER_ROW);
  const types: string[] = [];
  const places = new Map<string, number>();
  const large = new Map<number, bigint>();
  const put = (at: number, value: bigint | null) => {
    const number = Number(value ?? NaN);
    if (Math.abs(number) > Number.MAX_SAFE_INTEGER) large.set(at, value!);
    numbers[at] = Math.abs(number) > Number.MAX_SAFE_INTEGER ? NaN : number;
  };
  let at = 0;
  for (const row of rows) {
    let type = NaN;
    if (row.eventType !== null) {
      type = places.get(row.eventType) ?? types.push(row.eventType) - 1;
      places.set(row.eventType, type);
    }
    numbers[at] = row.start;
    numbers[at + 1] = row.end;
    numbers[at + 2] = type;
    numbers[at + 3] = row.count;
    put(at + 4, row.total);
    put(at + 5, row.net);
    numbers[at + 6] = row.min ?? NaN;
    numbers[at + 7] = row.max ?? NaN;
    put(at + 8, row.average);
    numbers[at + 9] = row.percentiles?.p50 ?? NaN;
    numbers[at + 10] = row.percentiles?.p95 ?? NaN;
    numbers[at + 11] = row.percentiles?.p99 ?? NaN;
    at += NUMBERS_PER_ROW;
  }
  return { types, numbers, large };
}

/** Columns back to rows. */
export function fromRowColumns({ types, numbers, large }: RowColumns): AggregateRow[] {
  const numberOrNull = (at: number) => Number.isNaN(numbers[at]) ? null : numbers[at]!;
  const integer = (at: number) => Number.isNaN(numbers[at]) ? large.get(at) ?? null : BigInt(numbers[at]!);
  return Array.from({ length: numbers.length / NUMBERS_PER_ROW }, (_, row) => {
    const at = row * NUMBERS_PER_ROW;
    const p50 = numberOrNull(at + 9);
    return {
      start: numbers[at]!,
      end: numbers[at + 1]!,
      eventType: types[numbers[at + 2]!] ?? null,
      count: numbers[at + 3]!,
      total: integer(at + 4)!,
      net: integer(at + 5)!,
      min: numberOrNull(at + 6),
      max: numberOrNull(at + 7),
      average: integer(at + 8),
      percentiles: p50 === null ? null : { p50, p95: numbers[at + 10]!, p99: numbers[at + 11]! },
    };
  });
}
