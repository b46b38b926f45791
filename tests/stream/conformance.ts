/**
 * The suite of the stream port: what every live log must do. A driver's test is one call of {@link testEventStream};
 * the cases stand in `conformance/`.
 */
import type { EventStore } from "../../src/storage.ts";
import type { EventStream, Position } from "../../src/stream.ts";
import { type Case, type Suite, testCases } from "../conformance.ts";
import { CURSOR_CASES } from "./conformance/cursors.ts";
import { READ_CASES } from "./conformance/read.ts";
import { WATCH_CASES } from "./conformance/watch.ts";

/** An empty store and the stream of it. Disposing it disposes both. */
export interface StreamHarness extends AsyncDisposable {
  readonly store: EventStore;
  readonly stream: EventStream;
  /** A harness like this one over another database; who asks for it disposes it. */
  another(): Promise<StreamHarness>;
  /** A place of this log beyond its end: one holds it after a backup was restored that lacks the newest events. */
  ahead(): Promise<Position>;
  /** The same place in a log that has another event there: one holds it after a backup was restored and went on. */
  elsewhere(position: Position): Position;
}

/** One behaviour of a stream. */
export type StreamCase = Case<StreamHarness>;

/** All behaviours. */
export const STREAM_CASES: readonly StreamCase[] = [...READ_CASES, ...CURSOR_CASES, ...WATCH_CASES];

/** Runs the suite on a driver. */
export function testEventStream(driver: string, suite: Suite<StreamHarness>): void {
  testCases(driver, { cases: STREAM_CASES, suite });
}
