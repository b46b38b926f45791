/** The stream of the memory store as its suite wants it. */
import { MemoryStore } from "../../src/storage/memory.ts";
import { MemoryStream } from "../../src/stream/memory.ts";
import type { StreamHarness } from "./conformance.ts";

/** An empty memory store and its stream. */
export function openMemory(): Promise<StreamHarness> {
  const store = new MemoryStore();
  const stream = new MemoryStream(store);
  return Promise.resolve({
    store,
    stream,
    another: openMemory,
    ahead: async () => {
      const [digits, check] = (await stream.head()).split(".");
      return `${String(Number(digits) + 1).padStart(digits!.length, "0")}.${check}`;
    },
    elsewhere: (position) => `${position}0`,
    [Symbol.asyncDispose]: async () => {
      await stream[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  });
}
