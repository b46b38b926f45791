/** Moves a store from SQLite to MongoDB and back over the command line, and compares everything: `deno task soak:transfer`. */
import { MongoClient } from "mongodb";
import { openTransfer } from "../../src/app_transfer.ts";
import { TIMESTAMP_MAX, TIMESTAMP_MIN } from "../../src/timestamp.ts";
import { mongoUrl, newDatabaseName } from "../services/mongo.ts";
import { event } from "../storage/conformance/events.ts";
import { countsOf, fillStore, type Folder, FROZEN_MINUTE, linesOf, runTransfer, workFolder } from "../cli/transfer.ts";
import { conclude, readNumbers, type Report } from "./options.ts";

/** Moves a history of so many events, of which a quarter is purged. */
export async function runTransfers({ events }: { events: number }): Promise<Report> {
  await using folder = workFolder();
  const database = mongoUrl(newDatabaseName());
  await using client = new MongoClient(database);
  try {
    await fillStore(folder, "first", events);
    return await new Run(folder, { events, database }).run();
  } finally {
    await client.db().dropDatabase();
  }
}

class Run {
  readonly #folder: Folder;
  readonly #events: number;
  readonly #database: string;
  readonly #violations: string[] = [];
  readonly #seconds: Record<string, number> = {};

  constructor(folder: Folder, { events, database }: { events: number; database: string }) {
    this.#folder = folder;
    this.#events = events;
    this.#database = database;
  }

  async run(): Promise<Report> {
    const [first, second] = [this.#folder.store("first"), this.#folder.store("second")];
    await this.#move("exportSqlite", ["export", "--store", first], "a.ndjson");
    await this.#move("importMongodb", ["import", "--store", this.#database, "a.ndjson"]);
    await this.#move("exportMongodb", ["export", "--store", this.#database], "b.ndjson");
    await this.#move("importSqlite", ["import", "--store", second, "b.ndjson"]);
    const counts = await Promise.all(
      [this.#urlOf("first"), this.#database, this.#urlOf("second")].map((url) => this.#look(url)),
    );
    const [source, ...targets] = counts;
    for (const target of targets) this.#expect("counts, totals and cells are equal", target === source, target);
    // The first line tells when and from where, the last one hashes the first.
    const [a, b] = ["a.ndjson", "b.ndjson"].map((name) => linesOf(this.#folder, name).slice(1, -1).join("\n"));
    this.#expect("both exports hold the same lines", a === b, "they differ");
    return {
      name: "transfer",
      figures: { events: this.#events, ...this.#seconds },
      violations: this.#violations,
    };
  }

  async #move(name: string, args: readonly string[], out?: string): Promise<void> {
    const began = performance.now();
    const { code, stdout, stderr } = await runTransfer(this.#folder, args, { out });
    this.#seconds[name] = (performance.now() - began) / 1_000;
    this.#expect(name, code === 0, stdout + stderr);
  }

  /** What a store counts; what is frozen must be left alone, and take nothing. */
  async #look(url: string): Promise<string> {
    await using open = await openTransfer(url, { mustExist: true });
    const counts = await countsOf(open.transfer);
    let frozen = 0;
    for (const tenant of await open.transfer.tenants()) {
      const report = await open.store.verify({ tenant, from: TIMESTAMP_MIN, to: TIMESTAMP_MAX });
      frozen += report.frozenMinutes;
      this.#expect("a recount finds no difference", report.differing === 0, JSON.stringify(report.differences));
    }
    const [status] = await open.transfer.append([event({ id: "late", timestamp: FROZEN_MINUTE })]);
    this.#expect("an event of a frozen minute is refused", status === "purged", String(status));
    return JSON.stringify({ counts, frozen }, (_, value) => typeof value === "bigint" ? String(value) : value);
  }

  #urlOf(name: string): string {
    return `sqlite:${this.#folder.path}/data/${name}.db`;
  }

  #expect(what: string, holds: boolean, found: string): void {
    if (!holds) this.#violations.push(`${what}: ${found}`);
  }
}

if (import.meta.main) {
  const report = await runTransfers(readNumbers(Deno.args, { events: 24_000 }));
  conclude(report);
}
