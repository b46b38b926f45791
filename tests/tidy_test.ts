/** The house rules as a test: the rule and its breach meet in one place. */
import { assertEquals } from "@std/assert";

const ROOT = new URL("../", import.meta.url);
const FILE_LINES_MAX = 350;
const FUNCTION_LINES_MAX = 70;
/** The places where the hub and its technologies meet: the main thread, that of gRPC, the storage of both, and moves of it. */
const COMPOSITION_ROOTS = [
  "src/app.ts",
  "src/app_worker.ts",
  "src/app_storage.ts",
  "src/app_distributed.ts",
  "src/app_transfer.ts",
];

const readable = Deno.permissions.querySync({ name: "read" }).state === "granted";

function rule(name: string, check: () => string[]): void {
  Deno.test({
    name: `tidy: ${name}${readable ? "" : " (needs --allow-read: deno task test)"}`,
    ignore: !readable,
    fn: () => assertEquals(check(), []),
  });
}

/** Every TypeScript file below a folder as [path from the root, text]; generated code apart. */
function* sources(...folders: string[]): Generator<[string, string]> {
  for (const folder of folders) {
    for (const entry of Deno.readDirSync(new URL(`${folder}/`, ROOT))) {
      const path = `${folder}/${entry.name}`;
      if (path === "src/gen") continue;
      if (entry.isDirectory) yield* sources(path);
      else if (path.endsWith(".ts")) yield [path, Deno.readTextFileSync(new URL(path, ROOT))];
    }
  }
}

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(new URL(path, ROOT)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Local modules a file imports, as paths from the root. */
function imports(path: string, text: string): string[] {
  const found = text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"|^import "(\.[^"]+)"/gm);
  return [...found].map((match) => {
    const url = new URL((match[1] ?? match[2])!, new URL(path, ROOT));
    return url.href.slice(ROOT.href.length);
  });
}

/** The technology a file belongs to: `src/storage`, `src/transport/rest`, or `null` for the domain. */
function room(path: string): string | null {
  const parts = path.split("/").slice(0, -1);
  if (parts.length === 1) return null;
  return parts[1] === "transport" && parts.length > 2 ? parts.slice(0, 3).join("/") : parts.slice(0, 2).join("/");
}

rule("src/*.ts imports only src/*.ts, a folder only those, src/gen and itself", () => {
  const breaches: string[] = [];
  for (const [path, text] of sources("src")) {
    if (COMPOSITION_ROOTS.includes(path)) continue;
    const own = room(path);
    for (const imported of imports(path, text)) {
      const other = room(imported);
      const shared = other === null || other === "src/gen" || other === own ||
        (other === "src/transport" && own?.startsWith("src/transport/"));
      const data = imported === "deno.json" || imported.startsWith("protos/");
      if (!shared && !data) breaches.push(`${path} imports ${imported}`);
      if (own === null && other !== null && !data) breaches.push(`${path} is domain and imports ${imported}`);
    }
  }
  return breaches;
});

rule(`no file is longer than ${FILE_LINES_MAX} lines`, () => {
  return [...sources("src", "tests", "bench")]
    .map(([path, text]) => [path, text.split("\n").length - 1] as const)
    .filter(([, lines]) => lines > FILE_LINES_MAX)
    .map(([path, lines]) => `${path}: ${lines}`);
});

rule(`no function is longer than ${FUNCTION_LINES_MAX} lines, and main.ts not than 40`, () => {
  const breaches: string[] = [];
  for (const [path, text] of sources("src")) {
    const lines = text.split("\n");
    lines.forEach((line, index) => {
      // The formatter puts the closing brace of a function at the indentation of its first line.
      const head = /^(\s*)(?:export )?(?:default )?(?:static )?(?:async )?(?:function\b|[#\w]+\(.*\{$|(?:get|set) )/
        .exec(line);
      if (head === null || !line.endsWith("{") || /^\s*(?:if|for|while|switch|catch|return)\b/.test(line)) return;
      const end = lines.findIndex((other, at) => at > index && other.startsWith(`${head[1]}}`));
      if (end - index + 1 > FUNCTION_LINES_MAX) breaches.push(`${path}:${index + 1}: ${end - index + 1} lines`);
    });
  }
  const main = read("main.ts").split("\n").length - 1;
  if (main > 40) breaches.push(`main.ts: ${main} lines`);
  return breaches;
});

rule("every export of src has a docstring", () => {
  const breaches: string[] = [];
  for (const [path, text] of sources("src")) {
    const lines = text.split("\n");
    lines.forEach((line, index) => {
      if (!/^export (?:abstract |async |default )?(?:class|const|function|interface|type|enum) \w/.test(line)) return;
      let above = index - 1;
      while (lines[above]?.startsWith("// deno-lint-ignore")) above -= 1;
      // An overload is described with the first of its kind.
      if (/^export (?:async )?function/.test(lines[above] ?? "")) return;
      if (!/\*\/\s*$/.test(lines[above] ?? "")) breaches.push(`${path}:${index + 1}: ${line.slice(0, 80)}`);
    });
  }
  return breaches;
});

rule("every file says what it is in its first lines", () => {
  return [...sources("src", "tests", "bench")].filter(([, text]) => !text.startsWith("/**")).map(([path]) => path);
});

rule("nothing unfinished, unchecked or swallowed", () => {
  const words =
    /\b(TODO|FIXME|XXX)\b|\bas any\b|: any\b|@ts-ignore|@ts-nocheck|catch(?: \(\w+\))? ?\{\s*\}|\.catch\(\(\) => \{\s*\}\)/;
  const breaches: string[] = [];
  for (const [path, text] of sources("src")) {
    text.split("\n").forEach((line, index) => {
      if (words.test(line)) breaches.push(`${path}:${index + 1}: ${line.trim()}`);
    });
  }
  return breaches;
});

rule("tests do not wait by the clock, and none is singled out", () => {
  const breaches: string[] = [];
  for (const [path, text] of sources("tests")) {
    // The soak tasks pace a load by the clock; their tests await conditions.
    if (path === "tests/tidy_test.ts" || (path.startsWith("tests/soak/") && !path.endsWith("_test.ts"))) continue;
    text.split("\n").forEach((line, index) => {
      if (/\bsleep\(|\bdelay\(|\.only\(|only: true/.test(line)) breaches.push(`${path}:${index + 1}: ${line.trim()}`);
    });
  }
  return breaches;
});

rule("a skipped test says why in its name", () => {
  const breaches: string[] = [];
  for (const [path, text] of sources("tests")) {
    if (/\bignore: true\b|\.ignore\(|\.skip\(/.test(text) && path !== "tests/tidy_test.ts") breaches.push(path);
  }
  return breaches;
});

rule("every driver stands under the suite of its port", () => {
  const suites = [
    { folder: "src/storage", port: "implements EventStore", suite: "tests/storage/conformance.ts" },
    { folder: "src/storage", port: "implements DeadLetters", suite: "tests/storage/dead_letters_conformance.ts" },
    { folder: "src/storage", port: "implements StoreTransfer", suite: "tests/storage/conformance.ts" },
    { folder: "src/stream", port: "implements EventStream", suite: "tests/stream/conformance.ts" },
  ];
  const breaches: string[] = [];
  for (const { folder, port, suite } of suites) {
    for (const [path, text] of sources(folder)) {
      if (!text.includes(port)) continue;
      // `sqlite_store.ts` is a part of the driver `sqlite`.
      const driver = path.split("/").at(-1)!.split(/[_.]/)[0];
      const test = `${folder.replace("src/", "tests/")}/${driver}_test.ts`;
      if (!exists(test) || !imports(test, read(test)).includes(suite)) {
        breaches.push(`${path} has no ${test} that runs ${suite}`);
      }
    }
  }
  return breaches;
});

rule("limits are named in limits.ts, and each one is used", () => {
  const files = ["src/limits.ts", "src/limits_distributed.ts"];
  const limits = files.flatMap((path) => [...read(path).matchAll(/^export const (\w+)/gm)].map((match) => match[1]!));
  const texts = [...sources("src")].filter(([path]) => !files.includes(path));
  const breaches = limits.filter((name) => !texts.some(([, text]) => text.includes(name)))
    .map((name) => `${name} is used nowhere`);
  for (const [path, text] of texts) {
    for (
      const match of text.matchAll(
        /^(?:export )?const (\w+_(?:BYTES|EVENTS|ROWS|CHARACTERS|ENTRIES|SUBSCRIBERS|MS)_MAX)\b/gm,
      )
    ) {
      breaches.push(`${path} has a limit of its own: ${match[1]}`);
    }
  }
  return breaches;
});

rule("file names are snake_case, and none is a drawer for everything", () => {
  return [...sources("src", "tests", "bench")].map(([path]) => path).filter((path) => {
    const name = path.split("/").at(-1)!;
    return !/^[a-z][a-z0-9_]*(?:\.[a-z]+)*\.ts$/.test(name) ||
      /(?:^|_)(?:utils?|helpers?|manager|misc|common)\.ts$/.test(name);
  });
});

rule("the version in the code is the one in deno.json", () => {
  const { version } = JSON.parse(read("deno.json"));
  return read("src/version.ts").includes(`"${version}"`) ? [] : ["src/version.ts"];
});
