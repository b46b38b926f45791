/**
 * The suite of the storage port: what every driver must do. A driver's test is one call of {@link testEventStore}; the
 * cases stand in `conformance/`, by the method they are about.
 */
import type { EventStore } from "../../src/storage.ts";
import type { StoreTransfer } from "../../src/transfer.ts";
import { type Case, type Suite, testCases } from "../conformance.ts";
import { AGGREGATE_CASES } from "./conformance/aggregate.ts";
import { APPEND_CASES } from "./conformance/append.ts";
import { CALENDAR_CASES } from "./conformance/calendar.ts";
import { COUNT_CASES } from "./conformance/count.ts";
import { ERASE_CASES } from "./conformance/erase.ts";
import { LIFETIME_CASES } from "./conformance/lifetime.ts";
import { LIST_CASES } from "./conformance/list.ts";
import { PURGE_CASES } from "./conformance/purge.ts";
import { RECOUNT_CASES } from "./conformance/recount.ts";
import { TRANSFER_CASES } from "./conformance/transfer.ts";

/** A stored cell by its key; `start` in milliseconds. */
export interface CellKey {
  readonly tenant: string;
  readonly span: "minute" | "hour";
  readonly start: number;
  readonly eventType: string;
}

/** An empty store and what a case must be able to do to it. Disposing it disposes the store too. */
export interface StoreHarness extends AsyncDisposable {
  /** Changes with {@link reopen}. */
  readonly store: EventStore;
  /** Moves what the store holds; changes with {@link reopen}, too. */
  readonly transfer: StoreTransfer;
  /** Resolves when everything stored so far is in the cells; where the driver settles on append, at once. */
  settle(): Promise<void>;
  /** Makes a stored cell wrong behind the store's back, in any way that changes its count. */
  corrupt(cell: CellKey): Promise<void>;
  /** Disposes the store and opens another on the same data. */
  reopen(): Promise<void>;
}

/** One behaviour of a store. */
export type StoreCase = Case<StoreHarness>;

/** All behaviours. */
export const STORE_CASES: readonly StoreCase[] = [
  ...APPEND_CASES,
  ...LIST_CASES,
  ...AGGREGATE_CASES,
  ...CALENDAR_CASES,
  ...COUNT_CASES,
  ...RECOUNT_CASES,
  ...PURGE_CASES,
  ...ERASE_CASES,
  ...TRANSFER_CASES,
  ...LIFETIME_CASES,
];

/** Runs the suite on a driver. */
export function testEventStore(driver: string, suite: Suite<StoreHarness>): void {
  testCases(driver, { cases: STORE_CASES, suite });
}
