/** A proxy that loses answers: what a client asked for happens, and the client does not learn it. */

/** A running proxy. */
export interface LossyProxy extends AsyncDisposable {
  readonly port: number;
  /** The connection that next carries this text breaks off when its answer comes. */
  loseAnswerTo(text: string): void;
}

/** Starts a proxy before a server on this machine. */
export function startLossyProxy(serverPort: number): LossyProxy {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  let lost: string | null = null;
  const serve = async (client: Deno.TcpConn) => {
    open.add(client);
    const server = await Deno.connect({ hostname: "127.0.0.1", port: serverPort });
    open.add(server);
    let loses = false;
    const end = () => {
      for (const connection of [client, server]) {
        if (open.delete(connection)) connection.close();
      }
    };
    await Promise.all([
      pipe(client, server, (bytes) => {
        if (lost === null || !new TextDecoder().decode(bytes).includes(lost)) return true;
        lost = null;
        loses = true;
        return true;
      }).then(end),
      pipe(server, client, () => !loses).then(end),
    ]);
  };
  const serving = (async () => {
    const served: Promise<void>[] = [];
    for await (const connection of listener) served.push(serve(connection));
    await Promise.all(served);
  })();
  return {
    port: listener.addr.port,
    loseAnswerTo: (text) => lost = text,
    [Symbol.asyncDispose]: async () => {
      listener.close();
      for (const connection of open) connection.close();
      open.clear();
      await serving;
    },
  };
}

/** Copies until one side ends, or `take` says no. */
async function pipe(from: Deno.TcpConn, to: Deno.TcpConn, take: (bytes: Uint8Array) => boolean): Promise<void> {
  const buffer = new Uint8Array(64 * 1_024);
  try {
    for (let count = await from.read(buffer); count !== null; count = await from.read(buffer)) {
      const bytes = buffer.slice(0, count);
      if (!take(bytes)) return;
      for (let at = 0; at < count;) at += await to.write(bytes.subarray(at));
    }
  } catch {
    // One of the two has closed the connection.
  }
}
