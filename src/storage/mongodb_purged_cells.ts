/**
 * Cells of events that another store purged: each minute of them is a slice of its own, so that whoever recounts the
 * minute counts them, too. When the minute is frozen the slice may go, as those of purged events do.
 */
import { EVENT_TYPES_PER_TENANT_MAX, MONGODB_COMMAND_DOCUMENTS } from "../limits.ts";
import { type CellGroup, type CountedCell, type PurgedCellsStatus, standingOf } from "../transfer.ts";
import { hourOf, MINUTE_MS, minuteOf } from "../window.ts";
import {
  Cells,
  type CellsDocument,
  readCells,
  replaceCells,
  type Replacement,
  type SliceDocument,
} from "./mongodb_cells.ts";
import { chunksOf, eachOf } from "./mongodb_batches.ts";
import type { Collections } from "./mongodb_connection.ts";
import { countableOf, hourKey, minuteKey } from "./mongodb_documents.ts";
import { eventsOf } from "./mongodb_recount.ts";
import { recompute, type Span } from "./mongodb_settle.ts";
import { EventTypes } from "./mongodb_types.ts";

/** Received before all others: the first purge takes the slices of frozen minutes along. */
const RECEIVED = new Date(0);

/** The cells of minutes of one tenant, counted from the events that are there. */
export async function countMinutes(
  collections: Pick<Collections, "events" | "session">,
  groups: readonly Pick<CellGroup, "tenant" | "start">[],
): Promise<ReadonlyMap<number, Cells>> {
  const counted = new Map<number, Cells>();
  const [first, last] = [groups[0], groups.at(-1)];
  if (first === undefined || last === undefined) return counted;
  const range = { tenant: first.tenant, from: first.start, to: last.start + MINUTE_MS };
  for await (const event of eventsOf(collections, range)) {
    const countable = countableOf(event);
    if (countable === null) continue;
    const minute = minuteOf(event.timestamp.getTime());
    let cells = counted.get(minute);
    if (cells === undefined) counted.set(minute, cells = new Cells());
    cells.add(countable.eventType, countable.amount);
  }
  return counted;
}

/** What is to be done with a group. */
interface Decision {
  readonly group: CellGroup;
  readonly status: PurgedCellsStatus;
  /** The slice as it is to be; `null` when there is none to write. */
  readonly slice: Cells | null;
}

/** Adds cells, or only tells what would become of them. `frozen`: the last minute that lost events here. */
export async function addPurged(
  collections: Collections,
  groups: readonly CellGroup[],
  { check, frozen }: { check: boolean; frozen: number },
): Promise<readonly PurgedCellsStatus[]> {
  const decisions = await eachOf(
    chunksOf(groups, MONGODB_COMMAND_DOCUMENTS),
    (chunk) => decide(collections, chunk, { check, frozen }),
  );
  const all = decisions.flat();
  if (!check) await write(collections, all);
  return all.map(({ status }) => status);
}

async function decide(
  collections: Collections,
  groups: readonly CellGroup[],
  { check, frozen }: { check: boolean; frozen: number },
): Promise<Decision[]> {
  const { rollups, slices, tenants, session } = collections;
  const [minutes, own] = await Promise.all([
    rollups.find({ _id: { $in: groups.map(({ tenant, start }) => minuteKey(tenant, start)) } }, { session }).toArray(),
    slices.find({ _id: { $in: groups.map(purgedKey) } }, { session }).toArray(),
  ]);
  const cellsOf = <Document extends CellsDocument>(documents: readonly Document[]) =>
    new Map(documents.map((document) => [document._id, readCells(document).byType]));
  const [stored, added] = [cellsOf(minutes), cellsOf(own)];
  const types = new EventTypes();
  const decisions: Decision[] = [];
  for (const group of groups) {
    const minute = stored.get(minuteKey(group.tenant, group.start)) ?? new Map<string, CountedCell>();
    const before = added.get(purgedKey(group)) ?? null;
    const isFrozen = group.start <= frozen && minute.size > 0;
    const { status, missing } = await standing(collections, group, { minute, before, isFrozen });
    if (status !== "added") {
      decisions.push({ group, status, slice: null });
      continue;
    }
    const isAdmitted = check
      ? await hasRoom(tenants, group.tenant, missing.keys())
      : await types.admit(tenants, { tenant: group.tenant, eventTypes: missing.keys() }).then(() =>
        missing.keys().every((eventType) => types.has(group.tenant, eventType))
      );
    const slice = new Cells();
    for (const part of [before ?? new Map<string, CountedCell>(), missing]) {
      for (const [eventType, cell] of part) slice.mergeType(eventType, cell);
    }
    decisions.push(isAdmitted ? { group, status, slice } : { group, status: "too_many_event_types", slice: null });
  }
  return decisions;
}

async function standing(
  collections: Collections,
  group: CellGroup,
  { minute, before, isFrozen }: {
    minute: ReadonlyMap<string, CountedCell>;
    before: ReadonlyMap<string, CountedCell> | null;
    isFrozen: boolean;
  },
): Promise<ReturnType<typeof standingOf>> {
  // What was added before may not have reached its minute yet.
  const found = before !== null ? standingOf(group, { stored: before, counted: new Map() }) : standingOf(group, {
    stored: minute,
    counted: minute.size === 0 ? new Map() : (await countMinutes(collections, [group])).get(group.start)?.byType ??
      new Map(),
  });
  if (found.status !== "added") return found;
  // The slices of a frozen minute are gone, so that it can be counted no more, with these or without.
  const isTaken = isFrozen || (before !== null && found.missing.keys().some((eventType) => minute.has(eventType)));
  return isTaken ? { ...found, status: "conflict" } : found;
}

async function write(collections: Collections, decisions: readonly Decision[]): Promise<void> {
  const replacements = decisions.flatMap(({ group, slice }): Replacement<SliceDocument>[] =>
    slice === null ? [] : [{
      key: purgedKey(group),
      fixed: {
        tenant: group.tenant,
        start: new Date(group.start),
        minute: minuteKey(group.tenant, group.start),
        received: RECEIVED,
      },
      cells: slice,
    }]
  );
  for (const chunk of chunksOf(replacements, MONGODB_COMMAND_DOCUMENTS)) {
    await replaceCells(collections.slices, chunk, collections.session);
  }
  // Also those that are there: a move may have died before this step.
  const touched = decisions.filter(({ status }) => status === "added" || status === "there").map(({ group }) => group);
  const spans = (spanOf: (group: CellGroup) => Span) => [
    ...new Map(touched.map((group) => [spanOf(group).key, spanOf(group)])).values(),
  ];
  const { damagedMinutes, damagedHours } = await recompute(collections, {
    minutes: spans(({ tenant, start }) => ({ key: minuteKey(tenant, start), tenant, start })),
    hours: spans(({ tenant, start }) => ({ key: hourKey(tenant, start), tenant, start: hourOf(start) })),
  });
  for (const damage of [...damagedMinutes.values(), ...damagedHours.values()]) throw damage;
}

function purgedKey({ tenant, start }: Pick<CellGroup, "tenant" | "start">): string {
  return `${minuteKey(tenant, start)}:purged`;
}

async function hasRoom(
  tenants: Collections["tenants"],
  tenant: string,
  eventTypes: Iterable<string>,
): Promise<boolean> {
  const known = (await tenants.findOne({ _id: tenant }))?.event_types ?? [];
  return new Set([...known, ...eventTypes]).size <= EVENT_TYPES_PER_TENANT_MAX;
}
