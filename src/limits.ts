/** Every limit of Event Hub in one place, its unit last in its name and its reason beside it. */

export * from "./limits_distributed.ts";

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
/** Properties describe an event; documents belong elsewhere. */
export const PROPERTIES_JSON_BYTES_MAX = 16 * KIBIBYTE;
/** Nesting beyond this is data structure, not description, and costs stack. */
export const PROPERTIES_DEPTH_LEVELS_MAX = 8;
/** Keys are names. */
export const PROPERTIES_KEY_CHARACTERS_MAX = 128;
/** Times before the epoch are a sign of a broken clock. */
export const TIMESTAMP_YEAR_MIN = 1970;
/** RFC 3339 has four digits for the year. */
export const TIMESTAMP_YEAR_MAX = 9999;
/** Field errors told of one event; the rest would be noise. */
export const FIELD_ERRORS_MAX = 32;
/** Field errors told of one batch; then each further event tells its first alone. A few kilobytes could ask for 30 MB. */
export const BATCH_FIELD_ERRORS_MAX = 4_096;
/** A field error repeats the names on the way to the field; a legal one has 128 characters of two units at most. */
export const POINTER_TOKEN_CHARACTERS_MAX = 300;

// Requests
/** Four times what an event with full properties takes. */
export const EVENT_BODY_BYTES_MAX = 64 * KIBIBYTE;
/** A batch is held whole in memory before anything is stored. */
export const BATCH_BODY_BYTES_MAX = 8 * MEBIBYTE;
/** A batch is answered whole, a result an event. */
export const BATCH_EVENTS_MAX = 10_000;
/** Bodies that are being read at once, in all: many slow large ones may not fill the memory. */
export const BODIES_IN_FLIGHT_BYTES_MAX = 128 * MEBIBYTE;
/** A GraphQL body may carry a batch of variables. */
export const GRAPHQL_BODY_BYTES_MAX = 8 * MEBIBYTE;
/** One line holds one event, and an event may be as large as the body of a single POST. */
export const NDJSON_LINE_BYTES_MAX = EVENT_BODY_BYTES_MAX;
/** Errors and logs repeat the method and the path of a request. */
export const SHOWN_TARGET_CHARACTERS_MAX = 256;
/** A request id is repeated in answers and logs. */
export const REQUEST_ID_CHARACTERS_MAX = 128;
/** With few properties they are a few hundred kilobytes. */
export const PAGE_EVENTS_MAX = 1_000;
/** A page beyond it is shorter: clients of gRPC refuse 4 MiB, and many slow readers hold a page each. */
export const PAGE_BYTES_MAX = 3.5 * MEBIBYTE;
/** A screenful. */
export const PAGE_EVENTS_DEFAULT = 50;
/** A week of minutes; the answer is made whole in memory. */
export const AGGREGATE_ROWS_MAX = 10_000;
/** Cells one question about windows may read, 1 to 2 s of work: ten types in each minute of the 104 days that
 * `AGGREGATE_ROWS_MAX` windows of a quarter of an hour span are 1.5 million, ten years of hours 0.9 million. */
export const AGGREGATE_CELLS_MAX = 2_000_000;
/** Differences told by a recount; the rest is only counted. */
export const RECOUNT_DIFFERENCES_MAX = 100;
/** A day. */
export const AGGREGATED_METRICS_MINUTES_MAX = 1_440;
/** How many stored events `StreamEvents` of the prototype may begin with. */
export const STREAM_EVENTS_BACKLOG_MAX = 10_000;
/** Length of a cursor that is looked at. */
export const CURSOR_CHARACTERS_MAX = 512;

// GraphQL
/** Nothing in the schema lies deeper than five levels; introspection is counted by graphql-js itself. */
export const GRAPHQL_DEPTH_LEVELS_MAX = 8;
/** An alias runs a field once more. */
export const GRAPHQL_ALIASES_MAX = 15;
/** Fields plus objects that may be listed: four full lists and some in one request. */
export const GRAPHQL_COST_POINTS_MAX = 5_000;
/** Windows of metrics and batches, some megabytes each: three of them in one request. */
export const GRAPHQL_HEAVY_FIELD_POINTS = 1_500;
/** GraphiQL's introspection query has about 300. */
export const GRAPHQL_TOKENS_MAX = 1_000;
/** Faults of a query that are told; validation stops there. */
export const GRAPHQL_FAULTS_MAX = 20;
/** Messages of graphql-js repeat the value that was sent, however long. */
export const ERROR_MESSAGE_CHARACTERS_MAX = 500;
/** Parsed documents are kept, so that a client's few queries are parsed once; long ones are not worth the memory. */
export const GRAPHQL_CACHED_DOCUMENTS_MAX = 128;
/** Longer documents are parsed anew each time, so that the cache stays small. */
export const GRAPHQL_CACHED_DOCUMENT_CHARACTERS_MAX = 8 * KIBIBYTE;
/** WebSockets a thread; as many as there may be subscribers. */
export const GRAPHQL_SOCKETS_MAX = 10_000;
/** Operations that run on one WebSocket at once. */
export const GRAPHQL_SOCKET_OPERATIONS_MAX = 100;
/** Messages of one WebSocket being answered at once; whoever sends more without reading answers is cut. */
export const GRAPHQL_SOCKET_MESSAGES_MAX = 2 * GRAPHQL_SOCKET_OPERATIONS_MAX;
/** A message holds a query and its variables; batches of events go by POST. */
export const GRAPHQL_SOCKET_MESSAGE_CHARACTERS_MAX = 64 * KIBIBYTE;
/** A client that opens a WebSocket says hello at once. */
export const GRAPHQL_SOCKET_HELLO_MS = 3 * SECOND_MS;
/** Silence after which a WebSocket is closed, after a ping: long enough for a slow reader to get through its buffers. */
export const GRAPHQL_SOCKET_IDLE_SECONDS = 60;
/**
 * What may wait in a WebSocket that is not read before its subscriptions are asked for no more. Small, because each
 * message that waits costs Deno about 800 bytes beside its text: a mebibyte of short ones took five.
 */
export const SOCKET_BUFFER_BYTES_MAX = 32 * KIBIBYTE;
/** WebSockets do not say when they have drained, so the full ones are looked at: soon, as most drain at once, ... */
export const SOCKET_DRAIN_CHECK_MS_MIN = 1;
/** ... then less and less often, as those that do not may be many. */
export const SOCKET_DRAIN_CHECK_MS_MAX = 50;
/** What WebSockets are given to take their last messages before they are closed. */
export const SOCKET_FAREWELL_MS = SECOND_MS;

// Ingest
/** Events in flight (waiting or being committed) a thread; beyond it a request is answered `overloaded`. */
export const IN_FLIGHT_EVENTS_MAX = 50_000;
/** Bytes in flight a thread, estimated from the text of the events. */
export const IN_FLIGHT_BYTES_MAX = 64 * MEBIBYTE;
/** Events of one commit: beyond a few thousand a larger group is hardly cheaper, and everyone waits for it. */
export const COMMIT_EVENTS_MAX = 4_096;
/** Groups handed to the store at once; a second one keeps the writer busy while the first one's answers go out. */
export const COMMITS_IN_FLIGHT_MAX = 2;
/** A smaller group waits for the running commit and grows: many small commits cost more than the writer's pause. */
export const OVERLAPPING_COMMIT_EVENTS_MIN = 256;
/** How long a transaction waits for a lock that another program holds on the file. */
export const SQLITE_BUSY_TIMEOUT_MS = 5 * SECOND_MS;
/** A hub whose last commit failed says so on `/readyz` for so long, unless another one succeeds. */
export const SQLITE_TROUBLE_MS = 5 * SECOND_MS;
/** Events the memory store holds; each takes about half a kilobyte. */
export const MEMORY_STORE_EVENTS_MAX = 1_000_000;
/** Rows not yet in the secondary indexes and histograms; they are scanned by every query, so they stay few. */
export const INDEX_BACKLOG_ROWS_MAX = 8_192;
/** Rows indexed in one transaction; a commit may have to wait for it, some 5 ms. */
export const INDEX_STEP_ROWS = 4_096;
/** A step over many cells ends earlier, but not before so many rows: small steps make many small index entries. */
export const INDEX_STEP_ROWS_MIN = 1_024;
/** Histograms rewritten in one step of the indexing, so that no commit waits long for it. */
export const INDEX_STEP_CELLS = 512;
/** Cells of one span that the writer remembers, some 200 bytes each; the others are read before they are folded. */
export const SQLITE_CELLS_CACHED = 16_384;
/** Pages held in memory by the connection that writes, where the index of ids is hot, and by those that read. */
export const SQLITE_WRITER_CACHE_KIBIBYTES = 24 * KIBIBYTE;
/** Page cache of the connection that answers questions. */
export const SQLITE_READER_CACHE_KIBIBYTES = 12 * KIBIBYTE;
/** Page cache of each thread's connection that follows the log. */
export const SQLITE_TAIL_CACHE_KIBIBYTES = 2 * KIBIBYTE;
/** Rows deleted or made anonymous in one transaction; a commit may have to wait for it. */
export const SQLITE_PURGE_STEP_ROWS = 1_024;
/** Rows made anonymous in one step, between two commits. */
export const SQLITE_ERASE_STEP_ROWS = 512;
/** Rows of the log a rebuild follows at once, to take in what was stored while it counted. */
export const SQLITE_REBUILD_STEP_ROWS = 4_096;
/** Entries of an index that one page of a list looks at; then it is short, and the next one goes on. */
export const LIST_ENTRIES_MAX = 500_000;
/** Cells of one step of a question about windows: some 40 ms with percentiles, 5 ms without. */
export const SQLITE_AGGREGATE_STEP_CELLS = 8_192;
/** How long the reader stays with questions of one length before it looks at those of another. */
export const SQLITE_READ_TURN_MS = 10;
/** Calls of one thread that wait for the reader or the writer: some seconds of short questions. */
export const SQLITE_CALLS_PENDING_MAX = 1_024;
/** How long a question may wait for its answer, where no request time-out is set. */
export const SQLITE_QUESTION_MS = 30 * SECOND_MS;
/** Whether the store is well is known by then, or it is not: probes give up after some seconds themselves. */
export const SQLITE_HEALTH_MS = 2 * SECOND_MS;
/** How often the log of the database is moved into it, beside the writer. */
export const SQLITE_CHECKPOINT_MS = 100;
/** Pages in the log of the database beyond which the writer moves them itself. */
export const SQLITE_CHECKPOINT_PAGES = 4_096;
/** How long a Worker of the store may be silent before it is taken for dead and started again. */
export const SQLITE_WORKER_SILENCE_MS = 60 * SECOND_MS;

// Live feed
/** Events that wait for one subscriber; beyond it, it reads the log at its own pace. */
export const SUBSCRIBER_QUEUE_EVENTS_MAX = 1_024;
/** Bytes that wait for one subscriber, likewise. */
export const SUBSCRIBER_QUEUE_BYTES_MAX = MEBIBYTE;
/** A subscriber that takes nothing for so long is ended. */
export const SUBSCRIBER_STALL_MS = 30 * SECOND_MS;
/** Proxies cut streams that are silent for a minute or less. */
export const STREAM_KEEP_ALIVE_MS = 15 * SECOND_MS;
/** Rows that wait for a subscriber of windows; newer states of a row replace older ones. */
export const AGGREGATE_SUBSCRIBER_ROWS_MAX = 10_000;
/** Windows that may wait to be read again for the subscribers of windows. */
export const AGGREGATE_CHANGED_WINDOWS_MAX = 100_000;
/** Windows read again in one tick; the rest waits for the next. */
export const AGGREGATE_WINDOWS_PER_TICK_MAX = 1_000;
/** Rows of the log read at once by the tail and by a subscriber that catches up; one that stalls holds a page of them. */
export const LOG_PAGE_EVENTS = 256;
/** Memory of the events in one such page, unless a single one is larger: a subscriber that stalls holds a page. */
export const LOG_PAGE_BYTES_MAX = 256 * KIBIBYTE;
/** Pages that subscribers who walk the log share; they are kept only while somebody walks. */
export const LOG_PAGES_SHARED_MAX = 64;
/** How long they are shared; short, so that an erased event is not handed out much longer than it is queued anyway. */
export const LOG_PAGE_SHARED_MS = SECOND_MS;
/** Pages walked in one turn of the event loop: however many walk, those who are up to date are served in between. */
export const LOG_PAGES_PER_TURN = 4;
/** Subscribers a thread; each costs a queue and a socket. */
export const SUBSCRIBERS_MAX = 10_000;

// gRPC
/** A batch of 8 MiB and what its message adds. */
export const GRPC_MESSAGE_BYTES_MAX = BATCH_BODY_BYTES_MAX + 64 * KIBIBYTE;
/** Clients refuse trailers beyond 8 KiB, and base64 adds a third. */
export const GRPC_STATUS_DETAIL_CHARACTERS_MAX = 2_048;
/** 16 KiB of JSON take at most 88 KiB as a Struct (`0,` is two bytes there and eleven here). */
export const GRPC_PROPERTIES_BYTES_MAX = 96 * KIBIBYTE;
/** Every value takes at least two bytes of JSON. */
export const GRPC_PROPERTIES_VALUES_MAX = PROPERTIES_JSON_BYTES_MAX / 2;
/** As protobuf's own readers have it. */
export const GRPC_NESTING_LEVELS_MAX = 100;
/** Messages of a PublishStream that are not answered; then the hub stops reading. */
export const GRPC_UNANSWERED_EVENTS_MAX = COMMIT_EVENTS_MAX;
/** Bytes of events of one stream that are not acknowledged yet; beyond it the client is not read from. */
export const GRPC_UNANSWERED_BYTES_MAX = 4 * MEBIBYTE;
/** Bytes written at once to a stream; what a client that reads nothing holds beside the kernel's buffers. */
export const GRPC_WRITE_BYTES = 64 * KIBIBYTE;
/** Calls open at once on a connection; clients open another connection for more. */
export const GRPC_CALLS_PER_CONNECTION_MAX = 1_000;
/** A client that is gone without a word is noticed by then and {@link GRPC_KEEPALIVE_TIMEOUT_MS}. */
export const GRPC_KEEPALIVE_MS = 60 * SECOND_MS;
/** A peer that does not answer a ping for so long is gone. */
export const GRPC_KEEPALIVE_TIMEOUT_MS = 20 * SECOND_MS;
/** A connection takes no new calls after so long, so that clients spread; its streams live on. */
export const GRPC_CONNECTION_AGE_MS = HOUR_MS;
/** A connection without calls is closed. */
export const GRPC_CONNECTION_IDLE_MS = 30 * 60 * SECOND_MS;
/** How long a client that is told the end of its stream may take to read what came before. */
export const GRPC_END_GRACE_MS = 5 * SECOND_MS;
/** How often the health of the store is looked at while somebody watches it. */
export const GRPC_HEALTH_INTERVAL_MS = 5 * SECOND_MS;
/** A stored event may take this long from its receipt to its place in the log, clock skew included. */
export const LOG_DELAY_MS = 60 * SECOND_MS;

// Time
/** An event may come a little late before its window counts as closed. */
export const WINDOW_CLOSE_GRACE_MS = 5 * SECOND_MS;
/** A shorter retention would purge what is still being counted. */
export const RETENTION_MIN_MS = HOUR_MS;
/** Time zones whose offsets and days are remembered; all there are is about 600, and a client names them. */
export const ZONES_CACHED = 32;
/** Quarters of an hour, and days, remembered of one zone: three months and twenty years; beyond it, it starts anew. */
export const ZONE_CACHE_ENTRIES = 8_192;
/** An event that holds retention up for longer is warned of: by the usual clock skew it does so for a day. */
export const PURGE_HOLD_WARNED_MS = 24 * HOUR_MS;
/** Retention purges so much later than asked, so that no window that still takes events loses any. */
export const RETENTION_SLACK_MS = HOUR_MS;

// Operations
/** A pass of the minute that takes longer is given up on, so that the next tick can come. */
export const MAINTENANCE_PASS_MS = 50 * SECOND_MS;
/** Without a pass for so long the watchdog runs one. */
export const MAINTENANCE_SILENCE_MS = 150 * SECOND_MS;
/** A pass that failed is tried again so soon; `/readyz` tells of it until then. */
export const MAINTENANCE_RETRY_MS = 5 * SECOND_MS;
/** How often subscribers get keep-alives and windows close. */
export const TICK_MS = SECOND_MS;
/** A thread that gives no sign of life for so long is started again. */
export const THREAD_SILENCE_MS = 30 * SECOND_MS;
/** The supervisor waits so long before it starts a failed part again, doubling from the first to the second. */
export const RESTART_DELAY_MS_MIN = 100;
/** See `RESTART_DELAY_MS_MIN`. */
export const RESTART_DELAY_MS_MAX = 30 * SECOND_MS;

// Command line
/** Events of one request: beyond it a batch gains little, and a retry repeats more. */
export const CLI_BATCH_EVENTS_MAX = 1_000;
/** Half of what the hub takes, so that a batch of long lines fits whatever is added to them. */
export const CLI_BATCH_BYTES_MAX = BATCH_BODY_BYTES_MAX / 2;
/** A block of server-sent events that grows beyond it is not the hub's. */
export const SSE_BLOCK_CHARACTERS_MAX = MEBIBYTE;
/** Events that an export reads at once: with the largest properties some 16 MiB. */
export const TRANSFER_EVENTS_PAGE = 1_000;
/** Minutes or hours of cells that a move reads or adds at once, in one transaction. */
export const TRANSFER_CELLS_PAGE = 256;
/** Pairs of tenant and event type that a move keeps the totals of: some 100 MiB. A store or file of more is not moved. */
export const TRANSFER_TOTALS_MAX = 500_000;
/** How long an import waits for a store that does not answer before it stops. */
export const TRANSFER_RETRY_MS = 30 * SECOND_MS;
