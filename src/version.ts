/**
 * The version of Event Hub. It stands here as well as in `deno.json`, which a Worker may not read; a test compares them.
 */
export const VERSION = "0.1.0";
