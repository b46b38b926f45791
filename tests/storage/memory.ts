/** The memory store as its suite wants it. */
import { MemoryStore } from "../../src/storage/memory.ts";
import type { StoreHarness } from "./conformance.ts";

/** An empty memory store. */
export function openMemory(): Promise<StoreHarness> {
  const store = new MemoryStore();
  return Promise.resolve({
    store,
    transfer: store.transfer,
    settle: () => Promise.resolve(),
    corrupt: (cell) => Promise.resolve(store.corruptCell(cell)),
    reopen: () => Promise.reject(new Error("Cannot reopen a memory store: nothing outlives it")),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  });
}
