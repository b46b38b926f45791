/** The prototype's proto from a client that is not Deno: Python's grpcio. */
import "./environment.ts";
import { assertEquals } from "@std/assert";
import { openServer } from "./client.ts";

const SCRIPT = new URL("./foreign_client.py", import.meta.url).pathname;
const PROTOS = new URL("../../../protos", import.meta.url).pathname;

/** Why the test cannot run; `null` when it can. */
function obstacle(): string | null {
  const granted = (["run", "net", "env"] as const).every((name) =>
    Deno.permissions.querySync({ name }).state === "granted"
  );
  if (!granted) return "needs --allow-run and --allow-net: deno task test";
  try {
    const args = ["-c", "import grpc, grpc_tools"];
    const { success } = new Deno.Command("python3", { args, stdout: "null", stderr: "null" }).outputSync();
    return success ? null : "needs grpcio: pip install grpcio grpcio-tools";
  } catch (error) {
    return `needs python3: ${error}`;
  }
}

const missing = obstacle();
/** Whether the lack of it is a failure, not a skip. */
const required = missing?.includes("grpcio") === true &&
  (Deno.env.get("EVENTHUB_TEST_REQUIRE") ?? "").split(",").includes("grpcio");

Deno.test({
  name: `grpc: a Python client of the prototype works unchanged${missing === null ? "" : ` (${missing})`}`,
  ignore: missing !== null && !required,
  fn: async () => {
    await using server = await openServer();
    const command = new Deno.Command("python3", { args: [SCRIPT, `${server.port}`, PROTOS], stdout: "null" });
    const { code, stderr } = await command.output();
    assertEquals([new TextDecoder().decode(stderr), code], ["", 0]);
    const { events } = await server.hub.list({ tenant: "default" }, { limit: 10, order: "asc" });
    assertEquals(events.map(({ userId, amount, source }) => [userId, amount, source]), [
      ["user_2", 999_900, "grpc"],
      ["user_1", 999_900, "grpc"],
      ["user_0", 999_900, "grpc"],
      ["u", 50_000, "grpc"],
    ]);
  },
});
