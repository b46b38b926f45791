/** A subscriber of a fleet: when its process is gone, or ends its stream, it goes on with its cursor at another one. */
import type { Member } from "./fleet.ts";
import { follow, type FollowProtocol } from "./follow.ts";
import { pause, until } from "./pace.ts";

/** What a follower follows. */
export interface FleetFollowerOptions {
  readonly protocol: FollowProtocol;
  /** The processes it goes to, in this order, over and over. */
  readonly members: readonly Member[];
  /** The cursor to start behind. */
  readonly after: string;
  /** When a process was last ended, by the clock of `performance.now()`. */
  readonly lastFailureAt: () => number;
}

/** A rest before the next connection. */
const RECONNECT_MS = 50;
/** What a failure left behind may be published again by the sweep, and that only behind what waits for the group. */
const REPEATS_MS = 60_000;

/** Takes in what comes, and counts what came again. */
export class FleetFollower {
  readonly name: string;
  readonly seen: Set<string> = new Set();
  /** Events that came again. */
  repeats = 0;
  /** Those of them without a reset or a failure before. */
  unexplained = 0;
  resets = 0;
  /** Connections that broke, or were ended by the hub. */
  reconnects = 0;
  readonly #options: FleetFollowerOptions;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #cursor: string;
  #resetAt = -Infinity;

  constructor(options: FleetFollowerOptions) {
    this.name = `${options.protocol} at ${options.members[0]!.name}`;
    this.#options = options;
    this.#cursor = options.after;
    this.#running = this.#run();
  }

  /** Waits until all of these have come; answers how many have not when the time is over. */
  async missing(ids: ReadonlySet<string>, timeoutMs: number): Promise<number> {
    const rest = new Set(ids);
    const isComplete = () => {
      for (const id of rest) if (this.seen.has(id)) rest.delete(id);
      return rest.size === 0;
    };
    await until(isComplete, { name: `${this.name} is complete`, timeoutMs }).catch(() => {});
    return rest.size;
  }

  /** Cuts the connection. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { protocol, members } = this.#options;
    const { signal } = this.#stopping;
    for (let turn = 0; !signal.aborted; turn++) {
      const end = await follow(protocol, {
        hub: members[turn % members.length]!.address,
        after: this.#cursor,
        signal,
        onEvent: (id, cursor) => this.#take(id, cursor),
        onReset: ({ cursor }) => {
          this.resets += 1;
          this.#resetAt = performance.now();
          this.#cursor = cursor;
        },
      });
      if (end.kind === "cut") return;
      if (end.kind === "ended") this.#cursor = end.cursor;
      this.reconnects += 1;
      await pause(RECONNECT_MS, signal);
    }
  }

  #take(id: string, cursor: string): void {
    this.#cursor = cursor;
    if (!this.seen.has(id)) {
      this.seen.add(id);
      return;
    }
    this.repeats += 1;
    const explainedAt = Math.max(this.#resetAt, this.#options.lastFailureAt());
    if (performance.now() - explainedAt > REPEATS_MS) this.unexplained += 1;
  }
}
