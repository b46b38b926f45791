/**
 * What speaks against using a Redis that answers: its keys are those of another database. A marker names the database it
 * was made for, so that two hubs that were given one prefix by mistake do not count and deliver each other's events.
 */

/** Why a Redis must not be used. */
export interface Objection {
  readonly kind: "foreign";
  /** What is wrong and what to do, for the log and for health. */
  readonly detail: string;
}

/** What was seen in Redis. */
interface Seen {
  readonly marker: string;
}

/** A marker of an epoch of a database. Those of earlier versions had no name of a database in front. */
export function markerOf(database: string, random: string): string {
  return `${database}.${random}`;
}

/** The database a marker was made for; `null` where it does not say, or there is none. */
export function databaseOf(marker: string): string | null {
  const end = marker.indexOf(".");
  return end === -1 ? null : marker.slice(0, end);
}

/** Whether a marker was made for another database. */
export function isForeign(marker: string, database: string): boolean {
  const owner = databaseOf(marker);
  return owner !== null && owner !== database;
}

/** Why this Redis must not be used; `null` when nothing speaks against it. */
export function objectionTo(
  { marker }: Seen,
  { database, stream }: { readonly database: string; readonly stream: string },
): Objection | null {
  if (!isForeign(marker, database)) return null;
  return {
    kind: "foreign",
    detail: `The keys "${stream}" and "${stream}:…" in Redis belong to another database: nothing is published there ` +
      `and nothing taken. Set EVENTHUB_STREAM_PREFIX to a name that no other database uses`,
  };
}
