/** `import`: puts an export, or what the prototype stored, into a store, and compares. */
import { Command, InvalidArgumentError } from "commander";
import { importFile } from "./import_file.ts";
import { importPrototype } from "./import_prototype.ts";
import { naiveZone, openPrototypeStore, openStore, PASSWORD_HELP, storeOption } from "./transfer_store.ts";
import { onInterrupt } from "./terminal.ts";

const EXAMPLES = `
The file is read twice: once to judge it and to ask the store whether it can take it, before anything is written. Import
adds and never replaces, so an import that was cut is simply run again. At the end counts, totals and every cell are
compared; the exit code is 0 only when all agree and every event was taken. Hubs may run on a MongoDB store meanwhile: those
who follow it live are not told of what is imported.

Examples:
  deno task transfer import --store mongodb://localhost:27017/event_hub events.ndjson
  deno task transfer import --store sqlite:./data/other.db events.ndjson
  deno task transfer import --from-prototype mongodb://localhost:27017/event_hub${PASSWORD_HELP}`;

interface ImportOptions {
  readonly store?: string;
  /** `true`: without a URL. */
  readonly fromPrototype?: string | true;
  readonly naiveZone?: string;
}

/** The command. */
export function importCommand(): Command {
  return new Command("import")
    .description(
      "put what was exported, or what the prototype stored, into a store (run as: deno task transfer import)",
    )
    .argument("[file]", "what export wrote")
    .addOption(storeOption())
    .option(
      "--from-prototype [url]",
      "take the events of the Python prototype from this MongoDB database instead (default: EVENTHUB_PROTOTYPE_URL)",
    )
    .option("--naive-zone <zone>", "zone of the prototype's clock (default: EVENTHUB_NAIVE_ZONE, else UTC)")
    .addHelpText("after", EXAMPLES)
    .action(async (file: string | undefined, options: ImportOptions) => {
      const { fromPrototype } = options;
      if ((file === undefined) === (fromPrototype === undefined)) {
        throw new InvalidArgumentError(
          "Name either the file of an export, or --from-prototype with the URL of a database.",
        );
      }
      using interrupted = onInterrupt();
      if (fromPrototype !== undefined) {
        await using source = await openPrototypeStore(fromPrototype, interrupted);
        await using target = await openStore(options.store, { mustExist: false, signal: interrupted });
        return await importPrototype(source, target, { signal: interrupted, zone: naiveZone(options.naiveZone) });
      }
      await using target = await openStore(options.store, { mustExist: false, signal: interrupted });
      await importFile(file!, target, { signal: interrupted });
    });
}
