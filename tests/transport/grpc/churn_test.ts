/** The remedy for denoland/deno#36788: clients that come and go do not abort the process, and without it they do. */
import "./environment.ts";
import { assertEquals } from "@std/assert";
import { churn, runClient, ServerProcess } from "./churn.ts";

const mayRun = (["run", "net", "env"] as const).every((name) =>
  Deno.permissions.querySync({ name }).state === "granted"
);
/**
 * Most servers without the remedy abort under the first client, and one in some ten under none, however many come: how
 * its memory lies decides. So the control tries several servers rather than many clients.
 */
const SERVERS_MAX = 8;
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
    let died = false;
    for (let server = 0; server < SERVERS_MAX && !died; server++) died = await diesWithoutRemedy();
    assertEquals(died, true, "they lived: does this Deno still need http2_remedy.ts?");
  },
});

/** Whether a server without the remedy aborts under a few clients. */
async function diesWithoutRemedy(): Promise<boolean> {
  await using server = await ServerProcess.start({ remedy: false });
  let died = false;
  const ended = server.ended.then(({ success }) => died = !success);
  for (let client = 0; client < 4 && !died; client++) await runClient(server.port, 300);
  if (died) await ended;
  return died;
}
