/** Controls: hubs that break a promise, which the table of behaviours must notice over every protocol. */
import { HubError } from "../../src/errors.ts";
import type { HubApi } from "../../src/hub.ts";
import { altered, type Fault, testFaults } from "../altered.ts";
import { BEHAVIOURS, openHarness } from "./conformance.ts";
import { lacking, NEEDS } from "./served.ts";

/** Rejections of a method, changed. */
function failing<Arguments extends unknown[], Result>(
  method: (...given: Arguments) => Promise<Result>,
  change: (error: HubError) => HubError | Result,
): (...given: Arguments) => Promise<Result> {
  return async (...given) => {
    try {
      return await method(...given);
    } catch (error) {
      if (!(error instanceof HubError)) throw error;
      const changed = change(error);
      if (changed instanceof HubError) throw changed;
      return changed;
    }
  };
}

const FAULTS: readonly Fault<HubApi>[] = [
  {
    name: "loses the fourth digit of an amount",
    break: (hub) => ({
      get: async (tenant, id) => {
        const event = await hub.get(tenant, id);
        return { ...event, amount: Math.trunc(event.amount / 10) * 10 };
      },
    }),
    noticedBy: ["amounts are exact, to four digits and a billion in both directions"],
  },
  {
    name: "calls a duplicate new",
    break: (hub) => ({ publish: async (input, sender) => ({ ...await hub.publish(input, sender), duplicate: false }) }),
    noticedBy: ["the same event again is a duplicate, also without its timestamp or written in another way"],
  },
  {
    name: "calls a conflict a duplicate",
    break: (hub) => ({
      publish: failing(
        (...given) => hub.publish(...given),
        (error) => error.code === "conflict" ? { id: "any", duplicate: true } : error,
      ),
    }),
    noticedBy: ["an id with other content is a conflict, and the first copy stays"],
  },
  {
    name: "tells only the first fault",
    break: (hub) => ({
      publish: failing(
        (...given) => hub.publish(...given),
        ({ code, message, errors }) => new HubError(code, message, { errors: errors.slice(0, 1) }),
      ),
    }),
    noticedBy: ["everything that is wrong is told at once"],
  },
  {
    name: "forgets the id it gave",
    break: (hub) => ({
      publish: failing((...given) => hub.publish(...given), ({ code, message }) => new HubError(code, message)),
    }),
    noticedBy: ["an event not known to be stored is unavailable, and the retry with the id given is safe"],
  },
  {
    name: "mixes up the results of a batch",
    break: (hub) => ({ publishBatch: async (...given) => (await hub.publishBatch(...given)).toReversed() }),
    noticedBy: ["one bad event among good ones harms no other"],
  },
  {
    name: "leaves out an event between two pages",
    break: (hub) => ({
      list: async (filter, page) => {
        const listed = await hub.list(filter, page);
        return page.cursor === undefined ? listed : altered(listed, { events: listed.events.slice(1) });
      },
    }),
    noticedBy: ["a list is newest first, and its pages cover everything once, whatever their length"],
  },
  {
    name: "answers nothing when the store cannot be reached",
    break: (hub) => ({
      aggregates: failing((...given) => hub.aggregates(...given), () => ({ from: 0, to: 0, rows: [] })),
    }),
    noticedBy: ["an unreachable store is an error of every question, never zeros"],
  },
  {
    name: "counts an event too many",
    break: (hub) => ({
      aggregates: async (request) => {
        const found = await hub.aggregates(request);
        return { ...found, rows: found.rows.map((row) => ({ ...row, count: row.count + 1 })) };
      },
    }),
    noticedBy: ["windows count and sum exactly what was stored, by any size, type and range"],
  },
  {
    name: "begins every stream at the oldest event",
    break: (hub) => ({ subscribe: (options) => hub.subscribe({ ...options, start: { at: "earliest" } }) }),
    noticedBy: ["a follower goes on behind any cursor it was given"],
  },
  {
    name: "gives every follower everything",
    break: (hub) => ({ subscribe: (options) => hub.subscribe({ ...options, filter: {} }) }),
    noticedBy: ["a follower can be restricted to a user and to types"],
  },
];

const reason = lacking(NEEDS);
for (const protocol of ["rest", "graphql", "grpc"] as const) {
  if (reason === null) {
    testFaults(`a hub over ${protocol}`, {
      cases: BEHAVIOURS,
      faults: FAULTS,
      open: (fault) => openHarness(protocol, { wrapHub: (hub) => altered(hub, fault.break(hub)) }),
    });
  } else {
    Deno.test({ name: `control: a hub over ${protocol} (${reason})`, ignore: reason !== null, fn: () => {} });
  }
}
