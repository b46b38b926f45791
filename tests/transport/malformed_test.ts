/** Malformed inputs over all protocols, against the real process: each is refused by name, none stored, and it lives. */
import { assert, assertEquals } from "@std/assert";
import type { HubApi } from "../../src/hub.ts";
import { altered } from "../altered.ts";
import { startHub } from "../harness.ts";
import { getJson, verifyRollups } from "../soak/api.ts";
import { findComplaints, type Malformed, type Target, type Wire } from "./malformed.ts";
import { CLOUD_EVENTS } from "./malformed_cloud_events.ts";
import { GRAPHQL_INPUTS } from "./malformed_graphql.ts";
import { REST_QUERIES } from "./malformed_queries.ts";
import { REST_BODIES } from "./malformed_rest.ts";
import { RAW_INPUTS, SOCKET_INPUTS } from "./malformed_sockets.ts";
import { type Address, lacking, NEEDS, openClients, openLab, PROCESS_NEEDS } from "./served.ts";

/** What must be shown. */
const INPUTS_MIN = 300;
const reason = lacking(PROCESS_NEEDS);

/** The inputs of gRPC; what stands on grpc-js can be loaded only with the permissions to run it. */
async function grpcInputs(): Promise<readonly Malformed[]> {
  if (lacking(NEEDS) !== null) return [];
  const { GRPC_EVENTS } = await import("./malformed_grpc.ts");
  const { GRPC_QUERIES } = await import("./malformed_grpc_queries.ts");
  return [...GRPC_EVENTS, ...GRPC_QUERIES];
}

const INPUTS: Readonly<Record<Wire, readonly Malformed[]>> = {
  rest: [...REST_BODIES, ...CLOUD_EVENTS, ...REST_QUERIES, ...RAW_INPUTS],
  graphql: [...GRAPHQL_INPUTS, ...SOCKET_INPUTS],
  grpc: await grpcInputs(),
};
const WIRES = Object.keys(INPUTS) as Wire[];
const total = WIRES.reduce((sum, wire) => sum + INPUTS[wire].length, 0);

async function attack(
  wire: Wire,
  address: Address & Pick<Target, "stored">,
  inputs: readonly Malformed[] = INPUTS[wire],
): Promise<string[]> {
  const { Client, credentials } = await import("@grpc/grpc-js");
  const connection = new Client(address.grpcAddress, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
    // What is too large for the hub is to reach it.
    "grpc.max_send_message_length": -1,
  });
  try {
    return await findComplaints(wire, inputs, { ...address, connection });
  } finally {
    connection.close();
  }
}

function test(name: string, fn: (test: Deno.TestContext) => Promise<void>): void {
  Deno.test({ name: `malformed: ${name}${reason === null ? "" : ` (${reason})`}`, ignore: reason !== null, fn });
}

test(`${total} inputs over three protocols are refused by name; nothing is stored, and the hub lives`, async (test) => {
  assert(total >= INPUTS_MIN, `There are only ${total} inputs`);
  await using hub = await startHub();
  const stored = async () => {
    const { events } = await getJson<{ events: unknown[] }>(`${hub.httpUrl}/events?limit=1`);
    return events.length;
  };
  for (const wire of WIRES) {
    await test.step(`${INPUTS[wire].length} over ${wire}`, async () => {
      assertEquals(await attack(wire, { ...hub, stored }), []);
    });
  }
  await test.step("the hub is as it was: it takes an event, counts it once, and has logged no error", async () => {
    await using clients = await openClients(hub);
    assertEquals(await clients.graphql.aggregatedMetrics!(1_440), { eventCount: 0, totalAmount: 0 });
    for (const [index, client] of [clients.rest, clients.graphql, clients.grpc].entries()) {
      const event = { id: `good-${index}`, userId: "u", eventType: "purchase", amount: "1.5" };
      assertEquals(await client.publish(event), { id: event.id, duplicate: false });
    }
    assertEquals(await clients.graphql.aggregatedMetrics!(1), { eventCount: 3, totalAmount: 4.5 });
    const { events, differing } = await verifyRollups(hub.httpUrl, 0, Date.now() + 3_600_000);
    assertEquals([events, differing], [3, 0]);
    assertEquals(hub.output().split("\n").filter((line) => /error|fatal|uncaught|panic/i.test(line)), []);
  });
});

/** Hubs that a malformed input passes, or that fail over it: each must be noticed over every protocol. */
const CONTROLS: Readonly<Record<string, (hub: HubApi) => Partial<HubApi>>> = {
  "takes every event": () => ({
    publish: () => Promise.resolve({ id: "any", duplicate: false }),
    publishBatch: (inputs) => Promise.resolve(inputs.map(() => ({ status: "stored", id: "any" }))),
  }),
  "stores a zero for an amount it cannot read": (hub) => ({
    publish: async (input, sender) => {
      try {
        return await hub.publish(input, sender);
      } catch {
        return await hub.publish({ user_id: "u", event_type: "t", amount: 0 }, sender);
      }
    },
  }),
  "fails over a malformed event": (hub) => ({
    publish: async (input, sender) => {
      try {
        return await hub.publish(input, sender);
      } catch (cause) {
        throw new Error("unexpected", { cause });
      }
    },
  }),
};

/** Inputs of the members of a single event: enough for the controls. */
const CONTROL_INPUTS = 60;

for (const [name, change] of Object.entries(CONTROLS)) {
  test(`control: a hub that ${name} is noticed over every protocol`, async () => {
    for (const wire of WIRES) {
      await using lab = await openLab({ wrapHub: (hub) => altered(hub, change(hub)) });
      const stored = async () => (await lab.hub.list({ tenant: "default" }, { limit: 1, order: "desc" })).events.length;
      const found = await attack(wire, { ...lab, stored }, INPUTS[wire].slice(0, CONTROL_INPUTS));
      assert(found.length > 0, `${wire} did not notice`);
    }
  });
}
