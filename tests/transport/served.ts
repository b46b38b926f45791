/**
 * A hub that serves every protocol on free ports. graphql-js and grpc-js look at the environment when they are loaded,
 * which bare `deno test` does not allow: so what stands on them is imported when a test runs.
 */
import { DeadLetterDesk } from "../../src/dead_letter_desk.ts";
import type { Event } from "../../src/event.ts";
import type { HubApi } from "../../src/hub.ts";
import type { AppendStatus, EventStore } from "../../src/storage.ts";
import { MemoryDeadLetters } from "../../src/storage/memory_dead_letters.ts";
import { createRest } from "../../src/transport/rest/server.ts";
import { altered } from "../altered.ts";
import { openTestHub, testConfig, type TestHub, type TestHubOptions } from "../harness.ts";
import type { Client, Protocol } from "./clients.ts";
import { graphqlClient } from "./clients_graphql.ts";
import { restClient } from "./clients_rest.ts";

/** Where a hub is. */
export interface Address {
  readonly httpUrl: string;
  readonly grpcAddress: string;
}

/** What is wrong with the store of a hub at the moment; nothing at first. */
export class StoreFaults {
  /** Answers an append instead of the store, or `null` to let it through. */
  append: ((events: readonly Event[]) => Promise<readonly AppendStatus[]> | null) | null = null;
  /** Thrown by everything that reads. */
  read: Error | null = null;

  /** The store with these faults. */
  wrap(store: EventStore): EventStore {
    const reading =
      <Arguments extends unknown[], Result>(method: (...given: Arguments) => Promise<Result>) =>
      (...given: Arguments): Promise<Result> =>
        this.read === null ? method.apply(store, given) : Promise.reject(this.read);
    return altered(store, {
      append: (events) => this.append?.(events) ?? store.append(events),
      get: reading(store.get),
      list: reading(store.list),
      aggregate: reading(store.aggregate),
      count: reading(store.count),
    });
  }
}

/** A hub inside this process: what it stands on can be looked at and broken. */
export interface Lab extends TestHub, Address {
  readonly faults: StoreFaults;
  /** Ends it as the app does: streams first, then servers. Harmless twice. */
  shutDown(): Promise<void>;
}

/** Settings of {@link openLab}. */
export type LabOptions = TestHubOptions & {
  /** Wraps what the transports see. */
  readonly wrapHub?: (hub: HubApi) => HubApi;
};

/** Permissions without which nothing here can run: sockets, and the environment that graphql-js and grpc-js look at. */
export const NEEDS = ["net", "env"] as const;

/** Permissions to run the real process. */
export const PROCESS_NEEDS = ["net", "env", "run", "read", "write"] as const;

/** What a test that lacks some permissions has in its name; `null` when it can run. */
export function lacking(names: readonly Deno.PermissionDescriptor["name"][]): string | null {
  const missing = names.filter((name) =>
    Deno.permissions.querySync({ name } as Deno.PermissionDescriptor).state !== "granted"
  );
  return missing.length === 0 ? null : `needs ${missing.map((name) => `--allow-${name}`).join(" ")}: deno task test`;
}

/** Opens a hub over the memory drivers. */
export async function openLab(options: LabOptions = {}): Promise<Lab> {
  const { wrapHub = (hub) => hub, ...hubOptions } = options;
  const { createGraphql } = await import("../../src/transport/graphql/server.ts");
  const { startGrpc } = await import("../../src/transport/grpc/server.ts");
  const faults = new StoreFaults();
  const config = testConfig(hubOptions);
  await using opening = new AsyncDisposableStack();
  const testHub = opening.use(openTestHub({ ...hubOptions, wrapStore: (store) => faults.wrap(store) }));
  const hub = wrapHub(testHub.hub);
  const grpc = opening.use(await startGrpc({ hub, config }));
  const graphql = createGraphql({ hub, config });
  const rest = createRest({
    hub,
    deadLetters: new DeadLetterDesk({ ...config, now: testHub.clock.now, hub, letters: new MemoryDeadLetters() }),
    config,
    documents: { schema: graphql.sdl, protos: {} },
    operations: {
      version: "0.0.0",
      startedAt: testHub.clock.now(),
      metrics: () => Promise.resolve(""),
      ready: () => Promise.resolve({ ok: true, checks: {} }),
    },
  });
  const handler = (request: Request): Response | Promise<Response> =>
    new URL(request.url).pathname === "/graphql" ? graphql.fetch(request) : rest.fetch(request);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, handler, onListen: () => {} });
  opening.defer(async () => {
    rest.close();
    testHub.hub.endSubscriptions();
    // Before the server, which would cut WebSockets that still have something to say.
    await graphql[Symbol.asyncDispose]();
    await server.shutdown();
  });
  const resources = opening.move();
  return {
    ...testHub,
    faults,
    httpUrl: `http://127.0.0.1:${server.addr.port}`,
    grpcAddress: `127.0.0.1:${grpc.port}`,
    shutDown: () => resources.disposeAsync(),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** One client of each protocol. */
export type Clients = Readonly<Record<Protocol, Client>> & AsyncDisposable;

/** Opens a client of each protocol. */
export async function openClients({ httpUrl, grpcAddress }: Address): Promise<Clients> {
  const { grpcClient } = await import("./clients_grpc.ts");
  const clients: Record<Protocol, Client> = {
    "rest": restClient(httpUrl),
    "graphql": graphqlClient(httpUrl),
    "graphql-ws": graphqlClient(httpUrl, "graphql-ws"),
    "grpc": grpcClient(grpcAddress),
    "grpc-stream": grpcClient(grpcAddress, "grpc-stream"),
  };
  return {
    ...clients,
    [Symbol.asyncDispose]: async () => {
      for (const client of Object.values(clients)) await client[Symbol.asyncDispose]();
    },
  };
}
