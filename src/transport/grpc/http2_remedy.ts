/**
 * Four remedies for what lies below the server. Importing this module installs them; it must be imported before
 * `@grpc/grpc-js`, which calls `http2.createServer`.
 *
 * 1. denoland/deno#36788, which Deno 2.9.4 to 2.9.6 have: when a client that made some hundred calls on a connection
 *    closes it normally, the whole process aborts, because node:http2 ends the session while nghttp2 is still reading the
 *    client's GOAWAY. Once a server session has seen `goaway`, its `close` and `destroy` therefore wait for the next turn
 *    of the event loop.
 * 2. The connection age of grpc-js closes the session, which cancels the keep-alive's ping, which it takes for the death
 *    of the client: every stream of an old connection would be cut. So the age is kept here, with a GOAWAY alone: clients
 *    make new calls on a new connection, and streams live on.
 * 3. grpc-js reads deadlines of more than 24.8 days as already passed. They are taken away here: that is as good as none.
 * 4. Deno's node:http2 lacks the constant with which grpc-js refuses a request that is no gRPC: it would answer 200.
 */
import http2 from "node:http2";
import { GRPC_CONNECTION_AGE_MS } from "../../limits.ts";

/** What the first remedy replaces on a session: own properties over the methods of its class. */
type Replaceable = Omit<http2.ServerHttp2Session, "close" | "destroy"> & {
  close?: (callback?: () => void) => void;
  destroy?: (...args: unknown[]) => void;
};

function deferEnding(session: Replaceable): void {
  session.once("goaway", () => {
    const { close, destroy } = session;
    session.close = (callback) => {
      setImmediate(() => {
        // node:http2 forgets the callback of a second close; whoever closed first may have come in the same turn.
        if (callback !== undefined && session.destroyed) callback();
        else if (callback !== undefined && session.closed) session.once("close", callback);
        else close?.call(session, callback);
      });
    };
    session.destroy = (...args) => {
      setImmediate(() => destroy?.apply(session, args));
    };
    setImmediate(() => {
      delete session.close;
      delete session.destroy;
    });
  });
}

/** The largest stream id: every stream that is open, and every one under way, is still served. */
const LAST_STREAM_ID = 2 ** 31 - 1;
/** Clients that came at once do not leave at once. */
const AGE_JITTER = 0.1;

/** Asks the client of a session to go over to a new connection when this one is `ageMs` old, give or take a tenth. */
export function limitAge(session: http2.ServerHttp2Session, ageMs: number): void {
  const jitter = 1 + AGE_JITTER * (2 * Math.random() - 1);
  const timer = setTimeout(() => {
    if (!session.closed && !session.destroyed) session.goaway(http2.constants.NGHTTP2_NO_ERROR, LAST_STREAM_ID);
  }, ageMs * jitter);
  timer.unref();
  session.once("close", () => clearTimeout(timer));
}

/** What a timer can wait for. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1 };

function dropFarDeadline(headers: http2.IncomingHttpHeaders): void {
  const [, digits, unit] = /^(\d{1,8})([HMSm])$/.exec(String(headers["grpc-timeout"] ?? "")) ?? [];
  if (unit !== undefined && Number(digits) * UNIT_MS[unit]! > LONGEST_TIMER_MS) delete headers["grpc-timeout"];
}

/** A factory of servers that have the remedies. */
function remedied<Arguments extends unknown[], Server extends http2.Http2Server | http2.Http2SecureServer>(
  create: (...args: Arguments) => Server,
): (...args: Arguments) => Server {
  return (...args) => {
    const server = create(...args);
    server.on("session", (session) => {
      deferEnding(session as unknown as Replaceable);
      limitAge(session, GRPC_CONNECTION_AGE_MS);
    });
    server.on("stream", (_stream, headers) => dropFarDeadline(headers));
    return server;
  };
}

const UNSUPPORTED_MEDIA_TYPE = { HTTP_STATUS_UNSUPPORTED_MEDIA_TYPE: 415 };
Object.assign(http2.constants, UNSUPPORTED_MEDIA_TYPE);

// grpc-js looks the two up in the module at each call.
http2.createServer = remedied(http2.createServer) as typeof http2.createServer;
http2.createSecureServer = remedied(http2.createSecureServer) as typeof http2.createSecureServer;
