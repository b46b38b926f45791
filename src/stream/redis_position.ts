/**
 * Places in the stream. A reader follows Redis; what Redis does not have it replays from the store first. Then an epoch
 * ends and the next begins: `<epoch, 8 digits>.<check of its marker>.<phase>.<place>`, which sorts in the order it reads.
 * All numbers have a fixed width, and what separates them sorts before all characters of a name of an insertion.
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

/** A place in the store, (`pub`, `pend`), and H, the end of the stream when it was looked at last. */
interface Reading {
  readonly epoch: EpochName;
  readonly at: PublicationPlace;
  readonly head: string;
}

/** A place of {@link Replay}; `told`: the reader was told that events may come again. */
export interface ReplayPlace extends Reading {
  readonly phase: "replay" | "closing";
  readonly told: boolean;
}

/** A place in the stream up to H, of whose entries the reader has those at and before `at` from the store. */
export interface OverlapPlace extends Reading {
  readonly phase: "overlap";
  readonly id: string;
}

/** A place in the stream. */
export interface StreamPlace {
  readonly phase: "stream";
  readonly epoch: EpochName;
  readonly id: string;
}

/** A place, taken apart. Ids are as Redis writes them. */
export type Place = ReplayPlace | OverlapPlace | StreamPlace;

/** The phases in the order they are gone through. */
const PHASES: readonly Place["phase"][] = ["replay", "closing", "overlap", "stream"];

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
const PEND = /^(?:[0-9a-f]{24})?$/;
/** What a cursor ends with in a replay: the phase, and whether the reader was told. */
const REPLAY = /^([01])([nt])$/;

/** A place as text that sorts. */
export function formatPosition(place: Place): Position {
  const { number, check } = place.epoch;
  const phase = `${String(number).padStart(EPOCH_DIGITS, "0")}.${check}.${PHASES.indexOf(place.phase)}.`;
  if (place.phase === "stream") return phase + padId(place.id);
  const rest = place.phase === "overlap" ? padId(place.id) : place.told ? "t" : "n";
  return `${phase}${String(place.at.pub).padStart(PUB_DIGITS, "0")} ${place.at.pend} ${padId(place.head)} ${rest}`;
}

/** Takes a position apart. */
export function parsePosition(position: Position): Place {
  const epoch = {
    number: Number(position.slice(0, EPOCH_DIGITS)),
    check: position.slice(CHECK_AT, PHASE_AT - 1),
  };
  const phase = PHASES[Number(position[PHASE_AT])]!;
  const text = position.slice(REST_AT);
  if (phase === "stream") return { phase, epoch, id: trimId(text) };
  const [pub = "", pend = "", head = "", rest = ""] = text.split(" ");
  const reading: Reading = { epoch, at: { pub: Number(pub), pend }, head: trimId(head) };
  return phase === "overlap" ? { ...reading, phase, id: trimId(rest) } : { ...reading, phase, told: rest === "t" };
}

/** The fields of a cursor; none contains a dot. */
export function toCursorFields(place: Place): string[] {
  const epoch = [place.epoch.number.toString(36), place.epoch.check];
  if (place.phase === "stream") return [...epoch, place.id];
  const reading = [...epoch, place.at.pub.toString(36), place.at.pend, place.head];
  if (place.phase === "overlap") return [...reading, place.id];
  return [...reading, `${PHASES.indexOf(place.phase)}${place.told ? "t" : "n"}`];
}

/** Reads the fields of a cursor; throws `invalid_cursor` for those of another kind of stream. */
export function fromCursorFields(fields: readonly string[]): Place {
  const [number = "", check = "", third = "", pend = "", head = "", rest = ""] = fields;
  if (NUMBER.test(number) && CHECK.test(check)) {
    const epoch = { number: parseInt(number, 36), check };
    if (fields.length === 3 && ID.test(third)) return { phase: "stream", epoch, id: third };
    if (fields.length === 6 && NUMBER.test(third) && PEND.test(pend) && ID.test(head)) {
      const reading: Reading = { epoch, at: { pub: parseInt(third, 36), pend }, head };
      if (ID.test(rest)) return { ...reading, phase: "overlap", id: rest };
      const [, phase, told] = REPLAY.exec(rest) ?? [];
      if (phase !== undefined) {
        return { ...reading, phase: phase === "0" ? "replay" : "closing", told: told === "t" };
      }
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
