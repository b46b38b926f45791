/** Windows of metrics as the contract defines them, computed in the plainest way from the events. */
import type { Row, RowsQuery, SentEvent } from "../clients.ts";
import { iso } from "./behaviour.ts";

const UNITS = 10_000n;
const SIZES = { "1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000, "1d": 86_400_000 } as const;
/** The sign with which a type counts in `net`. */
const NET: Readonly<Record<string, bigint>> = { purchase: 1n, return: -1n, refund: -1n };

/** The rows of UTC windows that have passed, without percentiles. */
export function expectedRows(events: readonly Required<SentEvent>[], query: RowsQuery): Row[] {
  const { window = "1m", byType = false, eventTypes, zeros = false } = query;
  const size = SIZES[window];
  const from = Math.floor(Date.parse(query.from!) / size) * size;
  const to = Math.ceil(Date.parse(query.to!) / size) * size;
  const inRange = events.filter(({ timestamp, eventType }) =>
    Date.parse(timestamp) >= from && Date.parse(timestamp) < to &&
    (eventTypes === undefined || eventTypes.includes(eventType))
  );
  const groups = byType ? [...new Set(inRange.map(({ eventType }) => eventType))].sort() : [null];
  const rows: Row[] = [];
  for (let start = from; start < to; start += size) {
    for (const group of groups) {
      const found = inRange.filter(({ timestamp, eventType }) =>
        Date.parse(timestamp) >= start && Date.parse(timestamp) < start + size && (group ?? eventType) === eventType
      );
      if (found.length > 0 || zeros) rows.push({ ...rowOf(found, group), start: iso(start), end: iso(start + size) });
    }
  }
  return rows;
}

function rowOf(events: readonly Required<SentEvent>[], eventType: string | null): Omit<Row, "start" | "end"> {
  const units = events.map(({ amount }) => unitsOf(amount));
  const sum = (values: bigint[]): bigint => values.reduce((total, value) => total + value, 0n);
  const sorted = units.toSorted((a, b) => a < b ? -1 : a > b ? 1 : 0);
  const total = sum(units);
  return {
    eventType,
    count: events.length,
    total: textOf(total),
    net: textOf(sum(events.map(({ eventType, amount }) => (NET[eventType] ?? 0n) * unitsOf(amount)))),
    min: events.length === 0 ? null : textOf(sorted[0]!),
    max: events.length === 0 ? null : textOf(sorted.at(-1)!),
    avg: events.length === 0 ? null : fourDigits(halfEven(total, BigInt(events.length))),
    p50: null,
    p95: null,
    p99: null,
    revision: events.length,
    closed: true,
  };
}

/** An amount in units of 1/10,000. */
export function unitsOf(amount: string): bigint {
  const [whole = "0", fraction = ""] = amount.replace("-", "").split(".");
  const units = BigInt(whole) * UNITS + BigInt(fraction.padEnd(4, "0"));
  return amount.startsWith("-") ? -units : units;
}

function textOf(units: bigint): string {
  return fourDigits(units).replace(/\.?0+$/, "");
}

function fourDigits(units: bigint): string {
  const absolute = units < 0n ? -units : units;
  return (units < 0n ? "-" : "") + `${absolute / UNITS}.${String(absolute % UNITS).padStart(4, "0")}`;
}

function halfEven(total: bigint, count: bigint): bigint {
  const absolute = total < 0n ? -total : total;
  let quotient = absolute / count;
  const twice = 2n * (absolute % count);
  if (twice > count || (twice === count && quotient % 2n === 1n)) quotient += 1n;
  return total < 0n ? -quotient : quotient;
}
