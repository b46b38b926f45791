/** Entries for the inbound stream, good and bad ones, made from a number, and what must become of each. */
import { type TypicalEvent, typicalEvent } from "./typical_event.ts";

/** An entry and its fate. */
export interface InboundEntry {
  /** Names and values in turn, as XADD takes them. */
  readonly fields: readonly string[];
  /** The id of its event; `null`: none that could be read, so the entry names it. */
  readonly id: string | null;
  /** Why it is a dead letter; `null`: its event is stored. */
  readonly code: string | null;
  /** An event without an id that a dead letter of this entry can be redriven with. */
  readonly corrected: Omit<TypicalEvent, "id">;
}

/** One in a hundred cannot be taken. */
const BAD_EVERY = 100;
const BAD_AT = 50;
/** One in a hundred is an event that is stored already, and one in ten has no id. */
const AGAIN_AT = 75;
const NAMELESS_EVERY = 10;
const NAMELESS_AT = 3;
const TOO_MANY_CHARACTERS = 70_000;
const USER_ID_TOO_LONG = 300;

/** Events that are stored before, for entries that send them again and for those that contradict them. */
export function knownEvents(count: number): TypicalEvent[] {
  const timestamp = Date.now();
  return Array.from({ length: count }, (_, index) => typicalEvent(index, { prefix: "known", timestamp }));
}

/** Entry number `index`; of every two neighbours one has fields, the other a payload. */
export function inboundEntry(index: number, known: readonly TypicalEvent[]): InboundEntry {
  const place = index % BAD_EVERY;
  const turn = Math.floor(index / BAD_EVERY);
  const first = known[turn % known.length]!;
  if (place === AGAIN_AT) return good(index, first);
  const event = typicalEvent(index, { prefix: "in" });
  if (place === BAD_AT) return BAD[turn % BAD.length]!(event, first);
  return good(index, event, index % NAMELESS_EVERY === NAMELESS_AT ? null : event.id);
}

function good(index: number, event: TypicalEvent, id: string | null = event.id): InboundEntry {
  const sent = id === null ? without(event, "id") : event;
  return {
    fields: index % 2 === 0 ? fieldsOf(sent) : payloadOf(sent),
    id,
    code: null,
    corrected: without(event, "id"),
  };
}

type Bad = (event: TypicalEvent, known: TypicalEvent) => InboundEntry;

/** A bad entry of a kind; `isReadable`: the id of its event is known, although the event cannot be taken. */
function bad(code: string, isReadable: boolean, fields: (event: TypicalEvent) => readonly string[]): Bad {
  return (event) => {
    return { fields: fields(event), id: isReadable ? event.id : null, code, corrected: without(event, "id") };
  };
}

const BAD: readonly Bad[] = [
  bad("invalid_argument", true, (event) => fieldsOf({ ...event, amount: "much" })),
  bad("invalid_argument", true, (event) => fieldsOf(without(event, "user_id"))),
  bad("invalid_argument", true, (event) => fieldsOf({ ...event, timestamp: "yesterday" })),
  bad("invalid_argument", true, (event) => payloadOf({ ...event, user_id: "u".repeat(USER_ID_TOO_LONG) })),
  bad("invalid_argument", true, (event) => payloadOf({ ...event, colour: "red" })),
  bad("invalid_argument", true, (event) => payloadOf({ ...event, amount: 1.23456 })),
  bad("invalid_argument", false, (event) => ["payload", JSON.stringify(event.id)]),
  bad("invalid_argument", false, (event) => fieldsOf({ ...event, tenant: "Not A Tenant" })),
  bad("malformed", false, (event) => ["payload", JSON.stringify(event).slice(0, -1)]),
  bad("malformed", false, (event) => [...payloadOf(event), "amount", "1"]),
  bad("malformed", false, (event) => fieldsOf({ ...event, properties: "{" })),
  bad("payload_too_large", false, (event) => payloadOf({ ...event, properties: "x".repeat(TOO_MANY_CHARACTERS) })),
  (_, known) => ({
    fields: payloadOf({ ...known, amount: known.amount + 1 }),
    id: known.id,
    code: "conflict",
    corrected: without(known, "id"),
  }),
];

function fieldsOf(event: object): string[] {
  return Object.entries(event).flatMap(([name, value]) => [name, String(value)]);
}

function payloadOf(event: object): string[] {
  return ["payload", JSON.stringify(event)];
}

function without<K extends keyof TypicalEvent>(event: TypicalEvent, name: K): Omit<TypicalEvent, K> {
  return Object.fromEntries(Object.entries(event).filter(([other]) => other !== name)) as Omit<TypicalEvent, K>;
}
