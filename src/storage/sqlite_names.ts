/** The small dictionaries: tenants and event types are numbers in the file. */
import type { DatabaseSync } from "node:sqlite";
import { EVENT_TYPES_PER_TENANT_MAX } from "../limits.ts";
import { Query } from "./sqlite_connection.ts";

/** Numbers to names and back, as a thread that only reads needs them: what it does not know it looks up again. */
export class Names {
  readonly #queryTenants: Query;
  readonly #queryTypes: Query;
  readonly #tenants = new Map<number, string>();
  readonly #tenantIds = new Map<string, number>();
  readonly #types = new Map<number, string>();
  readonly #typeIds = new Map<number, Map<string, number>>();

  constructor(database: DatabaseSync) {
    this.#queryTenants = new Query(database, "select id, name from tenants where id > ?");
    this.#queryTypes = new Query(database, "select id, tenant, name from event_types where id > ?");
    this.refresh();
  }

  /** Reads what was added since; names are never removed. */
  refresh(): void {
    for (const [id, name] of this.#queryTenants.all(this.#tenants.size) as [number, string][]) {
      this.#tenants.set(id, name);
      this.#tenantIds.set(name, id);
      this.#typeIds.set(id, new Map());
    }
    for (const [id, tenant, name] of this.#queryTypes.all(this.#types.size) as [number, number, string][]) {
      this.#types.set(id, name);
      this.#typeIds.get(tenant)!.set(name, id);
    }
  }

  /** The name of a tenant that occurs in the file. */
  tenant(id: number): string {
    return this.#tenants.get(id) ?? this.#lookAgain(this.#tenants, id);
  }

  /** The name of a type that occurs in the file. */
  type(id: number): string {
    return this.#types.get(id) ?? this.#lookAgain(this.#types, id);
  }

  /** The number of a tenant; `undefined` when it has no events. */
  tenantId(name: string): number | undefined {
    if (!this.#tenantIds.has(name)) this.refresh();
    return this.#tenantIds.get(name);
  }

  /** The numbers of the types that the tenant has; others match nothing. */
  typeIds(tenant: number, names: readonly string[]): number[] {
    const known = this.#typeIds.get(tenant)!;
    if (names.some((name) => !known.has(name))) this.refresh();
    return names.map((name) => known.get(name)).filter((id) => id !== undefined);
  }

  /** How many types a tenant has, as far as is known. */
  typeCount(tenant: number): number {
    return this.#typeIds.get(tenant)!.size;
  }

  #lookAgain(names: Map<number, string>, id: number): string {
    this.refresh();
    const name = names.get(id);
    if (name === undefined) throw new Error(`The file names a tenant or type ${id} that it does not define`);
    return name;
  }
}

/** The dictionaries as the writer keeps them. After a transaction that failed they must be made anew. */
export class Registry {
  readonly #tenants = new Map<string, { readonly id: number; readonly types: Map<string, number> }>();
  readonly #insertTenant;
  readonly #insertType;
  #types = 0;

  constructor(database: DatabaseSync) {
    this.#insertTenant = database.prepare("insert into tenants(id, name) values (?, ?)");
    this.#insertType = database.prepare("insert into event_types(id, tenant, name) values (?, ?, ?)");
    const byId = new Map<number, Map<string, number>>();
    for (const [id, name] of new Query(database, "select id, name from tenants").all() as [number, string][]) {
      const types = new Map<string, number>();
      byId.set(id, types);
      this.#tenants.set(name, { id, types });
    }
    const rows = new Query(database, "select id, tenant, name from event_types").all() as [number, number, string][];
    for (const [id, tenant, name] of rows) byId.get(tenant)!.set(name, id);
    this.#types = rows.length;
  }

  /** The number of a tenant; `undefined` when it has no events. */
  tenant(name: string): number | undefined {
    return this.#tenants.get(name)?.id;
  }

  /** The number of a tenant's type; `undefined` when it has no events. */
  type(tenant: string, name: string): number | undefined {
    return this.#tenants.get(tenant)?.types.get(name);
  }

  /** Whether the tenant may have these types, too. */
  hasRoom(tenantName: string, typeNames: Iterable<string>): boolean {
    const known = this.#tenants.get(tenantName)?.types ?? new Map<string, number>();
    return new Set([...known.keys(), ...typeNames]).size <= EVENT_TYPES_PER_TENANT_MAX;
  }

  /** Gives a tenant and a type their numbers, within the transaction; `null` when the tenant has too many types. */
  add(tenantName: string, typeName: string): { tenant: number; type: number } | null {
    let tenant = this.#tenants.get(tenantName);
    if (tenant === undefined) {
      tenant = { id: this.#tenants.size + 1, types: new Map() };
      this.#insertTenant.run(tenant.id, tenantName);
      this.#tenants.set(tenantName, tenant);
    }
    let type = tenant.types.get(typeName);
    if (type === undefined) {
      if (tenant.types.size >= EVENT_TYPES_PER_TENANT_MAX) return null;
      type = ++this.#types;
      this.#insertType.run(type, tenant.id, typeName);
      tenant.types.set(typeName, type);
    }
    return { tenant: tenant.id, type };
  }
}
