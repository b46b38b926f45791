/** The suite of the port of dead letters must notice these faults; a suite that passes everything proves nothing. */
import type { DeadLetter, DeadLetters } from "../../src/dead_letters.ts";
import { MemoryDeadLetters } from "../../src/storage/memory_dead_letters.ts";
import { altered, type Fault, testFaults } from "../altered.ts";
import { DEAD_LETTER_CASES, LETTERS_MAX } from "./dead_letters_conformance.ts";

const KEPT = "add: a letter is got as it was added, of its own tenant only";
const AGAIN = "add: again changes nothing, neither the letter nor the order";
const NEWEST = "list: newest first, whatever the page size, beside other tenants";
const GOES_ON = "list: goes on where it was although its place was deleted and newer ones came";
const DELETE = "delete: once, of its own tenant only; then it can be added anew";
const ERASE = "erase: takes the letters of a user, of that tenant only";
const BOUND = "bound: the oldest of a tenant are dropped and counted, the others stay";
const DISPOSE = "dispose: twice is harmless, afterwards everything is unavailable";

/** Adds something else than was given. */
function adding(sound: DeadLetters, change: (letter: DeadLetter) => DeadLetter): Partial<DeadLetters> {
  return { add: (letters) => sound.add(letters.map(change)) };
}

const ADD_FAULTS: readonly Fault<DeadLetters>[] = [
  {
    name: "keeps the payload as a value and writes it anew",
    break: (sound) =>
      adding(sound, (letter) => ({ ...letter, payload: JSON.stringify(JSON.parse(letter.payload)).toUpperCase() })),
    noticedBy: [KEPT, AGAIN, NEWEST],
  },
  {
    name: "loses the user and the errors",
    break: (sound) => adding(sound, (letter) => ({ ...letter, userId: null, errors: [] })),
    noticedBy: [AGAIN, ERASE],
  },
  {
    name: "mixes tenants up",
    break: (sound) => adding(sound, (letter) => ({ ...letter, tenant: "default" })),
    noticedBy: [KEPT, DELETE, ERASE, BOUND],
  },
  {
    name: "replaces a letter that is there",
    break: (sound) => ({
      add: async (letters) => {
        for (const { tenant, id } of letters) await sound.delete(tenant, id);
        return await sound.add(letters);
      },
    }),
    noticedBy: [AGAIN],
  },
  {
    name: "says it kept what it did not",
    break: (sound) => ({ add: (letters) => sound.add(letters.slice(0, 1)) }),
    noticedBy: [KEPT, AGAIN, BOUND],
  },
  {
    name: "does not say what it dropped",
    break: (sound) => ({ add: async (letters) => (await sound.add(letters), 0) }),
    noticedBy: [BOUND],
  },
  {
    name: "drops the newest instead of the oldest",
    break: (sound) => ({
      add: async (letters) => {
        let dropped = 0;
        for (const letter of letters) {
          const { letters: kept } = await sound.list(letter.tenant, { limit: LETTERS_MAX });
          if (kept.length < LETTERS_MAX) await sound.add([letter]);
          else dropped += 1;
        }
        return dropped;
      },
    }),
    noticedBy: [BOUND],
  },
];

const READ_FAULTS: readonly Fault<DeadLetters>[] = [
  {
    name: "lists the oldest first",
    break: (sound) => ({
      list: async (tenant, page) => {
        const { letters, next } = await sound.list(tenant, page);
        return { letters: letters.toReversed(), next };
      },
    }),
    noticedBy: [AGAIN, NEWEST, GOES_ON],
  },
  {
    name: "gives one more than was asked for",
    break: (sound) => ({ list: (tenant, page) => sound.list(tenant, { ...page, limit: page.limit + 1 }) }),
    noticedBy: [NEWEST],
  },
  {
    name: "ends behind the first page",
    break: (sound) => ({ list: async (tenant, page) => ({ ...await sound.list(tenant, page), next: null }) }),
    noticedBy: [NEWEST],
  },
  {
    name: "pages by counting from the newest",
    break: (sound) => ({
      list: async (tenant, { limit, after = "0" }) => {
        const { letters } = await sound.list(tenant, { limit: 1_000 });
        const end = Number(after) + limit;
        return { letters: letters.slice(Number(after), end), next: end < letters.length ? String(end) : null };
      },
    }),
    noticedBy: [GOES_ON],
  },
  {
    name: "begins anew at a place it does not know",
    break: (sound) => ({
      list: (tenant, page) => sound.list(tenant, page.after === "no place" ? { limit: page.limit } : page),
    }),
    noticedBy: [NEWEST],
  },
];

const REMOVAL_FAULTS: readonly Fault<DeadLetters>[] = [
  {
    name: "says it deleted what is not there",
    break: (sound) => ({
      delete: async (tenant, id) => {
        await sound.delete(tenant, id);
        return true;
      },
    }),
    noticedBy: [DELETE],
  },
  { name: "deletes nothing", break: () => ({ delete: () => Promise.resolve(true) }), noticedBy: [DELETE] },
  {
    name: "deletes in every tenant",
    break: (sound) => ({
      delete: async (tenant, id) => (await sound.delete("other", id), await sound.delete(tenant, id)),
    }),
    noticedBy: [DELETE],
  },
  { name: "erases nothing", break: () => ({ erase: () => Promise.resolve(2) }), noticedBy: [ERASE] },
  {
    name: "erases in every tenant",
    break: (sound) => ({
      erase: async (tenant, userId) => (await sound.erase("other", userId), await sound.erase(tenant, userId)),
    }),
    noticedBy: [ERASE],
  },
  {
    name: "takes letters after it was disposed",
    break: (sound) => ({ add: (letters) => sound.add(letters).catch(() => 0) }),
    noticedBy: [DISPOSE],
  },
];

testFaults("dead letters", {
  cases: DEAD_LETTER_CASES,
  faults: [...ADD_FAULTS, ...READ_FAULTS, ...REMOVAL_FAULTS],
  open: (fault) => {
    const sound = new MemoryDeadLetters({ lettersMax: LETTERS_MAX });
    const letters = altered<DeadLetters>(sound, fault.break(sound));
    return Promise.resolve({ letters, [Symbol.asyncDispose]: () => sound[Symbol.asyncDispose]() });
  },
});
