/** The stream of the memory store under the suite of its port. */
import { MemoryStore } from "../../src/storage/memory.ts";
import { MemoryStream } from "../../src/stream/memory.ts";
import { type StreamHarness, testEventStream } from "./conformance.ts";

/** The stream of a memory store as the suite wants it. */
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

testEventStream("memory stream", { open: openMemory });
