/** The suite of the stream port must notice these faults; a suite that passes everything proves nothing. */
import type { EventStream } from "../../src/stream.ts";
import { altered, type Fault, testFaults } from "../altered.ts";
import { STREAM_CASES } from "./conformance.ts";
import { openMemory } from "./memory.ts";

const READ_FAULTS: readonly Fault<EventStream>[] = [
  {
    name: "skips an event between two pages",
    break: (sound) => {
      let pages = 0;
      return {
        read: async (options) => {
          const page = await sound.read(options);
          pages += 1;
          return pages > 1 ? { ...page, entries: page.entries.slice(1) } : page;
        },
      };
    },
    noticedBy: [
      "read: the order of storing, whatever the page size, each event as it was sent",
      "read: a large batch, in pages as the tail reads them",
    ],
  },
  {
    name: "repeats an event between two pages",
    break: (sound) => ({
      read: async (options) => {
        const page = await sound.read(options);
        const before = page.entries.at(-2);
        return before && !page.caughtUp ? { ...page, position: before.position } : page;
      },
    }),
    noticedBy: [
      "read: the order of storing, whatever the page size, each event as it was sent",
      "read: a large batch, in pages as the tail reads them",
    ],
  },
  {
    name: "calls the first page the last",
    break: (sound) => ({ read: async (options) => ({ ...await sound.read(options), caughtUp: true }) }),
    noticedBy: ["read: of a tenant only its own, however few they are among others"],
  },
  {
    name: "shows the events of all tenants",
    break: (sound) => ({ read: ({ after, limit }) => sound.read({ after, limit }) }),
    noticedBy: [
      "read: of a tenant only its own, however few they are among others",
      "follow: two tenants on one log, each with its own events",
    ],
  },
  {
    name: "hands pages out backwards",
    break: (sound) => ({
      read: async (options) => {
        const page = await sound.read(options);
        return { ...page, entries: page.entries.toReversed() };
      },
    }),
    noticedBy: [
      "read: the order of storing, whatever the page size, each event as it was sent",
      "follow: readers beside many appends see every event once, in one order",
    ],
  },
  {
    name: "does not say that the purge was faster",
    break: (sound) => ({ read: async (options) => ({ ...await sound.read(options), reset: undefined }) }),
    noticedBy: ["read: a reader whom the purge overtakes is told so, and goes on at the oldest event kept"],
  },
];

const CURSOR_FAULTS: readonly Fault<EventStream>[] = [
  {
    name: "goes on at the end when it lost the place, and says nothing",
    break: (sound) => ({
      open: async (tenant, start) => {
        const opened = await sound.open(tenant, start);
        return opened.reset ? { position: await sound.head(), reset: null } : opened;
      },
    }),
    noticedBy: [
      "cursor: of another database is a reset to the oldest event kept",
      "cursor: from beyond the end of the log is a reset",
      "cursor: of a place where the log now has another event is a reset",
      "cursor: of a purged event is a reset that skips to the oldest event kept",
    ],
  },
  {
    name: "takes cursors of other tenants",
    break: (sound) => ({
      cursor: (_, position) => sound.cursor("one", position),
      open: (_, start) => sound.open("one", start),
    }),
    noticedBy: ["cursor: of another tenant is invalid"],
  },
  {
    name: "takes what it cannot read for the end",
    break: (sound) => ({
      open: async (tenant, start) => {
        const [opened] = await Promise.allSettled([sound.open(tenant, start)]);
        return opened.status === "fulfilled" ? opened.value : { position: await sound.head(), reset: null };
      },
    }),
    noticedBy: [
      "cursor: altered, cut or lengthened anywhere is invalid",
      "cursor: of a list is invalid, and one of another kind of stream is noticed",
    ],
  },
  {
    name: "forgets the place of a purged event",
    break: (sound) => ({
      open: async (tenant, start) => {
        const opened = await sound.open(tenant, start);
        const { position } = await sound.open(tenant, { at: "earliest" });
        const isOldest = "cursor" in start && opened.position === position && !position.startsWith("0".repeat(16));
        return isOldest ? { position, reset: { reason: "expired", mode: "skip" } } : opened;
      },
    }),
    noticedBy: ["cursor: right behind the last purged event nothing was missed"],
  },
];

const WATCH_FAULTS: readonly Fault<EventStream>[] = [
  {
    name: "goes on calling who stopped watching",
    break: (sound) => ({
      watch: (listener) => {
        sound.watch(listener);
        return () => {};
      },
    }),
    noticedBy: ["watch: who stopped watching is not called, who still watches is"],
  },
  {
    name: "names cells that did not change",
    break: (sound) => ({
      watchCells: (listener) =>
        sound.watchCells((cells) =>
          listener(cells === "all" ? cells : [...cells, { tenant: "default", start: 0, eventType: "purchase" }])
        ),
    }),
    noticedBy: ["watchCells: names the cells that a commit changed, and no others"],
  },
];

testFaults("a stream", {
  cases: STREAM_CASES,
  faults: [...READ_FAULTS, ...CURSOR_FAULTS, ...WATCH_FAULTS],
  open: async (fault) => {
    const harness = await openMemory();
    return { ...harness, stream: altered(harness.stream, fault.break(harness.stream)) };
  },
});
