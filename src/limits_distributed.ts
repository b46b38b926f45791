/** Every limit of the distributed profile, its unit last in its name and its reason beside it. `limits.ts` has them all. */

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;
const SECOND_MS = 1_000;

// MongoDB
/** Documents of one insert, lookup or clearing: beyond it a command gains little, and the server holds up others. */
export const MONGODB_COMMAND_DOCUMENTS = 1_000;
/** Weight of one insert, estimated: it must fit one command, because of several only the last one's outcome is told. */
export const MONGODB_INSERT_BYTES = 8 * MEBIBYTE;
/** Commands one call has under way at once; the others of its commands wait. */
export const MONGODB_COMMANDS_IN_FLIGHT_MAX = 4;
/** Connections of a process; who finds none free waits. */
export const MONGODB_CONNECTIONS_MAX = 24;
/** How long somebody waits for a connection. */
export const MONGODB_CONNECTION_WAIT_MS = 10 * SECOND_MS;
/** Questions of clients that are asked at once: the other connections are left to storing, counting and health. */
export const MONGODB_READS_MAX = 12;
/** Questions that wait for their turn: each holds its request in memory. */
export const MONGODB_READS_WAITING_MAX = 1_000;
/** How long a question waits: longer, and whoever asked is gone. */
export const MONGODB_READ_WAIT_MS = 10 * SECOND_MS;
/** How long the server works on a question of a client before it gives it up. */
export const MONGODB_READ_MS = 10 * SECOND_MS;
/** Entries of an index that are looked through at first for a page of a list; where little is found, four times more. */
export const MONGODB_LOOK_DOCUMENTS = 1_000;
/** The same in all: some tens of milliseconds, then the page is answered as short as it is. */
export const MONGODB_LOOK_DOCUMENTS_MAX = 20_000;
/** Without a word for so long a connection is dead, and what was asked over it is not known to have happened. */
export const MONGODB_SOCKET_TIMEOUT_MS = 30 * SECOND_MS;
/** How long an operation looks for a server that can be written to; then it is answered "retry". */
export const MONGODB_SELECTION_TIMEOUT_MS = 5 * SECOND_MS;
/** How often a connection that is used asks for the server's clock. */
export const MONGODB_CLOCK_MS = 60 * SECOND_MS;
/** An answer that took longer says nothing about the clock: it may be off by half of that. */
export const MONGODB_CLOCK_ANSWER_MS = SECOND_MS;
/** How long health waits for a sign of life. */
export const MONGODB_HEALTH_MS = 2 * SECOND_MS;
/** How long an id that is refused as a duplicate, and not there when it is looked up, is tried again. */
export const MONGODB_DUPLICATE_RETRY_MS = 5 * SECOND_MS;
/** How long is believed what was read of the purges of other processes. */
export const MONGODB_PURGE_STATE_MS = SECOND_MS;
/** Events of one pass of settling: what it holds in memory. */
export const MONGODB_SETTLE_EVENTS = 10_000;
/** Slices or minutes read and replaced at once by a pass. */
export const MONGODB_SETTLE_CELLS = 100;
/** Events of a slice that one process stores: it is counted anew with each further one. */
export const MONGODB_SLICE_EVENTS = 2_000;
/** Slices whose number of events is remembered, about 100 bytes each. */
export const MONGODB_SLICES_REMEMBERED = 10_000;
/** An event that waits longer to be counted was left behind by whoever should have done it. */
export const MONGODB_SWEEP_AGE_MS = 10 * SECOND_MS;
/** Documents of one answer of the server; decoding them must not stop the thread for long. */
export const MONGODB_REPLY_DOCUMENTS = 1_000;
/** How long a move that died keeps retention from purging. */
export const MONGODB_MOVE_LEASE_MS = 60 * SECOND_MS;
/** How often a cell that others keep changing is counted anew by a rebuild before it is left to them. */
export const MONGODB_REBUILD_TRIES = 10;

/** Of an error of the server no more is logged: it may repeat what it was asked. */
export const LOGGED_ERROR_CHARACTERS_MAX = 500;
/** How often one kind of trouble with the server is logged, while every request meets it. */
export const MONGODB_PROBLEM_LOG_MS = 60 * SECOND_MS;

// Redis
/** How long `/readyz` waits for an answer of Redis: well below the time-outs of those who ask, as it decides nothing. */
export const STREAM_HEALTH_MS = SECOND_MS;
/** How long the end of a process waits for its last events to be published; the sweep publishes what is left. */
export const PUBLISH_FLUSH_MS = 2 * SECOND_MS;
/** Entries of the Redis stream read at once: what is cut off a page of large ones is read again. */
export const STREAM_PAGE_ENTRIES = 64;
/** The live stream's length unless configured otherwise; the store holds everything. */
export const STREAM_ENTRIES_DEFAULT = 1_000_000;
/** How far the time of publication of an entry may lie from its id. A replay starts earlier than that. */
export const STREAM_SKEW_MS = 20 * SECOND_MS;
/** The same with what the clock of Redis goes on during a script: the overlap of a replay and the stream. */
export const REPLAY_SKEW_MS = STREAM_SKEW_MS + SECOND_MS;
/** A replay starts so long before the place that was lost: the skew and some. */
export const REPLAY_MARGIN_MS = 30 * SECOND_MS;
/** Entries added by one script: Redis does nothing else meanwhile, about 3 µs an entry. */
export const PUBLISH_BATCH_EVENTS = 512;
/** Insertions that could not be published and are kept for the return of Redis; the sweep finds the others. */
export const UNPUBLISHED_EVENTS_MAX = 10_000;
/** What may wait to be published, estimated: while Redis hangs nobody knows for how long. The sweep finds the others. */
export const UNPUBLISHED_BYTES_MAX = 32 * MEBIBYTE;
/** How often an event is moved to the time of Redis before it is left to the sweep: the clocks cannot be trusted. */
export const REPUBLISH_ATTEMPTS_MAX = 5;
/** How often a lost connection is made anew, and what failed is tried again: within a second of the return. */
export const REDIS_RETRY_MS = 250;
/** How often the tail asks the store whether its epoch is still the last, and notes there that it is followed. */
export const STREAM_COMPARE_MS = 5 * SECOND_MS;
/** An epoch that no process followed for so long does not keep another Redis from being used. */
export const EPOCH_FOLLOWED_MS = 30 * SECOND_MS;
/** Readings of the store that lie further apart do not tell that nobody followed an epoch between them. */
export const EPOCH_READ_GAP_MS = 10 * SECOND_MS;
/** How often it is looked whether a Redis that must not be used may be used now. */
export const STREAM_OBJECTION_MS = SECOND_MS;
/** A command without an answer for so long is given up, and its connection with it. */
export const REDIS_COMMAND_MS = 5 * SECOND_MS;
/** A blocking read ends after so long, to look whether the stream is still the same. */
export const REDIS_BLOCK_MS = 2 * SECOND_MS;
/** What a worker has under way when it is told to end may take so long: a blocking read and what comes with it. */
export const REDIS_LEAVE_MS = REDIS_BLOCK_MS + SECOND_MS / 2;
/** Entries behind the place where a replay goes on that are looked through, so as not to give them twice. */
export const REPLAY_OVERLAP_ENTRIES = 5_000;
/** Parts of the stream that are remembered for that; each has at most twice as many entries, some 150 bytes each. */
export const REPLAY_OVERLAP_WINDOWS_MAX = 4;
/** Entries looked at at once where most of them are left out, because a reader has them from the store. */
export const REPLAY_OVERLAP_PAGE_ENTRIES = 512;
/** Entries looked at in one step of a search through the stream. */
export const STREAM_SEARCH_ENTRIES = 2_000;
/** The entries of a user are searched again so long after the first time, for those that were on their way. */
export const STREAM_SEARCH_AGAIN_MS = 60 * SECOND_MS;
/** Windows that are followed are read anew so often, whatever was heard of changes. */
export const CELLS_REFRESH_MS = 10 * SECOND_MS;
/** Names of changed cells in one entry. */
export const CELLS_PER_ENTRY_MAX = 500;
/** Entries of changed cells that are kept; whoever is further behind reads all windows anew. */
export const CELLS_ENTRIES_MAX = 1_000;
/** A consumer's name is held for so long, and renewed three times as often. */
export const CONSUMER_SLOT_MS = 10 * SECOND_MS;
/** Consumers of one group: processes that run the role `rollup`. */
export const CONSUMER_SLOTS_MAX = 1_000;
/** How often entries of dead consumers are looked for. */
export const CLAIM_EVERY_MS = 5 * SECOND_MS;
/** An entry that was not acknowledged for so long may be taken over. */
export const CLAIM_IDLE_MS = 15 * SECOND_MS;
/** Entries taken over at once. */
export const CLAIM_ENTRIES = 1_000;
/** Entries a group reads first; then as many as {@link GROUP_READ_BYTES} hold of entries such as it was given. */
export const GROUP_FIRST_ENTRIES = 512;
/** Text of the entries that a group reads at once, about. */
export const GROUP_READ_BYTES = 8 * MEBIBYTE;
/** Entries counted in one pass: beyond it a pass takes longer than a row may be behind. */
export const ROLLUP_PASS_ENTRIES = 10_000;
/** A pass begins at most this often: a cell is recomputed once a pass, however many of its events came. */
export const ROLLUP_PASS_MS = 300;
/** How often what the stream did not bring is looked for. */
export const SWEEP_EVERY_MS = 2 * SECOND_MS;
/** An event that waits for so long to be counted is not expected from the stream any more. */
export const SWEEP_AGE_MS = 10 * SECOND_MS;
/** The lease on the sweep: longer than its rhythm, so that the same process keeps it. */
export const SWEEP_LEASE_MS = 3 * SWEEP_EVERY_MS;
/** Inbound entries taken at once. */
export const INBOUND_PASS_ENTRIES = 1_000;
/** An inbound entry that makes the hub fail so often, in one process, is put aside. */
export const INBOUND_FAILURES_MAX = 5;
/** Dead letters of a tenant; then the oldest is dropped. */
export const DEAD_LETTERS_MAX = 100_000;
/** Letters read at once for a page, which ends behind the read that fills it: with 64 KiB each they are 3.2 MB. */
export const DEAD_LETTERS_READ_MAX = 50;
/** How often names of consumers that are gone are removed. */
export const JANITOR_EVERY_MS = 60 * SECOND_MS;
