/** Moves what a memory store holds: for tests, and the shortest account of what the port means. */
import type { Event } from "../event.ts";
import { EVENT_TYPES_PER_TENANT_MAX } from "../limits.ts";
import type { AppendStatus } from "../storage.ts";
import {
  type CellGroup,
  type CellPage,
  type CellPageRequest,
  type CountedCell,
  type EventsPage,
  type PurgedCellsStatus,
  purgedOf,
  standingOf,
  type StoreTransfer,
} from "../transfer.ts";
import { hourOf } from "../window.ts";
import type { MemoryLog } from "./memory_log.ts";
import { MemoryTenant, mergeCells } from "./memory_tenant.ts";

/** What it reaches of its store. */
export interface MemoryParts {
  readonly log: MemoryLog;
  readonly tenants: Map<string, MemoryTenant>;
  readonly append: (events: readonly Event[]) => Promise<readonly AppendStatus[]>;
  readonly purgedThrough: () => number;
  readonly refuseThrough: (timestamp: number) => void;
  readonly holdPurges: (isHeld: boolean) => void;
}

/** Moves one store. */
export class MemoryTransfer implements StoreTransfer {
  readonly #parts: MemoryParts;

  constructor(parts: MemoryParts) {
    this.#parts = parts;
  }

  begin(): Promise<void> {
    return Promise.resolve();
  }

  beginImport(): Promise<void> {
    return Promise.resolve(this.#parts.holdPurges(true));
  }

  endImport(): Promise<void> {
    return Promise.resolve(this.#parts.holdPurges(false));
  }

  tenants(): Promise<readonly string[]> {
    const used = [...this.#parts.tenants].filter(([, tenant]) => tenant.eventTypes.size > 0);
    return Promise.resolve(used.map(([name]) => name).sort());
  }

  refusedThrough(): Promise<number | null> {
    const through = this.#parts.purgedThrough();
    return Promise.resolve(through === -Infinity ? null : through);
  }

  events({ after, limit }: { after: string | null; limit: number }): Promise<EventsPage> {
    const { entries } = this.#parts.log;
    const first = after === null ? 0 : entries.findIndex(({ sequence }) => sequence > Number(after));
    const page = first < 0 ? [] : entries.slice(first, first + limit);
    const last = page.at(-1);
    return Promise.resolve({
      events: page.map(({ event }) => event),
      unreadable: [],
      next: last === undefined || last === entries.at(-1) ? null : String(last.sequence),
    });
  }

  cells(span: "minute" | "hour", { tenant: name, from, limit }: CellPageRequest): Promise<CellPage> {
    const minutes = this.#parts.tenants.get(name)?.minutesIn(from, Infinity) ?? [];
    const starts = new Map<number, Map<string, CountedCell>>();
    for (const { start, cells } of minutes) {
      if (cells.size === 0) continue;
      const at = span === "hour" ? hourOf(start) : start;
      let merged = starts.get(at);
      if (merged === undefined) starts.set(at, merged = new Map());
      mergeCells(merged, cells);
    }
    const groups = [...starts].map(([start, cells]) => ({ tenant: name, start, cells }));
    return Promise.resolve({ groups: groups.slice(0, limit), next: groups[limit]?.start ?? null });
  }

  // deno-lint-ignore require-await -- what is damaged makes it reject, not throw
  async purgedCells({ tenant: name, from, limit }: CellPageRequest): Promise<CellPage> {
    const minutes = this.#parts.tenants.get(name)?.minutesIn(from, this.#parts.purgedThrough() + 1) ?? [];
    const groups = minutes.slice(0, limit).map((minute) =>
      purgedOf({ tenant: name, start: minute.start, cells: minute.cells }, minute.recount())
    );
    return { groups: groups.filter(({ cells }) => cells.size > 0), next: minutes[limit]?.start ?? null };
  }

  append(events: readonly Event[]): Promise<readonly AppendStatus[]> {
    return this.#parts.append(events);
  }

  addPurged(
    groups: readonly CellGroup[],
    { check = false }: { check?: boolean } = {},
  ): Promise<readonly PurgedCellsStatus[]> {
    return Promise.resolve(groups.map((group) => this.#addOne(group, { check })));
  }

  refuseThrough(timestamp: number): Promise<void> {
    return Promise.resolve(this.#parts.refuseThrough(timestamp));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #addOne(group: CellGroup, { check }: { check: boolean }): PurgedCellsStatus {
    const { tenants } = this.#parts;
    const tenant = tenants.get(group.tenant) ?? new MemoryTenant();
    const [minute] = tenant.minutesIn(group.start, group.start + 1);
    const { status, missing } = standingOf(group, {
      stored: minute?.cells ?? new Map(),
      counted: minute?.recount() ?? new Map(),
    });
    if (status !== "added") return status;
    if (tenant.eventTypes.union(new Set(missing.keys())).size > EVENT_TYPES_PER_TENANT_MAX) {
      return "too_many_event_types";
    }
    if (check) return "added";
    tenants.set(group.tenant, tenant);
    tenant.addCells(group.start, missing);
    return "added";
  }
}
