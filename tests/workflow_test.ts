/** What the workflow of the project may do, and that it runs what is written down elsewhere. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { parse } from "yaml";

const ROOT = new URL("../", import.meta.url);
const granted = Deno.permissions.querySync({ name: "read" }).state === "granted";

const read = (path: string) => Deno.readTextFileSync(new URL(path, ROOT));

function check(name: string, fn: () => void): void {
  Deno.test({
    name: `workflow: ${name}${granted ? "" : " (needs --allow-read: deno task test)"}`,
    ignore: !granted,
    fn,
  });
}

interface Job {
  readonly permissions?: Record<string, string>;
  readonly "timeout-minutes"?: number;
  readonly if?: string;
}

const workflow = () => parse(read(".github/workflows/ci.yaml"));

check("every action is named by a commit, with its version beside it", () => {
  const uses = read(".github/workflows/ci.yaml").split("\n").filter((line) => /\buses:/.test(line));
  assert(uses.length > 0);
  for (const line of uses) assertMatch(line, /uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
});

check("every job ends and says what it may do, and only the one that publishes may write", () => {
  const { permissions, jobs } = workflow();
  assertEquals(permissions, {});
  for (const [name, job] of Object.entries<Job>(jobs)) {
    assert(job["timeout-minutes"] !== undefined && job.permissions !== undefined, name);
    if (Object.values(job.permissions).every((right) => right === "read")) continue;
    assertEquals([name, job.if], ["publish", "github.event_name == 'push'"]);
  }
});

check("it runs the Deno of the project", () => {
  assertEquals(workflow().env.DENO_VERSION, /^DENO_VERSION=(.+)$/m.exec(read(".ci/run"))?.[1]);
});
