/** How the text of each setting is read. An error repeats no more of it than may be shown. */
import { z } from "zod";
import type { Config, Exposure, Role } from "./config.ts";
import { RETENTION_MIN_MS } from "./limits.ts";
import { isTimeZone } from "./time_zone.ts";

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
/** Milliseconds. */
export const MINUTE = UNIT_MS.m;
/** Milliseconds. */
export const DAY = UNIT_MS.d;
/** Every role. */
export const ROLES: readonly Role[] = ["http", "grpc", "rollup"];
/** Shorter, a stream is of no use; longer, it does not fit into a server. */
const STREAM_ENTRIES_LEAST = 1_000;
const STREAM_ENTRIES_MOST = 1_000_000_000;

/** Thrown by a reader below; its message is what the operator is told. */
class Expected extends Error {}

/** A setting that a reader reads; what it expected and did not find is the problem told. */
export function text<T>(reader: (value: string) => T) {
  return z.string().transform((value, context): T => {
    try {
      return reader(value);
    } catch (error) {
      if (!(error instanceof Expected)) throw error;
      context.addIssue({ code: "custom", message: error.message });
      return z.NEVER;
    }
  });
}

/** A setting of a few words. */
export function oneOf<const T extends readonly string[]>(...values: T) {
  return z.enum(values, { error: (issue) => `must be ${values.join(" or ")}; it is ${JSON.stringify(issue.input)}` });
}

/** A setting of a time between two others, milliseconds. */
export function duration(minimum: number, maximum: number) {
  return text((value) => readDuration(value, minimum, maximum));
}

function readDuration(value: string, minimum: number, maximum: number): number {
  const match = /^([0-9]{1,12})(ms|s|m|h|d)$/.exec(value);
  if (match === null) {
    throw new Expected(
      `must be a number and a unit (ms, s, m, h, d) such as 30s or 90d; it is ${JSON.stringify(value)}`,
    );
  }
  const milliseconds = Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
  if (milliseconds < minimum || milliseconds > maximum) {
    throw new Expected(`must be ${formatDuration(minimum)} to ${formatDuration(maximum)}; it is ${value}`);
  }
  return milliseconds;
}

/** A time as a setting is written. */
export function formatDuration(milliseconds: number): string {
  const unit = (["d", "h", "m", "s"] as const).find((name) => milliseconds !== 0 && milliseconds % UNIT_MS[name] === 0);
  return unit === undefined ? `${milliseconds}ms` : `${milliseconds / UNIT_MS[unit]}${unit}`;
}

/** An address or a name to listen on. */
export function readHost(value: string): string {
  const host = value.replace(/^\[(.*)\]$/, "$1");
  const isAddress6 = host.includes("::") || host.split(":").length > 2;
  if (!/^[A-Za-z0-9.:%_-]+$/.test(host) || (host.includes(":") && !isAddress6)) {
    throw new Expected(`must be an address or a host name, without a port; it is ${JSON.stringify(value)}`);
  }
  return host;
}

/** Whether only this machine can reach the address. A name other than `localhost` may mean any address. */
export function isLoopback(host: string): boolean {
  return host.toLowerCase() === "localhost" || host === "::1" ||
    /^127\.(?:[0-9]{1,3})\.(?:[0-9]{1,3})\.(?:[0-9]{1,3})$/.test(host);
}

/** A port. */
export function readPort(value: string): number {
  if (!/^[0-9]{1,5}$/.test(value) || Number(value) > 65_535) {
    throw new Expected(`must be a port, 0 to 65535 (0 is any free one); it is ${JSON.stringify(value)}`);
  }
  return Number(value);
}

/** Only the scheme of a URL is repeated in an error: what follows may hold a password. */
export function readStore(value: string): Config["store"] {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(value)?.[1]?.toLowerCase();
  if (scheme === "memory") {
    if (value.length > "memory:".length) throw new Expected("must be memory: with nothing behind it");
    return { kind: "memory" };
  }
  if (scheme === "sqlite") {
    const path = value.slice("sqlite:".length).replace(/^\/\/(?=\/)/, "");
    if (path === "" || path.endsWith("/") || path.startsWith("//") || /[?#\0]/.test(path) || path.startsWith(":")) {
      throw new Expected("must name a file, such as sqlite:./data/eventhub.db or sqlite:/var/lib/eventhub.db");
    }
    return { kind: "sqlite", path };
  }
  if (scheme === "mongodb" || scheme === "mongodb+srv") {
    if (!/^[a-z+]+:\/\/(?:[^/?#]*@)?[^/?#@\s]+(?:\/[^/?#\s]*)?(?:\?\S*)?$/i.test(value)) {
      throw new Expected("must name a server, such as mongodb://localhost:27017/event_hub");
    }
    return { kind: "mongodb", url: value };
  }
  if (scheme !== undefined && ["redis", "rediss", "kafka"].includes(scheme)) {
    throw new Expected(`${scheme}: is no store; use sqlite:<file>, mongodb://… or memory:`);
  }
  throw new Expected("must be sqlite:<file> or memory: or mongodb://…");
}

/** Where the stream beside the store is. */
export function readStream(value: string): string | null {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(value)?.[1]?.toLowerCase();
  if (scheme === "kafka") throw new Expected("Kafka is not supported yet; use redis://…");
  const isRedis = scheme === "redis" || scheme === "rediss";
  const url = isRedis && URL.canParse(value) ? new URL(value) : null;
  if (url === null || url.hostname === "") {
    throw new Expected("must be redis://… or rediss://…, such as redis://localhost:6379");
  }
  if (!/^(?:\/[0-9]{0,5})?$/.test(url.pathname)) {
    throw new Expected("must have nothing or the number of a database behind the server, such as /1");
  }
  if (url.search !== "" || url.hash !== "") throw new Expected("must not have options behind the server");
  return value;
}

/** Keys beside the stream of a hub end so. As a prefix, one would be both a stream of live events and something else. */
const RESERVED_PREFIX = /:(?:in|cells|epoch|erased|trimmed|batch|slot|lease|dead)$/;

/** What the names of keys of the stream begin with. */
export function readPrefix(value: string): string {
  if (RESERVED_PREFIX.test(value)) {
    throw new Expected(`must not be the name of a key of another hub; it is ${JSON.stringify(value)}`);
  }
  if (/^[A-Za-z0-9][A-Za-z0-9:._-]{0,63}$/.test(value)) return value;
  throw new Expected(`must be 1 to 64 characters of A-Za-z0-9:._-; it is ${JSON.stringify(value)}`);
}

/** About how many entries the stream holds. */
export function readEntriesMax(value: string): number {
  const entries = /^[0-9]{1,10}$/.test(value) ? Number(value) : 0;
  if (entries >= STREAM_ENTRIES_LEAST && entries <= STREAM_ENTRIES_MOST) return entries;
  throw new Expected(
    `must be a number from ${STREAM_ENTRIES_LEAST} to ${STREAM_ENTRIES_MOST}; it is ${JSON.stringify(value)}`,
  );
}

/** Parts of the hub, in their usual order. */
export function readRoles(value: string): Role[] {
  const names = value.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !(ROLES as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new Expected(`must be a list of ${ROLES.join(", ")}; ${JSON.stringify(unknown)} is none`);
  }
  return ROLES.filter((role) => names.includes(role));
}

/** How senders prove who they are. */
export function readAuth(value: string): "off" {
  if (value === "off") return value;
  throw new Expected("authentication is not supported yet; the only value is off");
}

/** How much a sender may send. */
export function readRateLimit(value: string): "off" {
  if (value === "off") return value;
  throw new Expected("rate limits are not supported yet; the only value is off");
}

/** How long events are kept; `null` = for ever. */
export function readRetention(value: string): number | null {
  return value === "off" ? null : readDuration(value, RETENTION_MIN_MS, 36_500 * DAY);
}

/** A time zone. */
export function readZone(value: string): string {
  if (isTimeZone(value)) return value;
  throw new Expected(`must be an IANA time zone such as UTC or Europe/Berlin; it is ${JSON.stringify(value)}`);
}

/** Origins of pages. */
export function readOrigins(value: string): string[] {
  return value.split(",").map((part) => {
    const origin = part.trim();
    if (!/^https?:\/\/[^/]+$/.test(origin) || !URL.canParse(origin) || new URL(origin).origin !== origin) {
      throw new Expected(
        `must be a list of origins such as https://shop.example, without a path; ${JSON.stringify(origin)} is none`,
      );
    }
    return origin;
  });
}

/** What strangers may look at. */
export function readExposure(value: string): Exposure {
  if (value === "on" || value === "off") return value;
  if (value === "admin") throw new Expected("admin needs authentication, which is not supported yet; use on or off");
  throw new Expected(`must be on or off; it is ${JSON.stringify(value)}`);
}
