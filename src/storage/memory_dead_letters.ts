/** Dead letters in memory: for tests, and where no stream comes in that could bring any. */
import type { DeadLetter, DeadLetterPage, DeadLetters } from "../dead_letters.ts";
import { HubError } from "../errors.ts";
import { DEAD_LETTERS_MAX } from "../limits.ts";

interface Kept {
  readonly sequence: number;
  readonly letter: DeadLetter;
}

/** The letters of each tenant in the order they came. */
export class MemoryDeadLetters implements DeadLetters {
  readonly #lettersMax: number;
  readonly #tenants = new Map<string, Map<string, Kept>>();
  #added = 0;
  #closed = false;

  /** `lettersMax`: how many of a tenant are kept. */
  constructor(options: { lettersMax?: number } = {}) {
    this.#lettersMax = options.lettersMax ?? DEAD_LETTERS_MAX;
  }

  add(letters: readonly DeadLetter[]): Promise<number> {
    return this.#whileOpen(() => {
      let dropped = 0;
      for (const letter of letters) {
        const kept = this.#of(letter.tenant);
        if (kept.has(letter.id)) continue;
        this.#added += 1;
        kept.set(letter.id, { sequence: this.#added, letter });
        if (kept.size <= this.#lettersMax) continue;
        kept.delete(kept.keys().next().value!);
        dropped += 1;
      }
      return dropped;
    });
  }

  list(tenant: string, { limit, after }: { limit: number; after?: string }): Promise<DeadLetterPage> {
    return this.#whileOpen(() => {
      if (after !== undefined && !/^\d{1,16}$/.test(after)) {
        throw new HubError("invalid_cursor", "The cursor belongs to another kind of store");
      }
      const before = after === undefined ? Infinity : Number(after);
      const older = [...this.#of(tenant).values()].reverse().filter(({ sequence }) => sequence < before);
      const page = older.slice(0, limit);
      return {
        letters: page.map(({ letter }) => letter),
        next: older.length > limit ? String(page.at(-1)!.sequence) : null,
      };
    });
  }

  get(tenant: string, id: string): Promise<DeadLetter | null> {
    return this.#whileOpen(() => this.#of(tenant).get(id)?.letter ?? null);
  }

  delete(tenant: string, id: string): Promise<boolean> {
    return this.#whileOpen(() => this.#of(tenant).delete(id));
  }

  erase(tenant: string, userId: string): Promise<number> {
    return this.#whileOpen(() => {
      const kept = this.#of(tenant);
      const named = [...kept.values()].filter(({ letter }) => letter.userId === userId);
      for (const { letter } of named) kept.delete(letter.id);
      return named.length;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #of(tenant: string): Map<string, Kept> {
    let kept = this.#tenants.get(tenant);
    if (kept === undefined) this.#tenants.set(tenant, kept = new Map());
    return kept;
  }

  #whileOpen<T>(work: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (this.#closed) throw new HubError("unavailable", "The dead letters are closed");
      resolve(work());
    });
  }
}
