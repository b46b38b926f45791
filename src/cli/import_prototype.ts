/** Imports what the Python prototype stored in MongoDB. Its documents are only read. */
import { sentenceOf } from "../errors.ts";
import { type Event, parseEvent } from "../event.ts";
import { CLI_BATCH_EVENTS_MAX } from "../limits.ts";
import { isTimeZone } from "../time_zone.ts";
import type { OpenTransfer, PrototypeDocument, PrototypeSource } from "../transfer.ts";
import { InvalidArgumentError } from "commander";
import { Incomplete } from "./failure.ts";
import { compareRecount, compareTotals, number, RETENTION_WAITS, say } from "./import_comparing.ts";
import { Faults, Taking } from "./import_taking.ts";
import { Progress } from "./progress.ts";
import { summarise } from "./transfer_summary.ts";

/** The prototype knew no tenants. */
const TENANT = "default";
/** As for events that come in: a machine's clock may be wrong by so much. */
const MAX_FUTURE_MS = 24 * 3_600_000;

/** Puts the prototype's events into a store. Throws {@link Incomplete} when one was not taken, or anything differs. */
export async function importPrototype(
  source: PrototypeSource,
  target: OpenTransfer,
  { signal, zone }: { signal: AbortSignal; zone: string },
): Promise<void> {
  if (!isTimeZone(zone)) throw new InvalidArgumentError(`--naive-zone must be a time zone; it is "${zone}"`);
  const { store, transfer } = target;
  await transfer.begin();
  const { documents, others } = await source.count();
  const before = (await summarise(transfer)).totals;
  const faults = new Faults();
  await transfer.beginImport();
  const taking = new Taking(transfer, { signal, faults });
  let read = 0;
  {
    using progress = new Progress(documents);
    for (let after: string | null = null;;) {
      const page = await source.read({ after, limit: CLI_BATCH_EVENTS_MAX });
      if (page.length === 0) break;
      const events = page.map((document) => parse(document, { zone, faults })).filter((event) => event !== null);
      await taking.take(events, (i) => `_id ${events[i]!.id}`);
      read += page.length;
      progress.show(read);
      after = page.at(-1)!.id;
    }
  }
  await store.settle();
  const refused = read - taking.stored - taking.duplicates;
  say(
    `documents: ${number(read)} read, ${number(taking.stored)} stored, ${number(taking.duplicates)} there already, ` +
      `${number(refused)} not taken`,
  );
  if (read !== documents) {
    faults.tell(`${documents} documents were there at first, and ${read} were read: others write there`);
  }
  if (others > 0) {
    faults.tell(
      `${others} documents have no tenant and no ObjectId: they are not the prototype's, and were left alone`,
    );
  }
  await compareRecount(target, { tenants: [TENANT], faults });
  await compareTotals(target, { before, added: taking.added, whole: { totals: taking.added } }, faults);
  if (faults.count > 0) {
    throw new Incomplete(`Not everything was taken over: ${number(faults.count)} faults. ${RETENTION_WAITS}`);
  }
  await transfer.endImport();
  say("Everything agrees.");
}

/** A document as an event; `null`, and told why, when it is none. */
function parse(
  { id, receivedAt, members }: PrototypeDocument,
  { zone, faults }: { zone: string; faults: Faults },
): Event | null {
  const parsed = parseEvent({ ...members, id }, {
    tenant: TENANT,
    source: "import",
    now: receivedAt,
    naiveZone: zone,
    maxFutureMs: MAX_FUTURE_MS,
    oldest: null,
    newId: () => id,
  });
  if (parsed.ok) return parsed.event;
  faults.tell(`_id ${id}: it was not taken: ${parsed.errors.map(sentenceOf).join("; ")}`);
  return null;
}
