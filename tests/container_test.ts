/**
 * The container image and the compose file, checked without a container engine: what they say, and whether the image's
 * own commands start a hub, find it healthy and end it. What needs an engine is in .ci/container.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { parse } from "yaml";
import { ConfigError, loadConfig } from "../src/config.ts";
import { copiesOf, environmentOf, readDockerfile, textsOf, wordsOf } from "./container/dockerfile.ts";
import { type Image, layImage } from "./container/image.ts";
import { type HubProcess, startHub } from "./soak/process.ts";

const ROOT = new URL("../", import.meta.url);
const granted = (["read", "write", "run", "net", "env"] as const).every((name) =>
  Deno.permissions.querySync({ name }).state === "granted"
);
const need = granted ? "" : " (needs all permissions: deno task test)";

function check(name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name: `container: ${name}${need}`, ignore: !granted, fn });
}

const read = (path: string) => Deno.readTextFileSync(new URL(path, ROOT));

function stages() {
  const [head, build, runtime] = readDockerfile(read("Dockerfile"));
  return { head: head!, build: build!, runtime: runtime! };
}

/** Permissions and the like of a `deno run`, sorted; the module apart. */
const flagsOf = (words: readonly string[]) => words.filter((word) => word.startsWith("--")).sort();

check("the image runs with the permissions of deno task start, its data folder replaced, and fetches nothing", () => {
  const start: string = JSON.parse(read("deno.json")).tasks.start.command;
  const task = start.slice(start.indexOf("deno run")).replaceAll("./data", "/data").split(/\s+/);
  const words = wordsOf(stages().runtime, "ENTRYPOINT");
  assertEquals(flagsOf(words), flagsOf([...task, "--cached-only"]));
  assertEquals([words[0], words[1], words.at(-1)], ["deno", "run", "main.ts"]);
});

check("stores are moved in a container with the permissions of deno task transfer, and fetch nothing", () => {
  const task: string = JSON.parse(read("deno.json")).tasks.transfer.command.replaceAll("./data", "/data");
  const commands = read("docs/operations.md").replaceAll("\\\n", " ").split("\n")
    .filter((line) => line.startsWith("docker run") && line.includes("src/cli/main.ts"));
  assertEquals(commands.map((command) => /main\.ts (\w+)/.exec(command)?.[1]), ["export", "import"]);
  for (const command of commands) {
    const [, words] = command.split("--entrypoint deno eventhub ");
    assertEquals(flagsOf(words!.split(/\s+/)), flagsOf([...task.split(/\s+/), "--cached-only"]));
  }
});

check("the image is of the Deno that the project is tested with, for any processor, and does not run as root", () => {
  const { head, build, runtime } = stages();
  const version = /^DENO_VERSION=(.+)$/m.exec(read(".ci/run"))?.[1];
  assert(textsOf(head, "ARG").includes(`DENO_VERSION=${version}`));
  for (const { from } of [build, runtime]) {
    assertMatch(from, /denoland\/deno:[a-z]+-\$\{DENO_VERSION\}\$\{\w+_DIGEST\}/);
  }
  assert(build.from.includes("--platform=$BUILDPLATFORM"));
  assertEquals(textsOf(runtime, "RUN"), []);
  const user = textsOf(runtime, "USER")[0]!;
  assertMatch(user, /^[1-9][0-9]*:[1-9][0-9]*$/);
  assert(textsOf(runtime, "COPY").includes(`--from=build --chown=${user} /data /data`));
});

check("the image says its ports, its volume, its signal, and settings the hub knows", () => {
  const { runtime } = stages();
  const environment = environmentOf(runtime);
  const config = loadConfig(
    Object.fromEntries(Object.entries(environment).filter(([name]) => name.startsWith("EVENTHUB_"))),
    { isTerminal: false },
  );
  assertEquals(textsOf(runtime, "EXPOSE"), [`${config.httpPort} ${config.grpcPort}`]);
  assertEquals(config.store, { kind: "sqlite", path: "/data/eventhub.db" });
  assertEquals(textsOf(runtime, "VOLUME"), ['["/data"]']);
  assertEquals(textsOf(runtime, "STOPSIGNAL"), ["SIGTERM"]);
});

check("everything the image copies is there, and is sent to the builder", () => {
  const sent = read(".dockerignore").split("\n").filter((line) => line.startsWith("!")).map((line) => line.slice(1));
  const copied = copiesOf(stages().build).flatMap(({ sources }) => sources);
  for (const source of copied) Deno.statSync(new URL(source, ROOT));
  assertEquals(copied.sort(), sent.sort());
});

/** Port of the ready line of a hub that listens on every address. */
const portOf = (hub: HubProcess) => new URL(hub.httpUrl).port;

async function publish(hub: HubProcess, id: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${portOf(hub)}/events`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id, user_id: "u", event_type: "purchase", amount: 1 }),
  });
  assertEquals([response.status, (await response.json()).id], [200, id]);
}

function start(image: Image, before: readonly string[] = []): Promise<HubProcess> {
  return startHub({
    command: [...before, ...image.entrypoint] as [string, ...string[]],
    workingFolder: image.workingFolder,
    folder: `${image.folder}/data`,
    env: image.environment,
  });
}

check("the image's entry starts a hub, its health check finds it, and SIGTERM ends it with 0", async () => {
  await using image = await layImage();
  await using hub = await start(image);
  await publish(hub, "contained");
  assertEquals(await image.checkHealth(portOf(hub)), { code: 0, output: '{"status":"ready"}\n' });
  const { code } = await hub.stop();
  assertEquals(code, 0, hub.output());
  assertEquals((await image.checkHealth(portOf(hub))).code, 1);
  // A new container on the same volume.
  await using again = await start(image);
  const kept = await fetch(`http://127.0.0.1:${portOf(again)}/events/contained`);
  assertEquals((await kept.json()).id, "contained");
});

/** The image's folder and the machine's root are read-only to what follows, `/data` apart; it is process 1. */
const NAMESPACES = ["unshare", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
const READ_ONLY = 'mount --bind "$1" "$1" && mount --bind "$1/data" "$1/data" && mount -o remount,ro,bind "$1" && ' +
  'mount -o remount,ro,bind / && shift && exec "$@"';

function missingNamespaces(): boolean {
  if (!granted) return true;
  try {
    const args = [...NAMESPACES.slice(1), "sh", "-c", "mount -o remount,ro,bind /"];
    return !new Deno.Command("unshare", { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    throw error;
  }
}

const unable = missingNamespaces();
const required = granted && (Deno.env.get("EVENTHUB_TEST_REQUIRE") ?? "").split(",").includes("unshare");

Deno.test({
  name: `container: a hub that is process 1 on a read-only root works and ends${
    unable ? " (needs unshare and the right to make namespaces)" : ""
  }`,
  ignore: !granted || unable && !required,
  fn: async () => {
    await using image = await layImage();
    await using hub = await start(image, [...NAMESPACES, "sh", "-c", READ_ONLY, "sh", image.folder]);
    await publish(hub, "contained");
    assertEquals((await image.checkHealth(portOf(hub))).code, 0);
    const first = Number(Deno.readTextFileSync(`/proc/${hub.pid}/task/${hub.pid}/children`).trim());
    assertMatch(Deno.readTextFileSync(`/proc/${first}/status`), /^NSpid:.*\t1$/m);
    assertMatch(Deno.readTextFileSync(`/proc/${first}/mounts`), /^\S+ \/ \S+ ro\b/m);
    Deno.kill(first, "SIGTERM");
    const { code } = await hub.exited;
    assertEquals(code, 0, hub.output());
  },
});

interface Service {
  readonly image: string;
  readonly environment?: Record<string, string>;
  readonly ports?: readonly string[];
  readonly user?: string;
  readonly read_only: boolean;
  readonly tmpfs: readonly string[];
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly restart: string;
  readonly depends_on?: Record<string, { readonly condition: string }>;
  readonly healthcheck?: unknown;
}

const services = (): Record<string, Service> => parse(read("compose.yaml"), { merge: true }).services;
const HUBS = { app: "http", "grpc-server": "grpc", "metrics-consumer": "rollup" };

check("compose runs the three roles of one image, once MongoDB and Redis are healthy", () => {
  const all = services();
  assertEquals(Object.keys(all).sort(), [...Object.keys(HUBS), "mongo", "redis"].sort());
  for (const [name, role] of Object.entries(HUBS)) {
    const { image, environment, depends_on } = all[name]!;
    assertEquals([image, environment!.EVENTHUB_ROLES], ["eventhub", role]);
    assertEquals(depends_on, { mongo: { condition: "service_healthy" }, redis: { condition: "service_healthy" } });
    for (const needed of Object.keys(depends_on!)) assert(all[needed]!.healthcheck !== undefined);
    assertEquals(new URL(environment!.EVENTHUB_STORE_URL!).host, "mongo:27017");
    assertEquals(new URL(environment!.EVENTHUB_STREAM_URL!).host, "redis:6379");
  }
});

check("compose sets nothing the hub does not know", () => {
  for (const name of Object.keys(HUBS)) {
    try {
      loadConfig(services()[name]!.environment!, { isTerminal: false });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      assertEquals(error.problems.filter(({ detail }) => detail.startsWith("no such setting")), []);
    }
  }
});

check("compose publishes on the loopback address only, and gives no container more than it needs", () => {
  const published: string[] = [];
  for (const [name, service] of Object.entries(services())) {
    for (const port of service.ports ?? []) published.push(`${name} ${port}`);
    const { read_only, tmpfs, cap_drop, security_opt, restart } = service;
    assertEquals([read_only, restart], [true, "unless-stopped"], name);
    assertEquals([cap_drop, security_opt], [["ALL"], ["no-new-privileges:true"]], name);
    assert(tmpfs.includes("/tmp"), name);
    if (!(name in HUBS)) {
      assertMatch(service.user ?? "", /^[1-9]/, name);
      assertMatch(service.image, /:\d+\.\d+\.\d+$/, name);
    }
  }
  assertEquals(published.sort(), [
    "app 127.0.0.1:8000:8000",
    "grpc-server 127.0.0.1:50051:50051",
    "mongo 127.0.0.1:27017:27017",
    "redis 127.0.0.1:6379:6379",
  ]);
});
