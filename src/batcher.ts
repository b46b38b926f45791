/**
 * Micro-batching, in its one place between the hub and the store: what arrives while a commit is running goes into the
 * next one. No timer delays anything: an idle hub commits at once, a busy one in large groups.
 */
import { getLogger } from "@logtape/logtape";
import { HubError } from "./errors.ts";
import { type Event, heldBytes } from "./event.ts";
import {
  COMMIT_EVENTS_MAX,
  COMMITS_IN_FLIGHT_MAX,
  IN_FLIGHT_BYTES_MAX,
  IN_FLIGHT_EVENTS_MAX,
  OVERLAPPING_COMMIT_EVENTS_MIN,
} from "./limits.ts";
import type { AppendStatus, EventStore } from "./storage.ts";

const log = getLogger(["eventhub", "batcher"]);

/** Events that share one call of `append` and one promise. */
class Group {
  readonly events: Event[] = [];
  bytes = 0;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Gives one status an event; `null` when the deadline passed and the outcome is unknown. Never rejects. */
  readonly outcome: Promise<readonly AppendStatus[] | null>;
  resolve!: (statuses: readonly AppendStatus[] | null) => void;

  constructor() {
    this.outcome = new Promise((resolve) => this.resolve = resolve);
  }
}

/** Groups events for a store. All waiting is bounded: in events, in bytes and in time. */
export class Batcher implements AsyncDisposable {
  readonly #store: Pick<EventStore, "append">;
  readonly #deadlineMs: number;
  readonly #waiting: Group[] = [];
  readonly #running = new Set<Promise<void>>();
  #events = 0;
  #bytes = 0;
  #scheduled = false;
  #closed = false;

  /** `deadlineMs`: how long a group may take before its callers are told that the outcome is unknown. */
  constructor(store: Pick<EventStore, "append">, options: { deadlineMs: number }) {
    this.#store = store;
    this.#deadlineMs = options.deadlineMs;
  }

  /** Events waiting or being committed. */
  get inFlight(): number {
    return this.#events;
  }

  /**
   * Stores one event and answers its status; `null` when the deadline passed. Rejects with `overloaded` or, when
   * closed, `unavailable`: then nothing was stored.
   */
  async submitOne(event: Event): Promise<AppendStatus | null> {
    const group = this.#open(1);
    const index = group.events.length;
    this.#add(group, event);
    const statuses = await group.outcome;
    return statuses === null ? null : statuses[index]!;
  }

  /** {@link submitOne} for many, in order. They share one group as far as its size allows. */
  async submit(events: readonly Event[]): Promise<readonly AppendStatus[] | null> {
    if (events.length === 0) return [];
    const group = this.#open(events.length);
    const offset = group.events.length;
    for (const event of events) this.#add(group, event);
    const statuses = await group.outcome;
    return statuses === null ? null : statuses.slice(offset, offset + events.length);
  }

  /** Resolves when nothing that was submitted before is waiting any more. */
  async whenIdle(): Promise<void> {
    while (this.#events > 0) {
      this.#flush();
      await Promise.all(this.#running);
    }
  }

  /** Takes nothing new and waits for what is running. Harmless twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.whenIdle();
  }

  #open(count: number): Group {
    if (this.#closed) throw new HubError("unavailable", "Cannot take events: the hub is shutting down");
    if (this.#events + count > IN_FLIGHT_EVENTS_MAX || this.#bytes > IN_FLIGHT_BYTES_MAX) {
      throw new HubError("overloaded", `Cannot take more events now: ${this.#events} are waiting to be stored`);
    }
    const last = this.#waiting.at(-1);
    if (last !== undefined && last.events.length + count <= COMMIT_EVENTS_MAX) return last;
    const group = new Group();
    group.timer = setTimeout(() => this.#expire(group), this.#deadlineMs);
    this.#waiting.push(group);
    this.#schedule();
    return group;
  }

  #add(group: Group, event: Event): void {
    const bytes = heldBytes(event);
    group.events.push(event);
    group.bytes += bytes;
    this.#events += 1;
    this.#bytes += bytes;
  }

  /** Waits for the end of the current turn, so that requests decoded in the same turn share a group. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#mayRun(this.#waiting[0]!)) {
      const group = this.#waiting.shift()!;
      const run = this.#run(group).then(() => {
        this.#running.delete(run);
        this.#flush();
      });
      this.#running.add(run);
    }
  }

  #mayRun(group: Group): boolean {
    if (this.#running.size === 0) return true;
    return this.#running.size < COMMITS_IN_FLIGHT_MAX && group.events.length >= OVERLAPPING_COMMIT_EVENTS_MIN;
  }

  async #run(group: Group): Promise<void> {
    try {
      group.resolve(await this.#store.append(group.events));
    } catch (cause) {
      // A driver must not reject; if it does, what became of the events is unknown.
      log.error("A store driver rejected an append", { cause });
      group.resolve(group.events.map(() => "unavailable" as const));
    } finally {
      this.#release(group);
    }
  }

  /** The deadline of a group: one that still waits is not stored any more, of one that runs the outcome is unknown. */
  #expire(group: Group): void {
    group.resolve(null);
    const index = this.#waiting.indexOf(group);
    if (index < 0) return;
    this.#waiting.splice(index, 1);
    this.#release(group);
  }

  #release(group: Group): void {
    clearTimeout(group.timer);
    this.#events -= group.events.length;
    this.#bytes -= group.bytes;
  }
}
