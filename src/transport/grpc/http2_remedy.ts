/**
 * A remedy for denoland/deno#36788, which Deno 2.9.4 to 2.9.6 have: when a client that made some hundred calls on a
 * connection closes it normally, the whole process aborts, because node:http2 ends the session while nghttp2 is still in
 * the middle of reading the client's GOAWAY. From the moment a server session has seen `goaway`, its `close` and
 * `destroy` therefore wait for the next turn of the event loop.
 *
 * Importing this module installs it; it must be imported before `@grpc/grpc-js`, which calls `http2.createServer`.
 */
import http2 from "node:http2";

type Ending = "close" | "destroy";
/** What the remedy replaces on a session: own properties over the methods of its class. */
type Session = Omit<http2.ServerHttp2Session, Ending> & { [name in Ending]?: (...args: unknown[]) => void };

function deferEnding(session: Session): void {
  session.once("goaway", () => {
    for (const name of ["close", "destroy"] as const) {
      const original = session[name];
      session[name] = (...args) => {
        setImmediate(() => original?.apply(session, args));
      };
    }
    setImmediate(() => {
      delete session.close;
      delete session.destroy;
    });
  });
}

/** A factory of servers whose sessions have the remedy. */
function remedied<Arguments extends unknown[], Server extends http2.Http2Server | http2.Http2SecureServer>(
  create: (...args: Arguments) => Server,
): (...args: Arguments) => Server {
  return (...args) => {
    const server = create(...args);
    server.on("session", (session) => deferEnding(session as unknown as Session));
    return server;
  };
}

// grpc-js looks the two up in the module at each call.
http2.createServer = remedied(http2.createServer) as typeof http2.createServer;
http2.createSecureServer = remedied(http2.createSecureServer) as typeof http2.createSecureServer;
