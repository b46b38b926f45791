/** What somebody may have meant by a name that does not exist. */

/** Changes of letters within which a name is taken for a misspelt one. */
const CHANGES_MAX = 3;
/** An ending shorter than this, such as `_CA`, says too little. */
const ENDING_CHARACTERS_MIN = 4;

/**
 * The known name that is closest to an unknown one: one that ends with the unknown name's words behind the first
 * (`EVENTHUB_PORT` → `EVENTHUB_HTTP_PORT`), or else one at most three letters away; `null` when nothing is close.
 */
export function closestName(name: string, known: readonly string[]): string | null {
  const ending = name.slice(Math.max(0, name.indexOf("_")));
  const ended = ending.length < ENDING_CHARACTERS_MIN ? undefined : known.find((other) => other.endsWith(ending));
  if (ended !== undefined) return ended;
  let best: string | null = null;
  let least = CHANGES_MAX + 1;
  for (const other of known) {
    const changes = changesBetween(name, other);
    if (changes < least) {
      best = other;
      least = changes;
    }
  }
  return best;
}

/** Letters to insert, delete or replace to make one text of the other (Levenshtein). */
function changesBetween(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row.push(Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    above = row;
  }
  return above[b.length]!;
}
