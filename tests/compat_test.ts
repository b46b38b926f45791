/**
 * Clients of the prototype work unchanged, and what was wrong there is right here: each of its defects is a test, by
 * its number in the list of the wire contract.
 */
import type { ServiceError } from "@grpc/grpc-js";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { HubError } from "../src/errors.ts";
import type { EventResponse, EventServiceClient } from "../src/gen/event.ts";
import { openTestHub, startHub, testConfig } from "./harness.ts";
import type { HubProcess } from "./soak/process.ts";

const permitted = (["run", "net", "read", "write", "env"] as const)
  .every((name) => Deno.permissions.querySync({ name }).state === "granted");

/** A test over a real process. */
function test(name: string, fn: (hub: HubProcess) => Promise<void>): void {
  Deno.test({
    name: `compat: ${name}${permitted ? "" : " (needs --allow-all: deno task test)"}`,
    ignore: !permitted,
    fn: async () => {
      await using hub = await startHub();
      await fn(hub);
    },
  });
}

/** What the prototype's generator sends: `datetime.now().isoformat()`, six fraction digits and no zone. */
function prototypeTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace("Z", "456");
}

async function post(hub: HubProcess, event: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${hub.httpUrl}/events`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(event),
  });
  return { status: response.status, body: await response.json() };
}

// deno-lint-ignore no-explicit-any
async function graphql(hub: HubProcess, query: string): Promise<any> {
  const response = await fetch(`${hub.httpUrl}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  return await response.json();
}

function sale(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { user_id: "user_7", event_type: "purchase", amount: 19.99, timestamp: prototypeTime(Date.now()), ...more };
}

/** A client of `event.EventService` on a connection of its own. */
async function grpcClient(hub: HubProcess): Promise<EventServiceClient & Disposable> {
  // grpc-js reads the environment when it is loaded, which bare `deno test` does not allow.
  const { credentials } = await import("@grpc/grpc-js");
  const { EventServiceClient } = await import("../src/gen/event.ts");
  const client = new EventServiceClient(hub.grpcAddress, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  return Object.assign(client, { [Symbol.dispose]: () => client.close() });
}

type EventRequest = Parameters<EventServiceClient["sendEvent"]>[0];

function send(client: EventServiceClient, request: EventRequest): Promise<EventResponse> {
  return new Promise((resolve, reject) => {
    client.sendEvent(request, (error: ServiceError | null, response: EventResponse) => {
      error === null ? resolve(response) : reject(error);
    });
  });
}

/** A subscription of the prototype over WebSocket: gives each event's id until it is closed. */
async function subscribe(
  hub: HubProcess,
  query = "subscription { eventStream { id userId eventType amount timestamp } }",
) {
  const socket = new WebSocket(`${hub.httpUrl.replace("http", "ws")}/graphql`, "graphql-transport-ws");
  const events: Record<string, unknown>[] = [];
  const closed = new Promise<void>((resolve) => socket.onclose = () => resolve());
  let wake = () => {};
  const acknowledged = Promise.withResolvers<void>();
  socket.onopen = () => socket.send(JSON.stringify({ type: "connection_init" }));
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "connection_ack") {
      socket.send(JSON.stringify({ type: "subscribe", id: "1", payload: { query } }));
      // The answer to a ping comes after the subscription was taken up.
      socket.send(JSON.stringify({ type: "ping" }));
    }
    if (message.type === "pong") acknowledged.resolve();
    if (message.type === "next") events.push(message.payload.data.eventStream);
    wake();
  };
  await acknowledged.promise;
  return {
    /** Resolves when so many events have come. */
    until: async (count: number) => {
      while (events.length < count) await new Promise<void>((resolve) => wake = resolve);
      return events;
    },
    [Symbol.asyncDispose]: async () => {
      socket.close();
      await closed;
    },
  };
}

test("POST /events as its generator sends it", async (hub) => {
  const { status, body } = await post(hub, sale());
  assertEquals(status, 200);
  assertEquals(body.status, "success");
  assert(typeof body.id === "string");
  const docs = await fetch(`${hub.httpUrl}/docs`);
  assertMatch(await docs.text(), /<html/i);
  assertEquals(docs.status, 200);
});

test("the GraphQL fields, and a timestamp without a zone is UTC", async (hub) => {
  const time = Date.now();
  await post(hub, sale({ timestamp: prototypeTime(time), amount: 10.1 }));
  await post(hub, sale({ timestamp: new Date(time - 1_000).toISOString(), amount: 20.2, event_type: "return" }));
  const { data } = await graphql(
    hub,
    "{ lastEvents { userId eventType amount timestamp } aggregatedMetrics { totalAmount eventCount timeWindow } }",
  );
  assertEquals(data.lastEvents, [
    { userId: "user_7", eventType: "purchase", amount: 10.1, timestamp: new Date(time).toISOString() },
    { userId: "user_7", eventType: "return", amount: 20.2, timestamp: new Date(time - 1_000).toISOString() },
  ]);
  assertEquals(data.aggregatedMetrics, { totalAmount: 30.3, eventCount: 2, timeWindow: "last_1_minutes" });
});

test("gRPC SendEvent and StreamEvents: the newest events oldest first, then every new one", async (hub) => {
  using client = await grpcClient(hub);
  const request = { userId: "user_1", eventType: "purchase", amount: 5.25, timestamp: "" };
  const responses = [];
  for (let index = 0; index < 3; index++) responses.push(await send(client, request));
  assertEquals(responses.map(({ status }) => status), ["success", "success", "success"]);
  assert(responses.every(({ eventId, message }) => eventId !== "" && message !== ""));
  const call = client.streamEvents({ limit: 2 });
  const got: EventResponse[] = [];
  const done = new Promise<void>((resolve) => {
    call.on("data", (response: EventResponse) => {
      got.push(response);
      if (got.length === 2) void send(client, { ...request, eventType: "refund" });
      if (got.length === 3) call.cancel();
    });
    call.on("error", () => resolve());
    call.on("end", () => resolve());
  });
  await done;
  assertEquals(got.slice(0, 2).map(({ eventId }) => eventId), responses.slice(1).map(({ eventId }) => eventId));
  assertEquals(got.map(({ status, message }) => [status, message]), [
    ["stream", "Event: purchase - 5.25"],
    ["stream", "Event: purchase - 5.25"],
    ["stream", "Event: refund - 5.25"],
  ]);
});

test("defect 1: events sent by REST reach the live stream and the metrics", async (hub) => {
  await using subscription = await subscribe(hub);
  const { body } = await post(hub, sale());
  const [event] = await subscription.until(1);
  assertEquals(event!.id, body.id);
  const { data } = await graphql(hub, "{ aggregatedMetrics(minutes: 1) { eventCount } }");
  assertEquals(data.aggregatedMetrics.eventCount, 1);
});

test("defect 2: aggregatedMetrics keeps to its minutes", async (hub) => {
  await post(hub, sale({ timestamp: prototypeTime(Date.now() - 10 * 60_000) }));
  const { data } = await graphql(
    hub,
    "{ one: aggregatedMetrics(minutes: 1) { eventCount timeWindow } quarter: aggregatedMetrics(minutes: 15) { eventCount timeWindow } }",
  );
  assertEquals(data, {
    one: { eventCount: 0, timeWindow: "last_1_minutes" },
    quarter: { eventCount: 1, timeWindow: "last_15_minutes" },
  });
});

Deno.test({
  name: `compat: defect 3: metrics of an unreachable store are an error, not zeros${
    permitted ? "" : " (needs --allow-all: deno task test)"
  }`,
  ignore: !permitted,
  fn: unreachableStore,
});

async function unreachableStore(): Promise<void> {
  const { createGraphql } = await import("../src/transport/graphql/server.ts");
  const down = () => Promise.reject(new HubError("unavailable", "The database cannot be reached"));
  await using test = openTestHub({ wrapStore: (store) => Object.assign(store, { count: down }) });
  await using server = createGraphql({ hub: test.hub, config: testConfig() });
  const response = await server.fetch(
    new Request("http://localhost/graphql", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query: "{ aggregatedMetrics { eventCount totalAmount } }" }),
    }),
  );
  const { data, errors } = await response.json();
  assertEquals(data ?? null, null);
  assertEquals(errors[0].extensions.code, "UNAVAILABLE");
}

test("defect 4: a malformed timestamp is an error, and fractions and zones are kept", async (hub) => {
  for (const timestamp of ["yesterday", "2024-01-15", "2024-01-15 10:30:00", 1_700_000_000]) {
    const { status, body } = await post(hub, sale({ timestamp }));
    assertEquals(status, 422);
    assertEquals((body.errors as { pointer: string }[]).map(({ pointer }) => pointer), ["/timestamp"]);
  }
  const { body } = await post(hub, sale({ timestamp: "2024-01-15T10:30:00.987654+02:00" }));
  const event = await (await fetch(`${hub.httpUrl}/events/${body.id}`)).json();
  assertEquals(event.timestamp, "2024-01-15T08:30:00.987Z");
});

test("defect 5: a subscriber gets what is new, not all history again", async (hub) => {
  for (let index = 0; index < 5; index++) await post(hub, sale());
  await using subscription = await subscribe(hub);
  const { body } = await post(hub, sale({ amount: 1 }));
  const events = await subscription.until(1);
  assertEquals(events.map(({ id }) => id), [body.id]);
});

Deno.test({
  name: `compat: defect 6: a restart counts nothing again${permitted ? "" : " (needs --allow-all: deno task test)"}`,
  ignore: !permitted,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "eventhub-compat-" });
    const count = async (hub: HubProcess) => {
      const { data } = await graphql(hub, "{ aggregatedMetrics(minutes: 60) { eventCount totalAmount } }");
      return data.aggregatedMetrics;
    };
    for (let round = 0; round < 2; round++) {
      await using hub = await startHub({ folder });
      if (round === 0) { for (let index = 0; index < 3; index++) await post(hub, sale({ amount: 1.1 })); }
      assertEquals(await count(hub), { eventCount: 3, totalAmount: 3.3 });
    }
    await Deno.remove(folder, { recursive: true });
  },
});

test("defect 7: gRPC errors are statuses, not OK with a word in the body", async (hub) => {
  using client = await grpcClient(hub);
  const error: ServiceError = await send(client, { userId: "", eventType: "?", amount: 1, timestamp: "soon" })
    .then(() => assert(false, "it was taken"), (error) => error);
  const { status } = await import("@grpc/grpc-js");
  assertEquals(error.code, status.INVALID_ARGUMENT);
});

test("defect 8: what is stored is in the live log by the same commit", async (hub) => {
  const listed = await fetch(`${hub.httpUrl}/events`);
  await listed.body!.cancel();
  const cursor = listed.headers.get("x-stream-cursor")!;
  // Nobody listens while these are stored.
  const ids: unknown[] = [];
  for (let index = 0; index < 3; index++) ids.push((await post(hub, sale())).body.id);
  const query = `subscription { eventStream(after: ${JSON.stringify(cursor)}) { id } }`;
  await using subscription = await subscribe(hub, query);
  assertEquals((await subscription.until(3)).map(({ id }) => id), ids);
});

test("defect 9: amounts are exact and bounded", async (hub) => {
  for (const amount of ["1e308", 1e308, "NaN", 1e9 + 1, 0.00001]) {
    const { status, body } = await post(hub, sale({ amount }));
    assertEquals([status, (body.errors as { pointer: string }[])[0]!.pointer], [422, "/amount"]);
  }
  for (let index = 0; index < 10; index++) await post(hub, sale({ amount: 0.1 }));
  const { data } = await graphql(hub, "{ aggregatedMetrics { totalAmount } }");
  assertEquals(data.aggregatedMetrics.totalAmount, 1);
  const { rows } = await (await fetch(`${hub.httpUrl}/aggregates?window=1d`)).json();
  assertEquals(rows.map(({ total }: { total: string }) => total), ["1"]);
});
