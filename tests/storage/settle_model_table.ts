/** The states that an exploration has found, each once, in the order in which they were found. */
import { STATE_WORDS } from "./settle_model_state.ts";

const CAPACITY_MIN = 1 << 12;
/** No place in the table; also the predecessor of the first state. */
export const NONE = 0xffff_ffff;

/**
 * A hash table with open addressing over typed arrays: 16 bytes a state, 4 for its predecessor, and 4 to 12 for its
 * place, so that ten million states take some 300 MB.
 */
export class StateTable {
  /** Packed states, `STATE_WORDS` each. */
  words = new Uint32Array(CAPACITY_MIN * STATE_WORDS);
  /** How many there are. */
  count = 0;
  #predecessors = new Uint32Array(CAPACITY_MIN);
  /** Twice as many places as there may be states, so that searches are short. */
  #places = new Uint32Array(CAPACITY_MIN * 2).fill(NONE);

  /** Adds a packed state unless it is there; answers whether it is new. */
  add(packed: Uint32Array, predecessor: number): boolean {
    const place = this.#placeOf(packed, 0);
    if (this.#places[place] !== NONE) return false;
    if (this.count === this.#predecessors.length) {
      this.#grow();
      return this.add(packed, predecessor);
    }
    this.#places[place] = this.count;
    this.words.set(packed, this.count * STATE_WORDS);
    this.#predecessors[this.count] = predecessor;
    this.count += 1;
    return true;
  }

  /** The packed states that lead from the first one to one of them. */
  pathTo(index: number): Uint32Array[] {
    const path: Uint32Array[] = [];
    for (let at = index; at !== NONE; at = this.#predecessors[at]!) {
      path.push(this.words.slice(at * STATE_WORDS, (at + 1) * STATE_WORDS));
    }
    return path.reverse();
  }

  /** Where a packed state is, or where it would go. */
  #placeOf(packed: Uint32Array, at: number): number {
    const mask = this.#places.length - 1;
    const { words } = this;
    let hash = 0x9e37_79b9;
    for (let i = 0; i < STATE_WORDS; i++) {
      hash = Math.imul(hash ^ packed[at + i]!, 0x85eb_ca6b);
      hash ^= hash >>> 15;
    }
    for (let place = hash & mask;; place = (place + 1) & mask) {
      const index = this.#places[place]!;
      if (index === NONE) return place;
      const other = index * STATE_WORDS;
      let same = true;
      for (let i = 0; same && i < STATE_WORDS; i++) same = words[other + i] === packed[at + i];
      if (same) return place;
    }
  }

  #grow(): void {
    const words = new Uint32Array(this.words.length * 2);
    words.set(this.words);
    const predecessors = new Uint32Array(this.#predecessors.length * 2);
    predecessors.set(this.#predecessors);
    this.#predecessors = predecessors;
    this.words = words;
    this.#places = new Uint32Array(this.#places.length * 2).fill(NONE);
    for (let index = 0; index < this.count; index++) this.#places[this.#placeOf(words, index * STATE_WORDS)] = index;
  }
}
