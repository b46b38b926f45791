/** grpc.health.v1.Health over real sockets. */
import "./environment.ts";
import { assertEquals } from "@std/assert";
import { type ServiceError, status as Status } from "@grpc/grpc-js";
import { HealthCheckResponse_ServingStatus as Serving } from "../../../src/gen/grpc/health/v1/health.ts";
import type { HealthCheckResponse } from "../../../src/gen/grpc/health/v1/health.ts";
import { healthMethods, openServer, replaced, socketTest } from "./client.ts";

const SERVICES = ["", "event.EventService", "eventhub.v1.EventHubService"];

socketTest("health: Check and List tell the state of the store; an unknown service is NOT_FOUND", async () => {
  let ok = true;
  await using server = await openServer({
    wrapHub: (hub) => replaced(hub, { health: () => Promise.resolve({ ok, detail: "" }) }),
  });
  const { client } = server;
  for (const service of SERVICES) {
    assertEquals((await client.unary(healthMethods.check, { service })).status, Serving.SERVING);
  }
  const unknown = await client.refused(healthMethods.check, { service: "other.Service" });
  assertEquals([unknown.code, unknown.reason], [Status.NOT_FOUND, "not_found"]);
  ok = false;
  const { statuses } = await client.unary(healthMethods.list, {});
  assertEquals([...statuses], SERVICES.map((service) => [service, { status: Serving.NOT_SERVING }]));
});

socketTest("health: a store that cannot even be asked is NOT_SERVING", async () => {
  await using server = await openServer({
    wrapHub: (hub) => replaced(hub, { health: () => Promise.reject(new Error("gone")) }),
  });
  assertEquals((await server.client.unary(healthMethods.check, { service: "" })).status, Serving.NOT_SERVING);
});

socketTest("health: Watch tells every change, and the shutdown", async () => {
  let ok = true;
  await using server = await openServer({
    wrapHub: (hub) => replaced(hub, { health: () => Promise.resolve({ ok, detail: "" }) }),
    timing: { healthIntervalMs: 5 },
  });
  const call = server.client.serverStream(healthMethods.watch, { service: "event.EventService" });
  const states: Serving[] = [];
  let changed = Promise.withResolvers<void>();
  const ended = new Promise<ServiceError>((resolve) => call.on("error", (error) => resolve(error as ServiceError)));
  call.on("data", ({ status }: HealthCheckResponse) => {
    states.push(status);
    changed.resolve();
    changed = Promise.withResolvers();
  });
  const until = async (count: number) => {
    while (states.length < count) await changed.promise;
  };
  await until(1);
  ok = false;
  await until(2);
  ok = true;
  await until(3);
  await server.shutDown();
  assertEquals((await ended).code, Status.UNAVAILABLE);
  assertEquals(states, [Serving.SERVING, Serving.NOT_SERVING, Serving.SERVING, Serving.NOT_SERVING]);
});

socketTest("health: Watch of an unknown service says so and stays open", async () => {
  await using server = await openServer({ timing: { healthIntervalMs: 5 } });
  const call = server.client.serverStream(healthMethods.watch, { service: "nothing" });
  const first = await new Promise<HealthCheckResponse>((resolve) => call.once("data", resolve));
  assertEquals(first.status, Serving.SERVICE_UNKNOWN);
  const ended = new Promise<ServiceError>((resolve) => call.on("error", (error) => resolve(error as ServiceError)));
  call.cancel();
  assertEquals((await ended).code, Status.CANCELLED);
});
