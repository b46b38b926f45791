/** The remedy for denoland/deno#36788: clients that come and go do not abort the process, and without it they do. */
import "./environment.ts";
import { assertEquals } from "@std/assert";
import { churn, runClient, ServerProcess } from "./churn.ts";

const mayRun = (["run", "net", "env"] as const).every((name) =>
  Deno.permissions.querySync({ name }).state === "granted"
);
const needs = mayRun ? "" : " (needs --allow-run and --allow-net: deno task test)";

Deno.test({
  name: `grpc churn: clients that come and go, normally and abruptly, leave the process alive${needs}`,
  ignore: !mayRun,
  fn: async () => {
    await using server = await ServerProcess.start({ remedy: true });
    const died = new AbortController();
    void server.ended.then(() => died.abort());
    for (let client = 0; client < 2; client++) await runClient(server.port, 300);
    const { errors, abrupt } = await churn({ port: server.port, clients: 12, callsMax: 150, together: 4 }, died.signal);
    assertEquals(errors, []);
    assertEquals(abrupt, 4);
    const { code, signal } = await server.stop();
    assertEquals([code, signal], [0, null]);
  },
});

Deno.test({
  name: `grpc churn: the control: without the remedy the process aborts${needs}`,
  ignore: !mayRun,
  fn: async () => {
    await using server = await ServerProcess.start({ remedy: false });
    let died = false;
    void server.ended.then(() => died = true);
    for (let client = 0; client < 20 && !died; client++) await runClient(server.port, 300);
    assertEquals(died, true, "it lived: does this Deno still need http2_remedy.ts?");
    assertEquals((await server.ended).success, false);
  },
});
