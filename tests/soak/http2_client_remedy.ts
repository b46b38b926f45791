/**
 * The client's half of denoland/deno#36788 (the server's is in `src/transport/grpc/http2_remedy.ts`): a process of Deno
 * 2.9.4 to 2.9.6 aborts when a hub that shuts down says GOAWAY on a connection that has made some hundred calls, because
 * node:http2 ends the session while nghttp2 is still reading that frame. Importing this module before `@grpc/grpc-js`
 * lets every end of a client's session wait for the next turn of the event loop. Other clients need nothing of it.
 */
import http2 from "node:http2";

type Ending = "close" | "destroy";
type Replaceable = Omit<http2.ClientHttp2Session, Ending> & { [name in Ending]?: (...args: unknown[]) => void };

function deferEnding(session: Replaceable): void {
  for (const name of ["close", "destroy"] as const) {
    const original = session[name];
    session[name] = (...args) => {
      setImmediate(() => original?.apply(session, args));
    };
  }
}

const connect = http2.connect as (...args: unknown[]) => http2.ClientHttp2Session;
http2.connect = ((...args: unknown[]) => {
  const session = connect(...args);
  deferEnding(session as unknown as Replaceable);
  return session;
}) as typeof http2.connect;
