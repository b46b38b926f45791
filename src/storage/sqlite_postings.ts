/**
 * What the index tables hold: for a stretch of the log, which of its rows fall into a minute or a bucket of users, as
 * arrays of numbers in one blob. A plain index of a million rows dirties a page a row when they come in random order;
 * these only ever append. Numbers are in the byte order of the machine, which is little-endian wherever Deno runs.
 *
 * Rows are named by their distance from the first seq of the stretch, so a stretch spans at most 65,536 seqs.
 */

/** Rows of one stretch that fall into one minute. */
export interface TimeEntries {
  readonly count: number;
  /** Integers of 1/10,000. */
  readonly amounts: Int32Array | Float64Array;
  readonly types: Uint16Array | Uint32Array;
  /** Milliseconds behind the start of the minute. */
  readonly offsetsMs: Uint16Array;
  /** Distance from the first seq of the stretch. */
  readonly rows: Uint16Array;
}

/** Rows of one stretch whose users fall into one bucket. */
export interface UserEntries {
  readonly count: number;
  readonly timestamps: Float64Array;
  /** {@link userHash} of each row's user; 0 where the user was erased. */
  readonly hashes: Uint32Array;
  readonly types: Uint16Array | Uint32Array;
  readonly rows: Uint16Array;
}

/** Seqs that one stretch may span. */
export const STRETCH_SEQS = 65_536;
/** Buckets of users: a query reads one, a step of the indexer appends to each. */
export const USER_BUCKETS = 64;

/** First the number of entries, then flags. */
const HEADER_BYTES = 8;
const WIDE_AMOUNTS = 1;
const WIDE_TYPES = 2;
const INT32_MAX = 0x7fffffff;
const UINT16_MAX = 0xffff;

/** Which row of the columns goes where. */
export interface TimeColumns {
  readonly amounts: readonly number[];
  readonly types: readonly number[];
  readonly timestamps: readonly number[];
  readonly seqs: readonly number[];
}

/** Encodes the entries of one minute; `chosen` are their places in the columns. */
export function encodeTimeEntries(
  columns: TimeColumns,
  options: { chosen: readonly number[]; minute: number; firstSeq: number },
): Uint8Array {
  const { chosen, minute, firstSeq } = options;
  const count = chosen.length;
  let flags = 0;
  for (const i of chosen) {
    if (Math.abs(columns.amounts[i]!) > INT32_MAX) flags |= WIDE_AMOUNTS;
    if (columns.types[i]! > UINT16_MAX) flags |= WIDE_TYPES;
  }
  const bytes = new Uint8Array(timeBytes(count, flags));
  writeHeader(bytes, count, flags);
  const entries = timeViews(bytes, count, flags);
  for (let at = 0; at < count; at++) {
    const i = chosen[at]!;
    entries.amounts[at] = columns.amounts[i]!;
    entries.types[at] = columns.types[i]!;
    entries.offsetsMs[at] = columns.timestamps[i]! - minute;
    entries.rows[at] = columns.seqs[i]! - firstSeq;
  }
  return bytes;
}

/** Reads {@link encodeTimeEntries}. */
export function decodeTimeEntries(bytes: Uint8Array): TimeEntries {
  const aligned = align(bytes);
  const { count, flags } = readHeader(aligned);
  if (aligned.byteLength !== timeBytes(count, flags)) throw damaged();
  return timeViews(aligned, count, flags);
}

function timeBytes(count: number, flags: number): number {
  return HEADER_BYTES + count * ((flags & WIDE_AMOUNTS ? 8 : 4) + (flags & WIDE_TYPES ? 4 : 2) + 2 + 2);
}

function timeViews(bytes: Uint8Array, count: number, flags: number): TimeEntries {
  const { buffer } = bytes;
  let at = bytes.byteOffset + HEADER_BYTES;
  const amounts = flags & WIDE_AMOUNTS ? new Float64Array(buffer, at, count) : new Int32Array(buffer, at, count);
  at += amounts.byteLength;
  const types = flags & WIDE_TYPES ? new Uint32Array(buffer, at, count) : new Uint16Array(buffer, at, count);
  at += types.byteLength;
  const offsetsMs = new Uint16Array(buffer, at, count);
  at += offsetsMs.byteLength;
  return { count, amounts, types, offsetsMs, rows: new Uint16Array(buffer, at, count) };
}

/** Encodes the entries of one bucket; `chosen` are their places in the columns. */
export function encodeUserEntries(
  columns: Omit<TimeColumns, "amounts"> & { readonly hashes: ArrayLike<number> },
  options: { chosen: readonly number[]; firstSeq: number },
): Uint8Array {
  const { chosen, firstSeq } = options;
  const count = chosen.length;
  const flags = chosen.some((i) => columns.types[i]! > UINT16_MAX) ? WIDE_TYPES : 0;
  const bytes = new Uint8Array(userBytes(count, flags));
  writeHeader(bytes, count, flags);
  const entries = userViews(bytes, count, flags);
  for (let at = 0; at < count; at++) {
    const i = chosen[at]!;
    entries.timestamps[at] = columns.timestamps[i]!;
    entries.hashes[at] = columns.hashes[i]!;
    entries.types[at] = columns.types[i]!;
    entries.rows[at] = columns.seqs[i]! - firstSeq;
  }
  return bytes;
}

/** Reads {@link encodeUserEntries}. What is written into the arrays goes into the bytes, if they were aligned. */
export function decodeUserEntries(bytes: Uint8Array): UserEntries {
  const aligned = align(bytes);
  const { count, flags } = readHeader(aligned);
  if (aligned.byteLength !== userBytes(count, flags)) throw damaged();
  return userViews(aligned, count, flags);
}

function userBytes(count: number, flags: number): number {
  return HEADER_BYTES + count * (8 + 4 + (flags & WIDE_TYPES ? 4 : 2) + 2);
}

function userViews(bytes: Uint8Array, count: number, flags: number): UserEntries {
  const { buffer } = bytes;
  let at = bytes.byteOffset + HEADER_BYTES;
  const timestamps = new Float64Array(buffer, at, count);
  at += timestamps.byteLength;
  const hashes = new Uint32Array(buffer, at, count);
  at += hashes.byteLength;
  const types = flags & WIDE_TYPES ? new Uint32Array(buffer, at, count) : new Uint16Array(buffer, at, count);
  at += types.byteLength;
  return { count, timestamps, hashes, types, rows: new Uint16Array(buffer, at, count) };
}

/** The bytes where arrays of doubles can lie over them. */
export function align(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
}

function writeHeader(bytes: Uint8Array, count: number, flags: number): void {
  new Uint32Array(bytes.buffer, bytes.byteOffset, 2).set([count, flags]);
}

function readHeader(bytes: Uint8Array): { count: number; flags: number } {
  if (bytes.byteLength < HEADER_BYTES) throw damaged();
  const [count, flags] = new Uint32Array(bytes.buffer, bytes.byteOffset, 2);
  return { count: count!, flags: flags! };
}

function damaged(): Error {
  return new Error("The index of the file is damaged: entries are cut");
}

/** A number for a tenant's user (FNV-1a, 32 bit, never 0); users that share one are told apart by their events. */
export function userHash(tenant: number, userId: string): number {
  let hash = 0x811c9dc5 ^ tenant;
  for (let i = 0; i < userId.length; i++) hash = Math.imul(hash ^ userId.charCodeAt(i), 0x01000193);
  // FNV's lowest bits mix badly, and they choose the bucket.
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  return (hash >>> 0) || 1;
}

/** The bucket of a hash. */
export function bucketOf(hash: number): number {
  return hash % USER_BUCKETS;
}

/** The id of a row of `index_by_user`: the bucket above the first seq, so that a bucket is one stretch of the table. */
export function userRowId(bucket: number, firstSeq: number): number {
  return bucket * USER_ROW_UNIT + firstSeq;
}

/** The first seq in an id of {@link userRowId}. */
export function firstSeqOf(id: number): number {
  return id % USER_ROW_UNIT;
}

/** Far more seqs than a file can hold, and 64 times it is still a safe integer. */
const USER_ROW_UNIT = 2 ** 44;
