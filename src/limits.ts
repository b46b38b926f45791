/** Every limit of Event Hub in one place, its unit last in its name and its reason beside it. */

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;
const SECOND_MS = 1_000;
const HOUR_MS = 3_600 * SECOND_MS;

// The event
/** Fits every common id scheme with a prefix; bounds the unique index. */
export const EVENT_ID_CHARACTERS_MAX = 128;
/** The longest e-mail address has 254 characters. */
export const USER_ID_CODE_POINTS_MAX = 256;
/** Types are names, not data. */
export const EVENT_TYPE_CHARACTERS_MAX = 64;
/** Each type is a cell per minute; without a bound a typo in a producer grows the metrics for ever. */
export const EVENT_TYPES_PER_TENANT_MAX = 200;
/** Amounts are integers of 1/10,000: four digits cover every currency's minor unit and unit prices. */
export const AMOUNT_FRACTION_DIGITS_MAX = 4;
/** 10^13 units: one amount stays a safe integer of a double. */
export const AMOUNT_ABSOLUTE_MAX = 1_000_000_000;
/** Text of an amount that is looked at; the longest legal one is much shorter. */
export const AMOUNT_TEXT_CHARACTERS_MAX = 64;
export const PROPERTIES_JSON_BYTES_MAX = 16 * KIBIBYTE;
export const PROPERTIES_DEPTH_LEVELS_MAX = 8;
export const PROPERTIES_KEY_CHARACTERS_MAX = 128;
export const TIMESTAMP_YEAR_MIN = 1970;
export const TIMESTAMP_YEAR_MAX = 9999;
/** Field errors told of one event; the rest would be noise. */
export const FIELD_ERRORS_MAX = 32;

// Requests
export const EVENT_BODY_BYTES_MAX = 64 * KIBIBYTE;
export const BATCH_BODY_BYTES_MAX = 8 * MEBIBYTE;
export const BATCH_EVENTS_MAX = 10_000;
/** Bodies that are being read at once, in all: many slow large ones may not fill the memory. */
export const BODIES_IN_FLIGHT_BYTES_MAX = 128 * MEBIBYTE;
/** A GraphQL body may carry a batch of variables. */
export const GRAPHQL_BODY_BYTES_MAX = 8 * MEBIBYTE;
/** One line holds one event, and an event may be as large as the body of a single POST. */
export const NDJSON_LINE_BYTES_MAX = EVENT_BODY_BYTES_MAX;
export const REQUEST_ID_CHARACTERS_MAX = 128;
/** How often bodies that are still arriving are checked against their deadline. */
export const BODY_SWEEP_MS = SECOND_MS;
export const PAGE_EVENTS_MAX = 1_000;
export const PAGE_EVENTS_DEFAULT = 50;
export const AGGREGATE_ROWS_MAX = 10_000;
/** Differences told by a recount; the rest is only counted. */
export const RECOUNT_DIFFERENCES_MAX = 100;
export const AGGREGATED_METRICS_MINUTES_MAX = 1_440;
export const STREAM_EVENTS_BACKLOG_MAX = 10_000;
/** Length of a cursor that is looked at. */
export const CURSOR_CHARACTERS_MAX = 512;

// Ingest
/** Events in flight (waiting or being committed) a thread; beyond it a request is answered `overloaded`. */
export const IN_FLIGHT_EVENTS_MAX = 50_000;
/** Bytes in flight a thread, estimated from the text of the events. */
export const IN_FLIGHT_BYTES_MAX = 64 * MEBIBYTE;
/** Events of one commit: beyond a few thousand a larger group is hardly cheaper, and everyone waits for it. */
export const COMMIT_EVENTS_MAX = 4_096;
/** Groups handed to the store at once; a second one keeps the writer busy while the first one's answers go out. */
export const COMMITS_IN_FLIGHT_MAX = 2;
export const SQLITE_BUSY_TIMEOUT_MS = 5 * SECOND_MS;
/** Events the memory store holds; each takes about half a kilobyte. */
export const MEMORY_STORE_EVENTS_MAX = 1_000_000;
/** Rows not yet in the secondary indexes and histograms; they are scanned by every query, so they stay few. */
export const INDEX_BACKLOG_ROWS_MAX = 8_192;

// Live feed
export const SUBSCRIBER_QUEUE_EVENTS_MAX = 1_024;
export const SUBSCRIBER_QUEUE_BYTES_MAX = MEBIBYTE;
/** A subscriber that takes nothing for so long is ended. */
export const SUBSCRIBER_STALL_MS = 30 * SECOND_MS;
export const STREAM_KEEP_ALIVE_MS = 15 * SECOND_MS;
/** Rows that wait for a subscriber of windows; newer states of a row replace older ones. */
export const AGGREGATE_SUBSCRIBER_ROWS_MAX = 10_000;
/** Windows that may wait to be read again for the subscribers of windows. */
export const AGGREGATE_CHANGED_WINDOWS_MAX = 100_000;
/** Windows read again in one tick; the rest waits for the next. */
export const AGGREGATE_WINDOWS_PER_TICK_MAX = 1_000;
/** Rows of the log read at once by the tail and by a subscriber that catches up. */
export const LOG_PAGE_EVENTS = 512;
/** Subscribers a thread; each costs a queue and a socket. */
export const SUBSCRIBERS_MAX = 10_000;

// Time
/** An event may come a little late before its window counts as closed. */
export const WINDOW_CLOSE_GRACE_MS = 5 * SECOND_MS;
export const RETENTION_MIN_MS = HOUR_MS;
/** Time zones whose offsets and days are remembered; all there are is about 600, and a client names them. */
export const ZONES_CACHED = 64;
/** Quarters of an hour, and days, remembered of one zone: three months and twenty years; beyond it, it starts anew. */
export const ZONE_CACHE_ENTRIES = 8_192;
/** Retention purges so much later than asked, so that no window that still takes events loses any. */
export const RETENTION_SLACK_MS = HOUR_MS;

// Operations
/** A pass of the minute that takes longer is given up on, so that the next tick can come. */
export const MAINTENANCE_PASS_MS = 50 * SECOND_MS;
/** Without a pass for so long the watchdog runs one. */
export const MAINTENANCE_SILENCE_MS = 150 * SECOND_MS;
/** How often subscribers get keep-alives and windows close. */
export const TICK_MS = SECOND_MS;
/** A thread that gives no sign of life for so long is started again. */
export const THREAD_SILENCE_MS = 30 * SECOND_MS;
/** The supervisor waits so long before it starts a failed part again, doubling from the first to the second. */
export const RESTART_DELAY_MS_MIN = 100;
export const RESTART_DELAY_MS_MAX = 30 * SECOND_MS;

// Command line
/** Events of one request: beyond it a batch gains little, and a retry repeats more. */
export const CLI_BATCH_EVENTS_MAX = 1_000;
/** Half of what the hub takes, so that a batch of long lines fits whatever is added to them. */
export const CLI_BATCH_BYTES_MAX = BATCH_BODY_BYTES_MAX / 2;
/** A block of server-sent events that grows beyond it is not the hub's. */
export const SSE_BLOCK_CHARACTERS_MAX = MEBIBYTE;
