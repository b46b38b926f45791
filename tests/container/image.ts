/**
 * The image as a folder: what the Dockerfile copies, and what its commands make of it, without a container engine. The
 * paths of the image are below the folder: `/app`, `/deno-dir`, `/data`.
 */
import { copiesOf, environmentOf, readDockerfile, textsOf, wordsOf } from "./dockerfile.ts";

const ROOT = new URL("../../", import.meta.url);

/** An image that was laid; disposing removes it. */
export interface Image extends AsyncDisposable {
  readonly folder: string;
  /** Where its programs are started. */
  readonly workingFolder: string;
  /** Its variables, and free ports. */
  readonly environment: Record<string, string>;
  readonly entrypoint: [string, ...string[]];
  /** Runs its health check against a port. */
  checkHealth(port: string): Promise<{ code: number; output: string }>;
}

/** Lays the image as the first stage of the Dockerfile makes it, in a temporary folder. */
export async function layImage(): Promise<Image> {
  const [, build, runtime] = readDockerfile(await Deno.readTextFile(new URL("Dockerfile", ROOT)));
  await using laying = new AsyncDisposableStack();
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "eventhub-image-" }));
  laying.defer(() => Deno.remove(folder, { recursive: true }));
  const here = (text: string) => text.replaceAll(/\/(app|data|deno-dir)\b/g, (path) => `${folder}${path}`);
  const workingFolder = here("/app");
  for (const path of ["app", "deno-dir", "bin"]) await Deno.mkdir(`${folder}/${path}`);
  await Deno.symlink(Deno.execPath(), `${folder}/bin/deno`);
  // The packages of this machine instead of a download.
  await Deno.symlink(`${await packagesFolder()}/npm`, `${folder}/deno-dir/npm`);
  for (const { sources, target } of copiesOf(build!)) {
    for (const source of sources) await copy(new URL(source, ROOT).pathname, `${workingFolder}/${target}`, source);
  }
  const path = `${folder}/bin:${Deno.env.get("PATH")}`;
  for (const command of textsOf(build!, "RUN")) {
    const env = { PATH: path, DENO_DIR: here("/deno-dir"), NO_COLOR: "1" };
    const { code, output } = await run(["sh", "-c", here(command)], { cwd: workingFolder, env });
    if (code !== 0) throw new Error(`Cannot lay the image: "${command}" ended with ${code}\n${output}`);
  }
  const settings = Object.entries(environmentOf(runtime!)).map(([name, value]) => [name, here(value)]);
  const environment = { ...Object.fromEntries(settings), EVENTHUB_HTTP_PORT: "0", EVENTHUB_GRPC_PORT: "0" };
  const words = (name: string): [string, ...string[]] => {
    const [program, ...args] = wordsOf(runtime!, name).map(here);
    if (program !== "deno") throw new Error(`Cannot start the image: ${name} is ${program}, not deno`);
    return [Deno.execPath(), ...args];
  };
  const laid = laying.move();
  return {
    folder,
    workingFolder,
    environment,
    entrypoint: words("ENTRYPOINT"),
    checkHealth: (port) =>
      run(words("HEALTHCHECK"), { cwd: workingFolder, env: { ...environment, EVENTHUB_HTTP_PORT: port } }),
    [Symbol.asyncDispose]: () => laid.disposeAsync(),
  };
}

/** Runs a program to its end in an environment of nothing but `env`. */
async function run(command: [string, ...string[]], options: { cwd: string; env: Record<string, string> }) {
  const [program, ...args] = command;
  const { code, stdout, stderr } = await new Deno.Command(program, { args, ...options, clearEnv: true }).output();
  const output = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
  return { code, output };
}

/** Where this machine's Deno keeps packages. */
async function packagesFolder(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"], cwd: ROOT }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).denoDir;
}

/** A file goes into the folder `./` under its own name, a folder becomes the target. */
async function copy(from: string, to: string, name: string): Promise<void> {
  if (!(await Deno.stat(from)).isDirectory) return await Deno.copyFile(from, `${to}/${name}`);
  await Deno.mkdir(to, { recursive: true });
  for await (const entry of Deno.readDir(from)) {
    if (entry.name === "node_modules") continue;
    await copy(`${from}/${entry.name}`, entry.isDirectory ? `${to}/${entry.name}` : to, entry.name);
  }
}
