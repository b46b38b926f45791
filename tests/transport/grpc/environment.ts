/**
 * grpc-js reads a handful of environment variables while it is loaded, and cannot be loaded where that is not permitted.
 * There (a bare `deno test`) it is shown an empty environment, so that the tests can at least say what they need.
 */
import process from "node:process";

if (Deno.permissions.querySync({ name: "env" }).state !== "granted") {
  Object.defineProperty(process, "env", { value: {} });
}
