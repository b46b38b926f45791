/**
 * A MongoDB server for tests: the one of `EVENTHUB_TEST_MONGO_URL`, else a `mongod` of the PATH, else the Java server
 * that `install.sh` fetched. It is started once for a test file, and ends with it.
 */

const FOLDER = new URL("./", import.meta.url);
/** A busy machine may take long to start a program. */
const START_MS = 60_000;
const START_CHECK_MS = 50;
const PERMISSIONS = ["env", "net", "read", "run", "write"] as const;

/** Where a server is, or why there is none. */
export type MongoService =
  /** URL without a database. `isReal`: it is MongoDB itself. */
  | { readonly url: string; readonly isReal: boolean; readonly missing?: undefined }
  | { readonly url?: undefined; readonly missing: string };

/** The server of this test file. Started before the first test, so that no test is blamed for what it holds. */
export const mongo: MongoService = await findMongo();

/** The reason to skip, as a test's name tells it; empty when there is a server. Throws where one is required. */
export function mongoLacking(): string {
  if (mongo.url !== undefined) return "";
  const isRequired = isGranted("env") && (Deno.env.get("EVENTHUB_TEST_REQUIRE") ?? "").split(",").includes("mongo");
  if (isRequired) throw new Error(`EVENTHUB_TEST_REQUIRE asks for MongoDB: ${mongo.missing}`);
  return mongo.missing;
}

/** The URL of a database of its own. */
export function mongoUrl(database: string): string {
  if (mongo.url === undefined) throw new Error(mongo.missing);
  const url = new URL(mongo.url);
  url.pathname = `/${database}`;
  return url.href;
}

/** A name that no other test uses. */
export function newDatabaseName(): string {
  return `eventhub_test_${crypto.randomUUID().replaceAll("-", "")}`;
}

async function findMongo(): Promise<MongoService> {
  const lacking = PERMISSIONS.filter((name) => !isGranted(name)).map((name) => `--allow-${name}`);
  if (lacking.length > 0) return { missing: `needs ${lacking.join(" ")}: deno task test` };
  const url = Deno.env.get("EVENTHUB_TEST_MONGO_URL");
  if (url) return { url, isReal: true };
  if (isInstalled("mongod")) return { url: await startMongod(), isReal: true };
  if (!isInstalled("java")) return { missing: "needs a MongoDB server: EVENTHUB_TEST_MONGO_URL, mongod or java" };
  if (!exists(new URL("lib/installed.pom", FOLDER))) {
    return { missing: "needs a MongoDB server: EVENTHUB_TEST_MONGO_URL, mongod or tests/services/install.sh" };
  }
  return { url: await startJavaServer(), isReal: false };
}

async function startMongod(): Promise<string> {
  const folder = Deno.makeTempDirSync({ prefix: "eventhub-mongo-" });
  const port = freePort();
  // What it writes would have to be read as long as it runs.
  start("mongod", ["--dbpath", folder, "--port", String(port), "--bind_ip", "127.0.0.1"], "null");
  globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  await untilListening(port);
  return `mongodb://127.0.0.1:${port}`;
}

async function startJavaServer(): Promise<string> {
  const child = start("java", [
    "-XX:+UseSerialGC",
    "-cp",
    new URL("lib/*", FOLDER).pathname,
    new URL("MongoServerLauncher.java", FOLDER).pathname,
  ], "piped");
  const text = await until(child.stdout, (text) => /^\d+\s/.test(text));
  return `mongodb://127.0.0.1:${parseInt(text)}`;
}

/** Starts a program that ends with this test file, or at the latest with this process. */
function start(program: string, args: string[], stdout: "null" | "piped"): Deno.ChildProcess {
  const child = new Deno.Command(program, { args, stdin: "piped", stdout, stderr: "null" }).spawn();
  globalThis.addEventListener("unload", () => child.kill("SIGKILL"));
  return child;
}

async function untilListening(port: number): Promise<void> {
  const end = performance.now() + START_MS;
  for (;;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, START_CHECK_MS));
    }
  }
}

/** Reads until the text is as wanted; then nothing is read any more. */
async function until(output: ReadableStream<Uint8Array>, isReady: (text: string) => boolean): Promise<string> {
  const decoder = new TextDecoder();
  const reader = output.getReader();
  const late = setTimeout(() => reader.cancel(), START_MS);
  try {
    for (let text = "";;) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`The server did not start: ${text}`);
      text += decoder.decode(value, { stream: true });
      if (isReady(text)) return text;
    }
  } finally {
    clearTimeout(late);
    reader.releaseLock();
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

function isInstalled(program: string): boolean {
  return new Deno.Command("sh", { args: ["-c", `command -v ${program}`], stdout: "null" }).outputSync().success;
}

function exists(url: URL): boolean {
  try {
    return Deno.statSync(url).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function isGranted(name: Deno.PermissionDescriptor["name"]): boolean {
  return Deno.permissions.querySync({ name } as Deno.PermissionDescriptor).state === "granted";
}
