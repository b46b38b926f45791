/** Which event types a tenant has: at most `EVENT_TYPES_PER_TENANT_MAX`, however many processes admit new ones. */
import type { Collection } from "mongodb";
import { EVENT_TYPES_PER_TENANT_MAX } from "../limits.ts";
import type { TenantDocument } from "./mongodb_connection.ts";
import { isRefusedAsDuplicate } from "./mongodb_errors.ts";

/** The types of all tenants, remembered as far as they were asked for. Types are only ever added. */
export class EventTypes {
  readonly #known = new Map<string, Set<string>>();

  /** Whether a type is known to be admitted; `false` may be out of date. */
  has(tenant: string, eventType: string): boolean {
    return this.#known.get(tenant)?.has(eventType) ?? false;
  }

  /** Admits types, the first ones first, as far as there is room; {@link has} then tells which were. */
  async admit(
    tenants: Collection<TenantDocument>,
    { tenant, eventTypes }: { tenant: string; eventTypes: Iterable<string> },
  ): Promise<void> {
    let known = this.#known.get(tenant);
    if (known === undefined) this.#known.set(tenant, known = new Set());
    for (;;) {
      const found = await tenants.findOne({ _id: tenant });
      for (const eventType of found?.event_types ?? []) known.add(eventType);
      const room = Math.max(0, EVENT_TYPES_PER_TENANT_MAX - known.size);
      const added = [...new Set(eventTypes)].filter((eventType) => !known.has(eventType)).slice(0, room);
      if (added.length === 0) return;
      // Whoever comes between makes the list longer: then this changes nothing, and what is new is looked at again.
      const done = found === null
        ? await create(tenants, { _id: tenant, event_types: added })
        : await tenants.updateOne(
          { _id: tenant, event_types: { $size: found.event_types.length } },
          { $push: { event_types: { $each: added } } },
        ).then(({ matchedCount }) => matchedCount === 1);
      if (!done) continue;
      for (const eventType of added) known.add(eventType);
      return;
    }
  }
}

async function create(tenants: Collection<TenantDocument>, document: TenantDocument): Promise<boolean> {
  try {
    await tenants.insertOne(document);
    return true;
  } catch (error) {
    if (isRefusedAsDuplicate(error)) return false;
    throw error;
  }
}
