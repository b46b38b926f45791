/** The query parameters of the REST contract. */
import type { FieldError } from "../../errors.ts";
import { userIdFault } from "../../event.ts";
import {
  CURSOR_CHARACTERS_MAX,
  EVENT_TYPE_CHARACTERS_MAX,
  PAGE_EVENTS_DEFAULT,
  PAGE_EVENTS_MAX,
  USER_ID_CODE_POINTS_MAX,
} from "../../limits.ts";
import type { Start } from "../../stream.ts";
import { parseTimestamp } from "../../timestamp.ts";
import { isTimeZone, type WindowSize } from "../../window.ts";
import { once, type Parameter, type Reading, repeated } from "./query.ts";

const EVENT_TYPE_PATTERN = `^[A-Za-z][A-Za-z0-9_.:-]{0,${EVENT_TYPE_CHARACTERS_MAX - 1}}$`;
const EVENT_TYPE = new RegExp(EVENT_TYPE_PATTERN);
/** A live cursor never begins like a date. */
const TIME_LIKE = /^\d{4}-\d\d-\d\d/;

const good = <T>(value: T): Reading<T> => ({ ok: true, value });

const user_id = once(
  "Only events of this user",
  { type: "string", minLength: 1, maxLength: USER_ID_CODE_POINTS_MAX },
  (text) => {
    const fault = userIdFault(text);
    return fault === null ? good(text) : { ok: false, ...fault };
  },
);

const event_type = repeated(
  "Only events of this type; may be repeated",
  { type: "string", pattern: EVENT_TYPE_PATTERN },
  (text) => {
    if (EVENT_TYPE.test(text)) return good(text);
    const detail = "must begin with a letter and consist of letters, digits and _ . : -, " +
      `at most ${EVENT_TYPE_CHARACTERS_MAX}`;
    return { ok: false, code: "invalid_format", detail };
  },
);

/** One of several words. */
function word<Word extends string>(description: string, words: readonly Word[], usual: Word): Parameter<Word> {
  return once(description, { type: "string", enum: words, default: usual }, (text) => {
    const found = words.find((each) => each === text);
    if (found !== undefined) return good(found);
    return { ok: false, code: "invalid_value", detail: `must be ${words.join(" or ")}` };
  });
}

function flag(description: string, usual: boolean): Parameter<boolean> {
  return once(description, { type: "boolean", default: usual }, (text) => {
    if (text === "true" || text === "false") return good(text === "true");
    return { ok: false, code: "invalid_value", detail: "must be true or false" };
  });
}

function time(description: string, naiveZone: string): Parameter<number> {
  return once(description, { type: "string", format: "date-time" }, (text) => readTime(text, naiveZone));
}

/** A time as RFC 3339 has it. */
export function readTime(text: string, naiveZone: string): Reading<number> {
  const parsed = parseTimestamp(text, naiveZone);
  if (parsed.ok) return good(parsed.timestamp);
  const hint = / \d\d:\d\d$/.test(text) ? " (write the + of an offset as %2B)" : "";
  return { ok: false, code: "invalid_timestamp", detail: parsed.detail + hint };
}

/** A cursor as the hub gave it; whether it is one, the hub says. */
const pageCursor = once(
  "`next_cursor` of the page before",
  { type: "string", minLength: 1, maxLength: CURSOR_CHARACTERS_MAX },
  (text) => text === "" ? { ok: false, code: "too_short", detail: "must not be empty" } : good(text),
);

const limit = once(
  "Largest number of what is listed; a page may be shorter",
  { type: "integer", minimum: 1, maximum: PAGE_EVENTS_MAX, default: PAGE_EVENTS_DEFAULT },
  (text) => {
    const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isNaN(value)) return { ok: false, code: "invalid_type", detail: "must be a whole number" };
    if (value >= 1 && value <= PAGE_EVENTS_MAX) return good(value);
    return { ok: false, code: "out_of_range", detail: `must be from 1 to ${PAGE_EVENTS_MAX}` };
  },
);

const window = word<WindowSize>("Length of a window", ["1m", "5m", "15m", "1h", "1d"], "1m");
const group_by = once(
  "A row per window and event type instead of one per window",
  { type: "string", enum: ["event_type"] },
  (text) => text === "event_type" ? good(true) : { ok: false, code: "invalid_value", detail: "must be event_type" },
);

const tz = once(
  "IANA time zone of windows of 1d; other windows are the same everywhere",
  { type: "string", default: "UTC", examples: ["Europe/Berlin"] },
  (text) =>
    isTimeZone(text) ? good(text) : { ok: false, code: "invalid_value", detail: "must be an IANA time zone name" },
);

/** The parameters of every route that has some. Times without a zone are read in `naiveZone`. */
export function declareParameters(naiveZone: string) {
  const range = {
    from: time("Earliest time, inclusive (RFC 3339)", naiveZone),
    to: time("Latest time, exclusive (RFC 3339)", naiveZone),
  };
  const after: Parameter<Start> = once(
    "Where to start: `latest`, `earliest`, a cursor, or a time of receipt (RFC 3339). `Last-Event-ID` beats it",
    { type: "string", default: "latest", maxLength: CURSOR_CHARACTERS_MAX },
    (text): Reading<Start> => {
      if (text === "latest" || text === "earliest") return good({ at: text });
      if (text === "") return { ok: false, code: "too_short", detail: "must not be empty" };
      if (!TIME_LIKE.test(text)) return good({ cursor: text });
      const reading = readTime(text, naiveZone);
      return reading.ok ? good({ receivedAt: reading.value }) : reading;
    },
  );
  return {
    list: {
      user_id,
      event_type,
      ...range,
      limit,
      cursor: pageCursor,
      order: word("By timestamp: newest first or oldest first", ["desc", "asc"], "desc"),
    },
    listDeadLetters: { limit, cursor: pageCursor },
    batch: { verbose: flag("Whether stored events get a result too", true) },
    follow: { after, user_id, event_type },
    aggregates: {
      from: time("Start of the range, widened to whole windows (RFC 3339; default: an hour before `to`)", naiveZone),
      to: time("End of the range, widened to whole windows (RFC 3339; default: now)", naiveZone),
      window,
      group_by,
      event_type,
      fill: word("Whether windows without events give rows of zeros", ["none", "zero"], "none"),
      tz,
      percentiles: flag("Adds p50, p95 and p99, within 1 %", false),
    },
    followAggregates: { window, group_by, event_type },
    ready: {
      verbose: once(
        "Adds the single checks",
        { type: "string", enum: ["", "true", "false"] },
        (text) =>
          text === "" || text === "true" || text === "false"
            ? good(text !== "false")
            : { ok: false, code: "invalid_value", detail: "must be true, false or empty" },
      ),
    },
    none: {},
  };
}

/** The parameters by route. */
export type RouteParameters = ReturnType<typeof declareParameters>;

/** Refuses a range that ends before it begins. */
export function checkRange(range: { readonly from?: number; readonly to?: number }): FieldError[] {
  if (range.from === undefined || range.to === undefined || range.from <= range.to) return [];
  return [{ parameter: "from", code: "out_of_range", detail: "must not be later than `to`" }];
}
