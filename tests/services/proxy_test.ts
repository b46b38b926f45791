/** The proxy itself: what it does to a connection is what it says. */
import { assertEquals } from "@std/assert";
import { TcpProxy } from "./proxy.ts";
import { missingPermissions } from "./requirement.ts";

const missing = missingPermissions(["net"]);
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/** A server that answers each piece with the same, and keeps what it heard. */
class Echo implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #serving: Promise<void>;
  heard = "";

  constructor() {
    this.#serving = this.#serve();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(): Promise<void> {
    const served: Promise<void>[] = [];
    for await (const connection of this.#listener) served.push(this.#answer(connection));
    await Promise.all(served);
  }

  async #answer(connection: Deno.TcpConn): Promise<void> {
    const buffer = new Uint8Array(1_024);
    for (let size = await read(connection, buffer); size !== null; size = await read(connection, buffer)) {
      this.heard += DECODER.decode(buffer.subarray(0, size));
      await connection.write(buffer.subarray(0, size));
    }
    connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
  }
}

/** `null` at the end, in whatever way it came. */
async function read(connection: Deno.TcpConn, buffer: Uint8Array): Promise<number | null> {
  return await connection.read(buffer).catch((error) => {
    if (error instanceof Deno.errors.ConnectionReset) return null;
    throw error;
  });
}

async function ask(connection: Deno.TcpConn, text: string): Promise<string | null> {
  await connection.write(ENCODER.encode(text));
  const buffer = new Uint8Array(1_024);
  const size = await read(connection, buffer);
  return size === null ? null : DECODER.decode(buffer.subarray(0, size));
}

function test(name: string, run: (ways: { echo: Echo; proxy: TcpProxy; connect(): Promise<Deno.TcpConn> }) => unknown) {
  Deno.test({
    name: `proxy: ${name}${missing === null ? "" : ` (${missing})`}`,
    ignore: missing !== null,
    fn: async () => {
      await using echo = new Echo();
      await using proxy = TcpProxy.to(echo.port);
      const connections: Deno.TcpConn[] = [];
      await run({
        echo,
        proxy,
        connect: async () => {
          const connection = await Deno.connect({ hostname: "127.0.0.1", port: proxy.port });
          connections.push(connection);
          return connection;
        },
      });
      for (const connection of connections) connection.close();
    },
  });
}

test("forwards both ways; a cut closes what is open and takes what comes", async ({ proxy, connect }) => {
  const first = await connect();
  assertEquals(await ask(first, "one"), "one");
  proxy.cut();
  assertEquals(await read(first, new Uint8Array(1)), null);
  assertEquals(await ask(await connect(), "two"), "two");
});

test("frozen, it holds back, and forwards it all when it thaws", async ({ echo, proxy, connect }) => {
  const connection = await connect();
  assertEquals(await ask(connection, "one"), "one");
  proxy.freeze();
  const answer = ask(connection, "two");
  // Another connection that goes around it: what was held back would have been heard by then.
  using direct = await Deno.connect({ hostname: "127.0.0.1", port: echo.port });
  assertEquals(await ask(direct, "three"), "three");
  assertEquals(echo.heard, "onethree");
  proxy.thaw();
  assertEquals([await answer, echo.heard], ["two", "onethreetwo"]);
});

test("loses the answer to the request that carries a text, and no other", async ({ echo, proxy, connect }) => {
  const [first, second] = [await connect(), await connect()];
  const lost = proxy.loseAnswerTo("the text");
  assertEquals(await ask(first, "another text"), "another text");
  assertEquals(await ask(second, "here is the text."), null);
  await lost;
  assertEquals(proxy.droppedBytes, "here is the text.".length);
  assertEquals(await ask(first, "again the text"), "again the text");
  assertEquals(echo.heard, "another texthere is the text.again the text");
});

test("cuts in the middle of a request, also when the text comes in two pieces", async ({ echo, proxy, connect }) => {
  const connection = await connect();
  const cut = proxy.cutWithin("insert", 8);
  assertEquals(await ask(connection, "an ins"), "an ins");
  assertEquals(await ask(connection, "ert of many"), null);
  await cut;
  assertEquals(echo.heard, "an insert o");
});

test("drops all answers while it is told to", async ({ echo, proxy, connect }) => {
  const connection = await connect();
  assertEquals(await ask(connection, "one"), "one");
  proxy.dropsAnswers = true;
  const answer = ask(connection, "two");
  using direct = await Deno.connect({ hostname: "127.0.0.1", port: echo.port });
  while (proxy.droppedBytes === 0) assertEquals(await ask(direct, "."), ".");
  proxy.dropsAnswers = false;
  await connection.write(ENCODER.encode("three"));
  assertEquals(await answer, "three");
});
