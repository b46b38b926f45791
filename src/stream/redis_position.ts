/**
 * Places in the stream. A reader first replays the store, then follows Redis; then an epoch ends and the next begins:
 * `<epoch, 8 digits>.<check of its marker>.<0 replay, 1 stream>.<place>`, which sorts in the order it reads. The place of
 * a replay is (`pub`, key) and the id H at which it goes on; that of the stream is an id. All numbers have a fixed
 * width, and what separates them sorts before all characters of a key.
 */
import { HubError } from "../errors.ts";
import type { PublicationPlace } from "../publication.ts";
import type { Position } from "../stream.ts";

/** Names an epoch in positions and cursors. */
export interface EpochName {
  readonly number: number;
  /** Check of its marker: 7 characters. */
  readonly check: string;
}

/** A place, taken apart. Ids are as Redis writes them. */
export type Place =
  | { readonly phase: "stream"; readonly epoch: EpochName; readonly id: string }
  | { readonly phase: "replay"; readonly epoch: EpochName; readonly at: PublicationPlace; readonly head: string };

const EPOCH_DIGITS = 8;
const CHECK_AT = EPOCH_DIGITS + 1;
const PHASE_AT = CHECK_AT + 8;
const REST_AT = PHASE_AT + 2;
const PUB_DIGITS = 15;
/** Both parts of an id are unsigned integers of 64 bits. */
const ID_DIGITS = 20;
const ID = /^(\d{1,20})-(\d{1,20})$/;
const CHECK = /^[0-9a-z]{7}$/;
const NUMBER = /^[0-9a-z]{1,10}$/;

/** A place as text that sorts. */
export function formatPosition(place: Place): Position {
  const { number, check } = place.epoch;
  const epoch = `${String(number).padStart(EPOCH_DIGITS, "0")}.${check}.`;
  if (place.phase === "stream") return `${epoch}1.${padId(place.id)}`;
  return `${epoch}0.${String(place.at.pub).padStart(PUB_DIGITS, "0")} ${place.at.key} ${padId(place.head)}`;
}

/** Takes a position apart. */
export function parsePosition(position: Position): Place {
  const epoch = {
    number: Number(position.slice(0, EPOCH_DIGITS)),
    check: position.slice(CHECK_AT, PHASE_AT - 1),
  };
  const rest = position.slice(REST_AT);
  if (position[PHASE_AT] === "1") return { phase: "stream", epoch, id: trimId(rest) };
  const [pub = "", key = "", head = ""] = rest.split(" ");
  return { phase: "replay", epoch, at: { pub: Number(pub), key }, head: trimId(head) };
}

/** The fields of a cursor; none contains a dot. */
export function toCursorFields(place: Place): string[] {
  const epoch = [place.epoch.number.toString(36), place.epoch.check];
  if (place.phase === "stream") return [...epoch, place.id];
  const key = new TextEncoder().encode(place.at.key).toBase64({ alphabet: "base64url", omitPadding: true });
  return [...epoch, place.at.pub.toString(36), key, place.head];
}

/** Reads the fields of a cursor; throws `invalid_cursor` for those of another kind of stream. */
export function fromCursorFields(fields: readonly string[]): Place {
  const [number = "", check = "", third = "", key = "", head = ""] = fields;
  if (NUMBER.test(number) && CHECK.test(check)) {
    const epoch = { number: parseInt(number, 36), check };
    if (fields.length === 3 && ID.test(third)) return { phase: "stream", epoch, id: third };
    if (fields.length === 5 && NUMBER.test(third) && ID.test(head)) {
      return { phase: "replay", epoch, at: { pub: parseInt(third, 36), key: fromBase64Url(key) }, head };
    }
  }
  throw new HubError("invalid_cursor", "The cursor belongs to another kind of stream");
}

/** The milliseconds of an id. */
export function millisecondsOf(id: string): number {
  return Number(id.slice(0, id.indexOf("-")));
}

/** Less than zero when the first id comes before the second. */
export function compareIds(a: string, b: string): number {
  const [left, right] = [padId(a), padId(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function padId(id: string): string {
  const [, time = "0", sequence = "0"] = ID.exec(id) ?? [];
  return `${time.padStart(ID_DIGITS, "0")}-${sequence.padStart(ID_DIGITS, "0")}`;
}

function trimId(text: string): string {
  return text.replaceAll(/\b0+(?=\d)/g, "");
}

function fromBase64Url(text: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.fromBase64(text, { alphabet: "base64url" }));
  } catch (cause) {
    throw new HubError("invalid_cursor", "The cursor belongs to another kind of stream", { cause });
  }
}
