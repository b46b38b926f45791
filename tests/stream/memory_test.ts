/** The stream of the memory store under the suite of its port. */
import { testEventStream } from "./conformance.ts";
import { openMemory } from "./memory.ts";

testEventStream("memory stream", { open: openMemory });
