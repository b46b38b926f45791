/**
 * The table of behaviours: what a hub does, whatever the protocol. Every case runs over REST, GraphQL and gRPC; those of
 * live events also over GraphQL's second way to follow, those of many events also over gRPC's second way to send.
 * `conformance_test.ts` runs it over the memory drivers and over the real process.
 */
import { caseNamed, runCase, type Suite, testCases } from "../conformance.ts";
import type { Protocol } from "./clients.ts";
import { ACROSS, SHUTDOWN } from "./conformance/across.ts";
import { BATCH } from "./conformance/batch.ts";
import { type Behaviour, DAY, type Harness } from "./conformance/behaviour.ts";
import { FIELD_FAULTS } from "./conformance/faults.ts";
import { LIST } from "./conformance/list.ts";
import { LIVE } from "./conformance/live.ts";
import { PUBLISH } from "./conformance/publish.ts";
import { ROWS, ROWS_ACROSS } from "./conformance/rows.ts";
import { TROUBLE } from "./conformance/trouble.ts";
import { type Address, type LabOptions, NEEDS, openClients, openLab } from "./served.ts";

/** The cases of one protocol. */
export const BEHAVIOURS: readonly Behaviour[] = [
  ...PUBLISH,
  ...FIELD_FAULTS,
  ...BATCH,
  ...TROUBLE,
  ...LIST,
  ...ROWS,
  ...LIVE,
];

/** The cases between protocols. */
export const BEHAVIOURS_ACROSS: readonly Behaviour[] = [...ACROSS, ...ROWS_ACROSS, SHUTDOWN];

/** The cases of many events at once, wherever they stand. */
const BATCHED: readonly Behaviour[] = [
  ...BATCH,
  ...[
    "in a batch each faulty member is named the same way",
    "a batch not known to be stored has an id for every event to retry with",
  ]
    .map((name) => caseNamed(BEHAVIOURS, name)),
];

/** What stands under the test: a way to follow has the cases of live events alone, a way to send many those. */
const COLUMNS: Readonly<Record<Protocol | "all", readonly Behaviour[]>> = {
  "rest": BEHAVIOURS,
  "graphql": BEHAVIOURS,
  "grpc": BEHAVIOURS,
  "graphql-ws": LIVE,
  "grpc-stream": BATCHED,
  "all": BEHAVIOURS_ACROSS,
};

const LAST_METRICS = "the metrics of the last minutes are exact at both ends";
const MOVING_CURSOR = "silence is broken every 15 s by a cursor that has moved";
const SAME_STREAM = "after a reset the same stream goes on";

/** Where a protocol has no such thing, or has it in another way; by the name of the case, with the place that says so. */
const DEVIATIONS: Readonly<Record<keyof typeof COLUMNS, Readonly<Record<string, string>>>> = {
  "rest": {
    [LAST_METRICS]: "only GraphQL has aggregatedMetrics: contract, section 3",
  },
  "graphql": {
    "a list can be asked for oldest first": "the connection has no order: contract, section 3",
    [MOVING_CURSOR]: "a sign of life of GraphQL over SSE carries no data",
    [SAME_STREAM]: "a lost position ends the subscription: contract, section 3",
  },
  "graphql-ws": {
    [MOVING_CURSOR]: "a sign of life of graphql-transport-ws carries no data",
    [SAME_STREAM]: "a lost position ends the subscription: contract, section 3",
    "a follower that does not read is ended after 30 s, and goes on from its last cursor":
      "a WebSocket of Deno reads by itself; the task soak:stalled has one that does not",
  },
  "grpc": {
    "a timestamp without a zone is read in the zone of the configuration": "a Timestamp has no zone",
    [LAST_METRICS]: "only GraphQL has aggregatedMetrics: contract, section 3",
    "rows of windows come first for the last two windows, then whenever one changes":
      "gRPC has no stream of windows: contract, section 4",
  },
  "grpc-stream": {
    "10,000 events are taken; with one more nothing is stored": "a stream has no end: contract, section 4",
    "a batch with very many faults tells all of the first events, and the first of each further one":
      "a stream has a budget for each of its commits",
  },
  "all": {},
};

/** Registers the table over the memory drivers: a hub of its own for every case and protocol. */
export function testBehaviours(): void {
  for (const [column, cases] of Object.entries(COLUMNS) as [keyof typeof COLUMNS, readonly Behaviour[]][]) {
    const suite: Suite<Harness> = {
      open: () => openHarness(column),
      deviations: DEVIATIONS[column],
      needs: NEEDS,
    };
    testCases(`behaviour of ${column}`, { cases, suite });
  }
}

/** A hub of its own over the memory drivers, under a column of the table. */
export async function openHarness(column: keyof typeof COLUMNS, options: LabOptions = {}): Promise<Harness> {
  const lab = await openLab(options);
  const clients = await openClients(lab);
  return {
    client: clients[column === "all" ? "rest" : column],
    clients,
    label: "case",
    day: Date.UTC(2024, 0, 1),
    lab,
    settled: () => lab.hub.whenSettled(),
    shutDown: () => lab.shutDown(),
    [Symbol.asyncDispose]: async () => {
      await clients[Symbol.asyncDispose]();
      await lab[Symbol.asyncDispose]();
    },
  };
}

/**
 * Runs the table as the steps of one test, over one hub that stays: cases do not see each other's events. The last ends
 * it. `deviations` of the hub are by the name of the case, each with its reason.
 */
export async function stepThrough(
  test: Deno.TestContext,
  hub: Address & Pick<Harness, "settled" | "shutDown">,
  deviations: Readonly<Record<string, string>> = {},
): Promise<void> {
  await using clients = await openClients(hub);
  let number = 0;
  for (const [column, cases] of Object.entries(COLUMNS) as [keyof typeof COLUMNS, readonly Behaviour[]][]) {
    for (const one of cases) {
      number += 1;
      const reason = DEVIATIONS[column][one.name] ?? one.lab ?? deviations[one.name] ?? null;
      const harness: Harness = {
        client: clients[column === "all" ? "rest" : column],
        clients,
        label: `case${number}`,
        // Two weeks apart, and long ago.
        day: Date.UTC(1980, 0, 1) + 14 * number * DAY,
        lab: null,
        settled: () => hub.settled(),
        shutDown: () => hub.shutDown(),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
      await test.step({
        name: `${column}: ${one.name}${reason === null ? "" : ` (${reason})`}`,
        ignore: reason !== null,
        fn: () => runCase(one, () => Promise.resolve(harness)),
      });
    }
  }
}
