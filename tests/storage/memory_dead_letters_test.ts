/** Dead letters in memory under the suite of their port. */
import { MemoryDeadLetters } from "../../src/storage/memory_dead_letters.ts";
import { LETTERS_MAX, testDeadLetters } from "./dead_letters_conformance.ts";

testDeadLetters("memory dead letters", {
  open: () => {
    const letters = new MemoryDeadLetters({ lettersMax: LETTERS_MAX });
    return Promise.resolve({ letters, [Symbol.asyncDispose]: () => letters[Symbol.asyncDispose]() });
  },
});
