/**
 * What speaks against using a Redis that answers: its keys are those of another database, or another Redis has taken its
 * place. A marker names the database it was made for, so that two hubs that were given one prefix by mistake do not count
 * and deliver each other's events. A marker and a run that are those of an epoch before the last say that this is a Redis
 * that lost nothing, while processes of this database follow another one: what is published here is seen by nobody there.
 */
import { EPOCH_FOLLOWED_MS, EPOCH_READ_GAP_MS } from "../limits.ts";
import type { Epoch } from "../publication.ts";

/** Why a Redis must not be used. */
export interface Objection {
  readonly kind: "foreign" | "replaced";
  /** What is wrong and what to do, for the log and for health. */
  readonly detail: string;
}

/** What was seen in Redis. */
interface Seen {
  readonly marker: string;
  readonly run: string;
}

/** What is known of the database beside it. */
interface Known {
  readonly database: string;
  /** Oldest first. */
  readonly epochs: readonly Epoch[];
  /** Whether anybody may follow the last of them. */
  readonly isFollowed: boolean;
  /** Key of the stream. */
  readonly stream: string;
}

/** A marker of an epoch of a database. Those of earlier versions had no name of a database in front. */
export function markerOf(database: string, random: string): string {
  return `${database}.${random}`;
}

/** The database a marker was made for; `null` where it does not say, or there is none. */
export function databaseOf(marker: string): string | null {
  const end = marker.indexOf(".");
  return end === -1 ? null : marker.slice(0, end);
}

/** Whether a marker was made for another database. */
export function isForeign(marker: string, database: string): boolean {
  const owner = databaseOf(marker);
  return owner !== null && owner !== database;
}

/**
 * Whether anybody follows the last epoch, as one reader of the store sees it. That nobody noted it for long tells nothing
 * by itself: while the store is away nobody can. So it must be seen unchanged by somebody who could read the store
 * meanwhile.
 */
export class Following {
  readonly #ms: number;
  #seen:
    | { readonly number: number; readonly followedAt: number; readonly since: number; readonly until: number }
    | null = null;

  /** `ms`: how long it must be seen so. */
  constructor(ms = EPOCH_FOLLOWED_MS) {
    this.#ms = ms;
  }

  /** The store was read just now. */
  isFollowed({ number, followedAt }: Epoch): boolean {
    const [now, seen] = [performance.now(), this.#seen];
    const isSame = seen?.number === number && seen.followedAt === followedAt && now - seen.until < EPOCH_READ_GAP_MS;
    const since = isSame ? seen.since : now;
    this.#seen = { number, followedAt, since, until: now };
    return now - since < this.#ms;
  }

  /** The store could not be read. */
  interrupt(): void {
    this.#seen = null;
  }
}

/** Why this Redis must not be used; `null` when nothing speaks against it. */
export function objectionTo({ marker, run }: Seen, { database, epochs, isFollowed, stream }: Known): Objection | null {
  if (isForeign(marker, database)) {
    return {
      kind: "foreign",
      detail:
        `The keys "${stream}" and "${stream}:…" in Redis belong to another database: nothing is published there ` +
        `and nothing taken. Set EVENTHUB_STREAM_PREFIX to a name that no other database uses`,
    };
  }
  const last = epochs.at(-1);
  const isFormer = epochs.some((epoch) => epoch !== last && epoch.marker === marker && epoch.runId === run);
  if (!isFormer || !isFollowed) return null;
  return {
    kind: "replaced",
    detail: "Other processes of this database use another Redis by now: nothing is published in this one and nothing " +
      "taken. Give all processes the same EVENTHUB_STREAM_URL; where none uses the other one, this one is used again",
  };
}
