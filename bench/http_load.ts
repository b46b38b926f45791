/** Load on the hub over HTTP: `wrk` when it is on the PATH, otherwise raw keep-alive sockets in a process of their own. */
import { runJson } from "./programs.ts";

/** What a load found. */
export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Broken connections, time-outs and answers other than 2xx. */
  readonly errors: number;
}

/** What to send. */
export interface HttpLoad {
  readonly httpUrl: string;
  readonly connections: number;
  readonly seconds: number;
  /** 1 = `POST /events`, more = NDJSON lines to `POST /events/batch`. */
  readonly eventsPerRequest: number;
  /** Timestamps are spread over so many seconds before now; 0 = now. */
  readonly spreadSeconds: number;
}

const HERE = new URL("./", import.meta.url);

/** The name of the generator that {@link loadHttp} uses. */
export function httpGenerator(): string {
  return isInstalled("wrk") ? "wrk" : "sockets";
}

/** Sends as fast as the answers come, on all connections. */
export function loadHttp(load: HttpLoad): Promise<LoadResult> {
  const body = [String(load.eventsPerRequest), String(load.spreadSeconds)];
  if (httpGenerator() === "wrk") {
    const size = ["-t1", `-c${load.connections}`, `-d${load.seconds}s`, "--timeout", "10s"];
    return runJson("wrk", [...size, "-s", new URL("wrk.lua", HERE).pathname, load.httpUrl, "--", ...body]);
  }
  const script = new URL("socket_load.ts", HERE).pathname;
  return runJson(Deno.execPath(), ["run", "--allow-net", script, JSON.stringify(load)]);
}

/** Whether a program is on the PATH. */
export function isInstalled(program: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((folder) => {
    try {
      return Deno.statSync(`${folder}/${program}`).isFile;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
      throw error;
    }
  });
}
