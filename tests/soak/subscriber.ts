/** A subscriber that goes on where it stopped, however often its connection is cut. */
import { follow, type FollowEnd, type FollowProtocol, type HubAddress } from "./follow.ts";
import { until } from "./pace.ts";

/** Collects the ids of everything behind a cursor, over one protocol. */
export class Subscriber {
  readonly name: string;
  readonly protocol: FollowProtocol;
  /** Ids in the order they came, over all connections. */
  readonly ids: string[] = [];
  /** Called with each id when it comes. */
  onEvent: (id: string) => void = () => {};
  /** The cursor of the last event, or where it started. */
  cursor: string;
  #connection: { stop: AbortController; ended: Promise<FollowEnd> } | null = null;

  constructor(protocol: FollowProtocol, options: { number: number; after: string }) {
    this.protocol = protocol;
    this.name = `${protocol}#${options.number}`;
    this.cursor = options.after;
  }

  /** Connects behind the cursor. */
  connect(hub: HubAddress): void {
    const stop = new AbortController();
    const onEvent = (id: string, cursor: string) => {
      this.ids.push(id);
      this.cursor = cursor;
      this.onEvent(id);
    };
    const ended = follow(this.protocol, { hub, after: this.cursor, signal: stop.signal, onEvent });
    this.#connection = { stop, ended };
  }

  /** How the running connection ends; it must have been opened with {@link connect}. */
  get ended(): Promise<FollowEnd> {
    if (this.#connection === null) throw new Error(`Cannot wait for ${this.name}: it has no connection`);
    return this.#connection.ended;
  }

  /** Cuts the connection and waits until it is gone; how it ended. */
  async cut(): Promise<FollowEnd> {
    this.#connection?.stop.abort();
    return await this.ended;
  }

  /** Waits until so many ids have come in all. */
  async whenReceived(count: number, timeoutMs: number): Promise<void> {
    await until(() => this.ids.length >= count, { name: `${this.name} has received ${count} events`, timeoutMs });
  }

  /** Waits until an id is the last that has come. */
  async whenSeen(id: string, timeoutMs: number): Promise<void> {
    await until(() => this.ids.at(-1) === id, { name: `${this.name} has received ${id}`, timeoutMs });
  }
}

/** Where two sequences part: a sentence, or `null` when they are equal. */
export function difference(name: string, actual: readonly string[], expected: readonly string[]): string | null {
  const index = expected.findIndex((id, position) => actual[position] !== id);
  if (index < 0 && actual.length === expected.length) return null;
  const place = index < 0 ? expected.length : index;
  const seen = new Set(actual);
  const missing = expected.filter((id) => !seen.has(id)).length;
  const repeated = actual.length - seen.size;
  return `${name}: at event ${place} got ${actual[place]} instead of ${expected[place]}; ` +
    `${actual.length} events of ${expected.length}, ${missing} missing, ${repeated} repeated`;
}
