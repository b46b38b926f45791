/** Services that tests need: where one is missing its tests are skipped by name, unless the environment asks for it. */

/** Why tests of a service cannot run here; `null` when they can. */
export type Missing = string | null;

/** The permissions that are not granted, as a reason; `null` when all are. */
export function missingPermissions(names: readonly Deno.PermissionDescriptor["name"][]): Missing {
  const missing = names.filter((name) =>
    Deno.permissions.querySync({ name } as Deno.PermissionDescriptor).state !== "granted"
  );
  return missing.length === 0 ? null : `needs ${missing.map((name) => `--allow-${name}`).join(" ")}: deno task test`;
}

/** A variable of the environment; `undefined` also where reading it is not allowed. */
export function variable(name: string): string | undefined {
  if (Deno.permissions.querySync({ name: "env", variable: name }).state !== "granted") return undefined;
  return Deno.env.get(name);
}

/** Where a program is on the PATH; `false` also where nothing may be run. */
export function isInstalled(program: string): boolean {
  if (Deno.permissions.querySync({ name: "run" }).state !== "granted") return false;
  return new Deno.Command("sh", { args: ["-c", `command -v ${program}`], stdout: "null" }).outputSync().success;
}

/** Registers a failing test when a missing service is one of `EVENTHUB_TEST_REQUIRE`. */
export function demand(service: string, missing: Missing): void {
  const required = (variable("EVENTHUB_TEST_REQUIRE") ?? "").split(",").map((name) => name.trim());
  if (missing === null || !required.includes(service)) return;
  Deno.test(`services: ${service} is required by EVENTHUB_TEST_REQUIRE`, () => {
    throw new Error(`It is not there: ${missing}`);
  });
}
