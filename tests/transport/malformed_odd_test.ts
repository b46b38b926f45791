/** Inputs that look malformed and are not: each is taken, and means what it says. */
import { assertEquals } from "@std/assert";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { Buffer } from "node:buffer";
import { gzipSync } from "node:zlib";
import { parseExactly } from "./clients.ts";
import { eventJson, read } from "./clients_rest.ts";
import { type Lab, lacking, NEEDS, openClients, openLab } from "./served.ts";

const reason = lacking(NEEDS);
const JSON_TYPE = "application/json";
const EVENT = '{"id":"odd","user_id":"u","event_type":"purchase","amount":1.5}';
const STORED = { status: "success", id: "odd", duplicate: false };

function test(name: string, fn: (lab: Lab) => Promise<void>): void {
  Deno.test({
    name: `odd, and right: ${name}${reason === null ? "" : ` (${reason})`}`,
    ignore: reason !== null,
    fn: async () => {
      await using lab = await openLab();
      await fn(lab);
    },
  });
}

async function post(
  lab: Lab,
  body: BodyInit,
  headers: Record<string, string> = {},
  path = "/events",
): Promise<unknown> {
  const init = { method: "POST", headers: { "content-type": JSON_TYPE, ...headers }, body };
  return await read(await fetch(lab.httpUrl + path, init));
}

/** The stored event, as REST gives it. */
async function stored(lab: Lab, id = "odd"): Promise<Record<string, unknown>> {
  const response = await fetch(`${lab.httpUrl}/events/${encodeURIComponent(id)}`);
  return parseExactly(await response.text()) as Record<string, unknown>;
}

test("a byte order mark before the JSON", async (lab) => {
  assertEquals(await post(lab, "\ufeff" + EVENT), STORED);
});

test("of members that come twice the last one counts", async (lab) => {
  await post(lab, EVENT.replace("{", '{"amount":"x","user_id":7,'));
  assertEquals((await stored(lab)).amount, "1.5");
});

test("null is the same as nothing", async (lab) => {
  assertEquals(await post(lab, EVENT.replace("}", ',"timestamp":null,"properties":null}')), STORED);
});

for (
  const [sent, amount] of [["1e2", "100"], ["1.50000", "1.5"], ["-0", "0"], ["-0.0", "0"], ['"+7"', "7"], [
    '"007"',
    "7",
  ]]
) {
  test(`an amount of ${sent}`, async (lab) => {
    await post(lab, EVENT.replace("1.5", sent!));
    assertEquals((await stored(lab)).amount, amount);
  });
}

for (const type of ["APPLICATION/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"; x=y']) {
  test(`Content-Type ${type}`, async (lab) => {
    assertEquals(await post(lab, EVENT, { "content-type": type }), STORED);
  });
}

test("gzip, also as x-gzip, of several members, and no encoding by name", async (lab) => {
  const gzip = (...parts: string[]) => new Uint8Array(Buffer.concat(parts.map((part) => gzipSync(part))));
  assertEquals(await post(lab, gzip(EVENT), { "content-encoding": "gzip" }), STORED);
  const again = { ...STORED, duplicate: true };
  assertEquals(await post(lab, gzip(EVENT), { "content-encoding": "X-GZIP" }), again);
  assertEquals(await post(lab, gzip(EVENT.slice(0, 20), EVENT.slice(20)), { "content-encoding": "gzip" }), again);
  assertEquals(await post(lab, EVENT, { "content-encoding": "identity" }), again);
});

test("a key in quotes, and one that is the id", async (lab) => {
  const nameless = EVENT.replace('"id":"odd",', "");
  assertEquals(await post(lab, nameless, { "idempotency-key": '"odd"' }), STORED);
  assertEquals(await post(lab, EVENT, { "idempotency-key": "odd" }), { ...STORED, duplicate: true });
});

test("a body of exactly 64 KiB, and a batch of exactly 8 MiB", async (lab) => {
  assertEquals(await post(lab, EVENT.padEnd(64 * 1024)), STORED);
  const batch = await post(lab, `[${EVENT}]`.padEnd(8 * 1024 * 1024), {}, "/events/batch") as { duplicates: number };
  assertEquals(batch.duplicates, 1);
});

test("ids with slashes and dots in a path", async (lab) => {
  for (const id of ["a/b", "/", "a/../b", "//", "...", "+", "="]) {
    await post(lab, EVENT.replace("odd", id));
    assertEquals((await stored(lab, id)).id, id);
  }
});

test("NDJSON with blank lines, CRLF, and no end of its last line", async (lab) => {
  const lines = [0, 1, 2].map((index) => eventJson({ id: `odd-${index}`, userId: "u", eventType: "t", amount: "1" }));
  const body = `\n${lines[0]}\r\n  \r\n${lines[1]}\n\n\n${lines[2]}`;
  const answer = await post(lab, body, { "content-type": "application/x-ndjson" }, "/events/batch");
  const { accepted, results } = answer as { accepted: number; results: { index: number; line: number; id: string }[] };
  assertEquals(accepted, 3);
  assertEquals(results.map(({ index, line, id }) => [index, line, id]), [[0, 2, "odd-0"], [1, 4, "odd-1"], [
    2,
    7,
    "odd-2",
  ]]);
});

test("one bad line among 9,999 good ones", async (lab) => {
  const lines = Array.from({ length: 10_000 }, (_, index) => EVENT.replace("odd", `odd-${index}`));
  lines[5_000] = "{";
  const path = "/events/batch?verbose=false";
  const answer = await post(lab, lines.join("\n"), { "content-type": "application/x-ndjson" }, path);
  const { accepted, rejected, results } = answer as {
    accepted: number;
    rejected: number;
    results: { line: number; status: string }[];
  };
  assertEquals([accepted, rejected], [9_999, 1]);
  assertEquals(results.map(({ line, status }) => [line, status]), [[5_001, "malformed"]]);
});

test("a request id that cannot be repeated is replaced", async (lab) => {
  for (const [given, kept] of [["abc-1", true], ["x".repeat(129), false], ["a b", false], ["é", false]] as const) {
    const response = await fetch(`${lab.httpUrl}/livez`, { headers: { "x-request-id": given } });
    await response.body?.cancel();
    assertEquals(response.headers.get("x-request-id") === given, kept, given);
  }
});

test("numbers in a GraphQL query are read digit by digit, and a whole number is an ID", async (lab) => {
  for (const [id, amount, exact] of [[1, "0.1", "0.1"], [2, "999999999.9999", "999999999.9999"], [3, "1e2", "100"]]) {
    const query =
      `mutation { publishEvent(input: { id: ${id}, userId: "u", eventType: "t", amount: ${amount} }) { id } }`;
    const init = { method: "POST", headers: { "content-type": JSON_TYPE }, body: JSON.stringify({ query }) };
    const { data } = await (await fetch(`${lab.httpUrl}/graphql`, init)).json();
    assertEquals(data, { publishEvent: { id: String(id) } });
    assertEquals((await stored(lab, String(id))).amount, exact);
  }
});

test("of gRPC fields that come twice the last one counts", async (lab) => {
  const { Client, credentials } = await import("@grpc/grpc-js");
  const client = new Client(lab.grpcAddress, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  const event = new BinaryWriter().uint32(10).string("first").uint32(18).string("u").uint32(26).string("t")
    .uint32(34).string("x").uint32(34).string("2.5").uint32(10).string("odd").finish();
  const request = Buffer.from(new BinaryWriter().uint32(10).bytes(event).finish());
  await new Promise((resolve, reject) => {
    const asIs = (bytes: Buffer) => bytes;
    client.makeUnaryRequest("/eventhub.v1.EventHubService/Publish", asIs, asIs, request, (error, answer) => {
      if (error === null) resolve(answer);
      else reject(error);
    });
  });
  client.close();
  assertEquals((await stored(lab)).amount, "2.5");
});

test("an event sent at the same time by 64 clients over all protocols is stored once", async (lab) => {
  await using clients = await openClients(lab);
  const event = { id: "odd", userId: "u", eventType: "purchase", amount: "1.5" };
  const senders = [clients.rest, clients.graphql, clients.grpc];
  const answers = await Promise.all(Array.from({ length: 64 }, (_, index) => senders[index % 3]!.publish(event)));
  assertEquals(answers.filter(({ duplicate }) => !duplicate).length, 1);
  assertEquals(await clients.graphql.aggregatedMetrics!(1), { eventCount: 1, totalAmount: 1.5 });
});
