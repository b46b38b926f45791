/** Micro-batching: what shares a commit, what is bounded, and what callers are told. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Batcher } from "../src/batcher.ts";
import { HubError } from "../src/errors.ts";
import type { Event } from "../src/event.ts";
import {
  COMMIT_EVENTS_MAX,
  COMMITS_IN_FLIGHT_MAX,
  IN_FLIGHT_BYTES_MAX,
  IN_FLIGHT_EVENTS_MAX,
  OVERLAPPING_COMMIT_EVENTS_MIN,
} from "../src/limits.ts";
import type { AppendStatus } from "../src/storage.ts";

function event(id: string): Event {
  return {
    id,
    tenant: "default",
    userId: "u",
    eventType: "purchase",
    amount: 10_000,
    timestamp: 0,
    timestampGiven: true,
    receivedAt: 0,
    source: "rest",
    properties: null,
  };
}

/** A store whose commits end when the test says so. */
class HeldStore {
  readonly calls: { events: readonly Event[]; resolve: (statuses: readonly AppendStatus[]) => void }[] = [];

  append(events: readonly Event[]): Promise<readonly AppendStatus[]> {
    return new Promise((resolve) => this.calls.push({ events, resolve }));
  }

  finish(index: number, status: AppendStatus = "stored"): void {
    const call = this.calls[index]!;
    call.resolve(call.events.map(() => status));
  }

  /** Ends every commit there is and will be. */
  async finishAll(batcher: Batcher): Promise<void> {
    const idle = batcher.whenIdle();
    for (let next = 0; batcher.inFlight > 0;) {
      if (next < this.calls.length) this.finish(next++);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await idle;
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

Deno.test("batcher: events of one turn share a commit, and each gets its own status", async () => {
  const store = new HeldStore();
  const batcher = new Batcher(store, { deadlineMs: 60_000 });
  const answers = Promise.all([batcher.submitOne(event("a")), batcher.submit([event("b"), event("c")])]);
  await turn();
  assertEquals(store.calls.map((call) => call.events.map(({ id }) => id)), [["a", "b", "c"]]);
  store.calls[0]!.resolve(["stored", "duplicate", "conflict"]);
  assertEquals(await answers, ["stored", ["duplicate", "conflict"]]);
});

Deno.test("batcher: an idle hub commits at once; what comes during the running commits goes into the next", async () => {
  const store = new HeldStore();
  const batcher = new Batcher(store, { deadlineMs: 60_000 });
  const first = batcher.submitOne(event("first"));
  await turn();
  assertEquals(store.calls.length, 1);
  const later: Promise<unknown>[] = [];
  for (const id of ["x", "y"]) {
    later.push(batcher.submitOne(event(id)));
    await turn();
  }
  assertEquals(store.calls.length, 1);
  store.finish(0);
  await first;
  await turn();
  assertEquals(store.calls.at(-1)!.events.map(({ id }) => id), ["x", "y"]);
  await store.finishAll(batcher);
  await Promise.all(later);
});

Deno.test("batcher: large groups overlap, so that the store has work while answers go out", async () => {
  const store = new HeldStore();
  const batcher = new Batcher(store, { deadlineMs: 60_000 });
  const answers: Promise<unknown>[] = [];
  for (let index = 0; index < COMMITS_IN_FLIGHT_MAX + 1; index++) {
    const ids = Array.from({ length: OVERLAPPING_COMMIT_EVENTS_MIN }, (_, number) => `${index}-${number}`);
    answers.push(batcher.submit(ids.map(event)));
    await turn();
  }
  assertEquals(store.calls.length, COMMITS_IN_FLIGHT_MAX);
  await store.finishAll(batcher);
  await Promise.all(answers);
  assertEquals(store.calls.length, COMMITS_IN_FLIGHT_MAX + 1);
});

Deno.test("batcher: a group is no larger than a commit, but a batch stays whole", async () => {
  const store = new HeldStore();
  const batcher = new Batcher(store, { deadlineMs: 60_000 });
  const large = batcher.submit(Array.from({ length: COMMIT_EVENTS_MAX + 1 }, (_, index) => event(`l${index}`)));
  const small = batcher.submitOne(event("small"));
  await turn();
  await store.finishAll(batcher);
  assertEquals(store.calls.map((call) => call.events.length), [COMMIT_EVENTS_MAX + 1, 1]);
  assertEquals((await large)?.length, COMMIT_EVENTS_MAX + 1);
  assertEquals(await small, "stored");
});

Deno.test("batcher: beyond the bound of events in flight it is overloaded, and takes again afterwards", async () => {
  const store = new HeldStore();
  const batcher = new Batcher(store, { deadlineMs: 60_000 });
  const full = batcher.submit(Array.from({ length: IN_FLIGHT_EVENTS_MAX }, (_, index) => event(`${index}`)));
  const error = await assertRejects(() => batcher.submitOne(event("more")), HubError);
  assertEquals(error.code, "overloaded");
  assert(error.retryable);
  await store.finishAll(batcher);
  await full;
  const again = batcher.submitOne(event("again"));
  await store.finishAll(batcher);
  await turn();
  store.calls.at(-1)!.resolve(["stored"]);
  assertEquals(await again, "stored");
});

Deno.test("batcher: beyond the bound of bytes in flight it is overloaded, however few the events", async () => {
  const store = new HeldStore();
  const batcher = new Batcher(store, { deadlineMs: 60_000 });
  const properties = JSON.stringify({ text: "x".repeat(16_000) });
  const large = Array.from({ length: 1 + IN_FLIGHT_BYTES_MAX / 16_000 }, (_, i) => ({ ...event(`${i}`), properties }));
  const full = batcher.submit(large);
  assertEquals((await assertRejects(() => batcher.submitOne(event("more")), HubError)).code, "overloaded");
  await store.finishAll(batcher);
  assertEquals((await full)?.length, large.length);
});

Deno.test("batcher: a commit beyond the deadline answers that the outcome is unknown", async () => {
  const store = new HeldStore();
  const batcher = new Batcher(store, { deadlineMs: 1 });
  assertEquals(await batcher.submitOne(event("a")), null);
  assertEquals(batcher.inFlight, 1, "it still counts until the store has answered");
  await store.finishAll(batcher);
});

Deno.test("batcher: what waits behind commits that hang has the same deadline, and is then not stored", async () => {
  const store = new HeldStore();
  const batcher = new Batcher(store, { deadlineMs: 5 });
  const answers: Promise<AppendStatus | null>[] = [];
  for (let index = 0; index < 3; index++) {
    answers.push(batcher.submitOne(event(`${index}`)));
    await turn();
  }
  assertEquals(await Promise.all(answers), answers.map(() => null));
  assertEquals(batcher.inFlight, 1);
  await store.finishAll(batcher);
  assertEquals(store.calls.length, 1);
});

Deno.test("batcher: a driver that rejects makes its events unavailable and harms no later ones", async () => {
  let failing = true;
  const batcher = new Batcher({
    append: (events) => failing ? Promise.reject(new Error("broken")) : Promise.resolve(events.map(() => "stored")),
  }, { deadlineMs: 60_000 });
  assertEquals(await batcher.submitOne(event("a")), "unavailable");
  failing = false;
  assertEquals(await batcher.submitOne(event("a")), "stored");
});

Deno.test("batcher: closing waits for what is running and takes nothing new", async () => {
  const store = new HeldStore();
  const batcher = new Batcher(store, { deadlineMs: 60_000 });
  const running = batcher.submitOne(event("a"));
  const closing = batcher[Symbol.asyncDispose]();
  const error = await assertRejects(() => batcher.submitOne(event("b")), HubError);
  assertEquals(error.code, "unavailable");
  await turn();
  store.finish(0);
  assertEquals(await running, "stored");
  await closing;
  await batcher[Symbol.asyncDispose]();
});
