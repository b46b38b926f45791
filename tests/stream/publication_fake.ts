/**
 * A store beside which a stream can stand: the memory store with times of publication, insertions that wait to be
 * counted, and epochs. It is what the MongoDB driver is to the Redis stream, without a server.
 */
import { HubError } from "../../src/errors.ts";
import type { Event } from "../../src/event.ts";
import {
  comparePlaces,
  type Epoch,
  type Insertion,
  type PublicationPage,
  type PublicationPlace,
  type PublicationSource,
  type SettleSource,
  type StoredEvent,
} from "../../src/publication.ts";
import type { AppendStatus } from "../../src/storage.ts";
import { MemoryStore } from "../../src/storage/memory.ts";
import type { ChangedCell } from "../../src/stream.ts";
import { minuteOf } from "../../src/window.ts";

interface Document extends StoredEvent {
  pub: number;
  /** Not counted yet. */
  pending: boolean;
  /** How often it was counted: what must become 1. */
  counted: number;
  unpub: boolean;
  erased: boolean;
}

/** The store, its publication and its counting in memory. */
export class FakeStore extends MemoryStore implements PublicationSource, SettleSource {
  /** Whether the publication and the counting reject as unavailable. */
  down = false;
  /** Whether the events of one append share a time of publication, as in a real store. */
  tied = false;
  /** How far the clock of the store is ahead of the machine's, milliseconds. */
  skewMs = 0;
  /** A time at which its clock stands; `null` while it goes. */
  at: number | null = null;
  readonly #documents = new Map<string, Document>();
  readonly #listeners = new Set<(group: readonly StoredEvent[]) => void>();
  readonly #epochs: Epoch[] = [];
  readonly #database = crypto.randomUUID();
  #sorted: Document[] | null = null;
  #lastPub = 0;
  #purgedUntil: number | null = null;
  #inserted = 0;

  /** Everything stored, by key. */
  get documents(): ReadonlyMap<string, Readonly<Document>> {
    return this.#documents;
  }

  override async append(events: readonly Event[]): Promise<readonly AppendStatus[]> {
    const statuses = await super.append(events);
    const pub = this.at ?? Math.max(this.now(), this.#lastPub + 1);
    const group = events.filter((_, i) => statuses[i] === "stored")
      .map((event, i) => this.#insert(event, this.tied ? pub : pub + i));
    this.#lastPub = group.at(-1)?.pub ?? pub;
    if (group.length > 0) { for (const listener of [...this.#listeners]) listener(group); }
    return statuses;
  }

  override async purge(receivedBefore: number, options?: { readonly now?: number }): Promise<number> {
    const purged = await super.purge(receivedBefore, options);
    const kept = new Set(this.log.entries.map(({ event }) => `${event.tenant}:${event.id}`));
    for (const [key, { pub }] of this.#documents) {
      if (kept.has(key)) continue;
      this.#documents.delete(key);
      this.#purgedUntil = Math.max(pub, this.#purgedUntil ?? 0);
    }
    this.#sorted = null;
    return purged;
  }

  override async erase(tenant: string, userId: string): Promise<number> {
    for (const document of this.#documents.values()) {
      if (document.event.tenant !== tenant || document.event.userId !== userId) continue;
      document.erased = true;
      document.unpub = false;
    }
    return await super.erase(tenant, userId);
  }

  now(): number {
    return this.at ?? Date.now() + this.skewMs;
  }

  watchStored(listener: (group: readonly StoredEvent[]) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async published(
    { after, until = Infinity, limit, tenant }: {
      after: PublicationPlace;
      until?: number;
      limit: number;
      tenant?: string;
    },
  ): Promise<PublicationPage> {
    await this.#reach();
    this.#sorted ??= [...this.#documents.values()].sort(comparePlaces);
    const behind = this.#sorted.filter((one) => comparePlaces(one, after) > 0 && one.pub < until);
    const page = behind.slice(0, limit);
    const last = page.at(-1);
    return {
      entries: page.filter(({ erased, event }) => !erased && (tenant === undefined || event.tenant === tenant))
        .map(plain),
      place: last === undefined ? after : { pub: last.pub, pend: last.pend },
      caughtUp: behind.length <= limit,
    };
  }

  async firstReceived({ pub, receivedAt }: { pub: number; receivedAt: number }): Promise<PublicationPlace | null> {
    await this.#reach();
    const found = [...this.#documents.values()].filter((one) => one.pub >= pub && one.event.receivedAt >= receivedAt);
    const first = found.sort(comparePlaces).at(0);
    return first === undefined ? null : { pub: first.pub, pend: first.pend };
  }

  async oldest(): Promise<number | null> {
    await this.#reach();
    const all = [...this.#documents.values()].map(({ pub }) => pub);
    return all.length === 0 ? null : all.reduce((a, b) => Math.min(a, b));
  }

  async newest(): Promise<number | null> {
    await this.#reach();
    const all = [...this.#documents.values()].map(({ pub }) => pub);
    return all.length === 0 ? null : all.reduce((a, b) => Math.max(a, b));
  }

  async purgedUntil(): Promise<number | null> {
    await this.#reach();
    return this.#purgedUntil;
  }

  async republishAt(insertions: readonly Insertion[], pub: number): Promise<void> {
    await this.#reach();
    for (const document of this.#find(insertions)) document.pub = pub;
    this.#sorted = null;
  }

  async uncountedOf(insertions: readonly Insertion[]): Promise<ReadonlySet<string>> {
    await this.#reach();
    return new Set(this.#find(insertions).filter(({ pending }) => pending).map(({ pend }) => pend));
  }

  async unpublished(limit: number): Promise<readonly StoredEvent[]> {
    await this.#reach();
    return [...this.#documents.values()].filter(({ unpub }) => unpub).sort(comparePlaces).slice(0, limit).map(plain);
  }

  async markPublished(insertions: readonly Insertion[]): Promise<void> {
    await this.#reach();
    for (const document of this.#find(insertions)) document.unpub = false;
  }

  async database(): Promise<string> {
    await this.#reach();
    return this.#database;
  }

  async epochs(): Promise<readonly Epoch[]> {
    await this.#reach();
    return [...this.#epochs];
  }

  async followEpoch(number: number): Promise<boolean> {
    await this.#reach();
    const i = this.#epochs.findIndex((epoch) => epoch.number === number);
    if (i !== -1) this.#epochs[i] = { ...this.#epochs[i]!, followedAt: this.now() };
    return this.#epochs.at(-1)?.number === number;
  }

  async beginEpoch(epoch: Epoch, expected: number): Promise<boolean> {
    await this.#reach();
    if ((this.#epochs.at(-1)?.number ?? 0) !== expected) return false;
    this.#epochs.push(epoch);
    return true;
  }

  async settleThese(insertions: readonly Insertion[]): Promise<readonly ChangedCell[]> {
    await this.#reach();
    return this.#count(this.#find(insertions));
  }

  async sweep({ ageMs }: { ageMs: number }): Promise<{ settled: number; changed: readonly ChangedCell[] }> {
    await this.#reach();
    const old = [...this.#documents.values()].filter(({ pending, pub }) => pending && this.now() - pub >= ageMs);
    for (const document of old) document.unpub = !document.erased;
    return { settled: old.length, changed: this.#count(old) };
  }

  async uncountedSince(): Promise<number | null> {
    await this.#reach();
    const waiting = [...this.#documents.values()].filter(({ pending }) => pending).map(({ pub }) => pub);
    return waiting.length === 0 ? null : Math.min(...waiting);
  }

  #insert(event: Event, pub: number): StoredEvent {
    const pend = (++this.#inserted).toString(16).padStart(24, "0");
    const key = `${event.tenant}:${event.id}`;
    const state = { pending: true, counted: 0, unpub: false, erased: false };
    const document: Document = { event, key, pend, pub, ...state };
    this.#documents.set(key, document);
    this.#sorted = null;
    return plain(document);
  }

  #find(insertions: readonly Insertion[]): Document[] {
    return insertions.flatMap(({ key, pend }) => {
      const document = this.#documents.get(key);
      return document?.pend === pend ? [document] : [];
    });
  }

  #count(documents: readonly Document[]): ChangedCell[] {
    const changed = new Map<string, ChangedCell>();
    for (const document of documents) {
      if (!document.pending) continue;
      document.pending = false;
      document.counted += 1;
      const { tenant, timestamp, eventType } = document.event;
      const start = minuteOf(timestamp);
      changed.set(`${tenant} ${start} ${eventType}`, { tenant, start, eventType });
    }
    return [...changed.values()];
  }

  /** The way to the server that this is not: answers come later, or not at all. */
  async #reach(): Promise<void> {
    await Promise.resolve();
    if (this.down) throw new HubError("unavailable", "The store is down");
  }
}

function plain({ event, key, pend, pub }: Document): StoredEvent {
  return { event, key, pend, pub };
}
