/** The store that is moved, as the commands open it. */
import { InvalidArgumentError, Option } from "commander";
import type { OpenTransfer, PrototypeSource } from "../transfer.ts";
import { Incomplete } from "./failure.ts";
import { patientSource, patientStore } from "./patience.ts";

/** What `EVENTHUB_STORE_URL` is when it is not set. */
const STORE_DEFAULT = "sqlite:./data/eventhub.db";

/** What the help of both commands says of URLs with a password. */
export const PASSWORD_HELP = `

"deno task" shows its command line: a URL with a password belongs into EVENTHUB_STORE_URL or EVENTHUB_PROTOTYPE_URL.`;

/** The option that names the store. */
export function storeOption(): Option {
  return new Option("--store <url>", `the store, as EVENTHUB_STORE_URL has it (default: that, else ${STORE_DEFAULT})`);
}

/** Opens the store for a move. While it does not answer, it is asked again. */
export async function openStore(
  given: string | undefined,
  { signal, ...options }: { readonly mustExist: boolean; readonly signal: AbortSignal },
): Promise<OpenTransfer> {
  const open = await explained(async () => {
    const url = given ?? (Deno.env.get("EVENTHUB_STORE_URL") || STORE_DEFAULT);
    // What opens stores is loaded here: the other commands ask a hub and need none of it.
    const { openTransfer } = await import("../app_transfer.ts");
    return await openTransfer(url, options);
  }, given === undefined ? "EVENTHUB_STORE_URL" : "--store");
  return patientStore(open, signal);
}

/** Opens the prototype's database; `given` is `true` where only the environment has the URL. */
export async function openPrototypeStore(given: string | true, signal: AbortSignal): Promise<PrototypeSource> {
  const [name, url] = given === true
    ? ["EVENTHUB_PROTOTYPE_URL", Deno.env.get("EVENTHUB_PROTOTYPE_URL") ?? ""]
    : ["--from-prototype", given];
  if (!/^mongodb(\+srv)?:\/\//.test(url)) throw new InvalidArgumentError(`${name} must be mongodb://…`);
  const source = await explained(async () => {
    const { openPrototype } = await import("../app_transfer.ts");
    return await openPrototype(url);
  });
  return patientSource(source, signal);
}

/** The zone of the prototype's clock. */
export function naiveZone(given: string | undefined): string {
  return given ?? (Deno.env.get("EVENTHUB_NAIVE_ZONE") || "UTC");
}

/** `setting`: what said where the store is, since what opens it names that of a hub. */
async function explained<T>(open: () => Promise<T>, setting = "EVENTHUB_STORE_URL"): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw new Incomplete(
        `export and import open the store themselves, and need more than the network: "deno task transfer" instead of ` +
          `"deno task cli" (${error.message})`,
      );
    }
    const message = (error instanceof Error ? error.message : String(error)).replace(
      "(EVENTHUB_STORE_URL)",
      `(${setting})`,
    );
    const isHeld = /another hub has it open/.test(message);
    throw new Incomplete(isHeld ? `${message}. Stop it first: what it stored meanwhile would not be moved` : message);
  }
}
