/** Writes `schema.graphql` from the code; `deno task gen` runs it. */
import { sdl } from "./schema.ts";

await Deno.writeTextFile(new URL("./schema.graphql", import.meta.url), sdl);
