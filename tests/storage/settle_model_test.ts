/** The settle protocol keeps its promises in every state of a model, and protocols that are wrong in one point do not. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { PROTOCOL, type Scope } from "./settle_model.ts";
import { CONTROLS } from "./settle_model_controls.ts";
import { type Exploration, explore } from "./settle_model_explorer.ts";
import { LARGE_SCOPES, SMALL_SCOPES } from "./settle_model_scopes.ts";
import { pack, packWorker, State, STATE_WORDS, unpack } from "./settle_model_state.ts";

const STATES_MAX = 4_000_000;

const explored = new Map<string, Exploration>();
for (const scope of Object.values<Scope>(SMALL_SCOPES)) {
  Deno.test(`settle model: ${scope.name}: every state keeps every promise`, () => {
    const found = explore(scope, PROTOCOL, { statesMax: STATES_MAX });
    explored.set(scope.name, found);
    assertEquals(found.violation, null);
    assert(found.transitions > found.states);
  });
}

Deno.test("settle model: every step of the protocol is taken in some scope", () => {
  // The scopes are explored above; one that runs alone is explored here.
  const all = Object.values<Scope>(SMALL_SCOPES)
    .map((scope) => explored.get(scope.name) ?? explore(scope, PROTOCOL, { statesMax: STATES_MAX }));
  const taken = new Set(all.flatMap(({ steps }) => [...steps]));
  assertEquals([...taken].sort(), [...STEPS].sort());
});

for (const { name, why, scope, rules, breaks } of CONTROLS) {
  Deno.test(`control: settle model: ${name}: ${why}`, () => {
    const { violation } = explore(scope, rules, { statesMax: STATES_MAX });
    assertEquals(violation?.promise, breaks);
  });
}

Deno.test("settle model: the trace of a broken promise is a shortest one, and tells each step", () => {
  const { scope, rules } = CONTROLS.find(({ name }) => name === "clears before the minutes are merged")!;
  const { violation } = explore(scope, rules, { statesMax: STATES_MAX });
  assertEquals(violation?.trace.map((line) => line.replace(/ +\| /, " | ")), [
    "1 append: inserted {A} | events {A} pend {A} unpub {} slices {} minutes {}",
    "worker 1: 6 sweep: read with pend {A} | events {A} pend {A} unpub {} slices {} minutes {}",
    "worker 1: 4 recompute slice: scans a document {A} | events {A} pend {A} unpub {} slices {} minutes {}",
    "worker 1: 4 recompute slice: none with a smaller n, tries to insert {A} | events {A} pend {A} unpub {} slices {} minutes {}",
    "worker 1: 4 recompute slice: inserted {A} | events {A} pend {A} unpub {} slices {A} minutes {}",
    "worker 1: 5 clear: pend unset, unpub set {A} | events {A} pend {} unpub {A} slices {A} minutes {}",
  ]);
});

Deno.test("settle model: a scope with more states than allowed is no success", () => {
  assertThrows(() => explore(LARGE_SCOPES[0]!, PROTOCOL, { statesMax: 10_000 }), RangeError, "more than 10000 states");
});

Deno.test("settle model: what is packed comes back, with interchangeable workers in order", () => {
  const state = Object.assign(new State(), {
    ...{ sending: 1, stored: 2, pend: 3, unpub: 4, purged: 5, published: 6, entries: 7, twice: 8, listed: 9 },
    ...{ cells: [10, 11, 12], old: 2, floor: 3, hidden: 13, away: true },
    workers: [7, 127, 64].map((at) => packWorker({ at, sweeping: at > 64, read: 15, counted: 14 })),
  });
  const words = new Uint32Array(STATE_WORDS * 2);
  pack(state, words, STATE_WORDS);
  const back = unpack(words, STATE_WORDS);
  const sorted = [...state.workers].sort((a, b) => b - a);
  assertEquals(back, Object.assign(state.copy(), { workers: sorted }));
});

/** What the driver does, as the traces call it. */
const STEPS = [
  "1 append: taken",
  "1 append: inserted",
  "2 publish",
  "3 read: entries delivered",
  "3 read: entries match none, XACK",
  ...["slice", "minute", "hour"].flatMap((cell) =>
    ["scans a document", "replaced", "none with a smaller n, tries to insert", "inserted", "11000"]
      .concat("replaced without upsert", "matched 0, a fuller one is there")
      .map((step) => `4 recompute ${cell}: ${step}`)
  ),
  // Hours and minutes are never deleted; a slice goes with its events while a worker holds some of them.
  "4 recompute slice: found nothing to write",
  "4 recompute minute: found nothing to write",
  "5 clear: pend unset",
  "5 clear: pend unset, unpub set",
  "5 clear: matched 0",
  "5 XACK",
  "5 XACK fails: Redis is away",
  "6 sweep: read with pend",
  "6 sweep: published again",
  "6 sweep: unpub unset",
  "purge: floor raised",
  "purge: lists what is due",
  "purge: event deleted",
  "purge: slice deleted with its events",
  "purge: ends",
  "a minute is older than retention",
  "retention is set longer",
  "Redis goes away",
  "Redis comes back",
  "Redis loses everything",
  "a new primary is behind",
  "the primary has caught up",
  "crash",
];
