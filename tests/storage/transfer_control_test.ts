/** The cases about moving must notice these faults. */
import type { StoreTransfer } from "../../src/transfer.ts";
import { altered, type Fault, testFaults } from "../altered.ts";
import { STORE_CASES } from "./conformance.ts";
import { openMemory } from "./memory.ts";

const EQUAL =
  "transfer: a moved store is as the one it came from: events, order, every cell, what is frozen and refused";
const AGAIN = "transfer: done again, at any place, it changes nothing";
const ORDER =
  "transfer: every event comes once, as it is, in the order of the log, and erased ones come without a user";
const ONCE = "transfer: what is counted is the events and the cells of purged ones, and each once";

const FAULTS: readonly Fault<StoreTransfer>[] = [
  {
    name: "gives a page's last event again",
    break: (sound) => ({
      events: async (page) => {
        const { events, next, ...rest } = await sound.events(page);
        return { ...rest, events: next === null ? events : [...events, events.at(-1)!], next };
      },
    }),
    noticedBy: [ORDER],
  },
  {
    name: "leaves erased events out",
    break: (sound) => ({
      events: async (page) => {
        const { events, ...rest } = await sound.events(page);
        return { ...rest, events: events.filter(({ userId }) => userId !== "") };
      },
    }),
    noticedBy: [ORDER, ONCE],
  },
  {
    name: "gives events by their own time",
    break: (sound) => ({
      events: async (page) => {
        const { events, ...rest } = await sound.events(page);
        return { ...rest, events: events.toSorted((a, b) => a.timestamp - b.timestamp) };
      },
    }),
    noticedBy: [ORDER],
  },
  {
    name: "takes the time of its own clock for that of receipt",
    break: (sound) => ({ append: (events) => sound.append(events.map((one) => ({ ...one, receivedAt: 1 }))) }),
    noticedBy: [EQUAL],
  },
  {
    name: "takes every timestamp for one that was given",
    break: (sound) => ({ append: (events) => sound.append(events.map((one) => ({ ...one, timestampGiven: true }))) }),
    noticedBy: [EQUAL],
  },
  {
    name: "gives whole cells of frozen minutes, with the events that are still there",
    break: (sound) => ({ purgedCells: (page) => sound.cells("minute", page) }),
    noticedBy: [ONCE, "transfer: a store that is given its own cells back knows them"],
  },
  {
    name: "cuts the pages of purged cells",
    break: (sound) => ({
      purgedCells: async (page) => ({ ...await sound.purgedCells(page), next: null }),
    }),
    noticedBy: [ONCE],
  },
  {
    name: "adds cells again",
    break: (sound) => {
      let repeated = 0;
      return {
        addPurged: async (groups, options) => {
          const shifted = groups.map((group) => ({ ...group, start: group.start + repeated * 60_000_000 }));
          if (!options?.check) repeated++;
          return await sound.addPurged(shifted, options);
        },
      };
    },
    noticedBy: [AGAIN],
  },
  {
    name: "writes when it is only asked",
    break: (sound) => ({ addPurged: (groups) => sound.addPurged(groups) }),
    noticedBy: [AGAIN],
  },
  {
    name: "adds to what others counted",
    break: (sound) => ({
      addPurged: async (groups, options) => (await sound.addPurged(groups, options)).map(() => "added" as const),
    }),
    noticedBy: ["transfer: cells of purged events where something else is counted are a conflict, and nothing changes"],
  },
  {
    name: "freezes nothing",
    break: () => ({ refuseThrough: () => Promise.resolve() }),
    noticedBy: [EQUAL],
  },
  {
    name: "forgets histograms",
    break: (sound) => ({
      addPurged: (groups, options) =>
        sound.addPurged(
          groups.map((group) => {
            const cells = [...group.cells].map(([type, cell]) => {
              const histogram = new (cell.histogram.constructor as new () => typeof cell.histogram)();
              histogram.add(1, cell.count);
              return [type, { ...cell, histogram }] as const;
            });
            return { ...group, cells: new Map(cells) };
          }),
          options,
        ),
    }),
    noticedBy: [EQUAL],
  },
];

testFaults("a transfer", {
  cases: STORE_CASES,
  faults: FAULTS,
  open: async (fault) => {
    const harness = await openMemory();
    return { ...harness, transfer: altered(harness.transfer, fault.break(harness.transfer)) };
  },
});
