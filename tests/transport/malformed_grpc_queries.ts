/** Malformed gRPC calls beside events: questions, whole requests, the prototype's service, and frames. */
import { type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Metadata, type ServiceError } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import http2 from "node:http2";
import { gzipSync } from "node:zlib";
import { EventRequest, StreamRequest } from "../../src/gen/event.ts";
import {
  GetEventRequest,
  ListEventsRequest,
  QueryAggregatesRequest,
  SubscribeRequest,
} from "../../src/gen/eventhub/v1/eventhub.ts";
import { Refusal } from "./clients.ts";
import { toRefusal } from "./clients_grpc.ts";
import { Cut, type Malformed, type Target } from "./malformed.ts";
import { call, COMPAT, good, HUB, inRequest, inStream, message, stream } from "./malformed_grpc.ts";

type Expected = Pick<Malformed, "code" | "field" | "fault">;

const INVALID = { code: "invalid_argument" } as const;
const MALFORMED = { code: "malformed" } as const;
const TOO_LARGE = { code: "payload_too_large" } as const;
const NOT_UTF8 = new Uint8Array([0xff]);
const FAR = { seconds: 253_402_300_800n, nanos: 0 };
const CURSORS = ["x", "!", "l14unowu", "p.d.1.r1.x", "\u0000", "😀"];

/** Enums are open on the wire: any number. */
const open = (value: number): number => value;

const list = (name: string, request: Partial<ListEventsRequest>, expected: Expected) =>
  call(name, `${HUB}/ListEvents`, ListEventsRequest.encode({ order: 0, ...request }).finish(), expected);
const rows = (name: string, request: Partial<QueryAggregatesRequest>, expected: Expected) => {
  const whole = { window: 0, groupBy: [], eventTypes: [], fill: 0, percentiles: false, ...request };
  return call(name, `${HUB}/QueryAggregates`, QueryAggregatesRequest.encode(whole).finish(), expected);
};
const subscribe = (name: string, request: SubscribeRequest, expected: Expected) =>
  stream(name, `${HUB}/Subscribe`, SubscribeRequest.encode(request).finish(), expected);
const filter = (filter: Partial<NonNullable<ListEventsRequest["filter"]>>) => ({
  filter: { eventTypes: [], ...filter },
});

const LISTS: readonly Malformed[] = [
  ...[0, -1, 1_001, 2 ** 31 - 1, -(2 ** 31)].map((limit) =>
    list(`limit ${limit}`, { limit }, { ...INVALID, field: "limit", fault: "out_of_range" })
  ),
  ...CURSORS.map((cursor) => list(`cursor ${cursor}`, { cursor }, { code: "invalid_cursor" })),
  list("cursor of 513 characters", { cursor: "x".repeat(513) }, { code: ["invalid_cursor", "invalid_argument"] }),
  list("order 7", { order: open(7) }, { ...INVALID, field: "order", fault: "invalid_value" }),
  list("from too far", filter({ from: FAR }), { ...INVALID, field: "filter.from", fault: "invalid_timestamp" }),
  list("to too early", filter({ to: { seconds: -1n, nanos: 0 } }), { ...INVALID, field: "filter.to" }),
  list("nanos -1", filter({ to: { seconds: 1n, nanos: -1 } }), { ...INVALID, field: "filter.to" }),
  list("backwards", filter({ from: { seconds: 2n, nanos: 0 }, to: { seconds: 1n, nanos: 0 } }), {
    ...INVALID,
    field: "filter.from",
    fault: "out_of_range",
  }),
  list("user of 600 characters", filter({ userId: "x".repeat(600) }), { ...INVALID, field: "filter.user_id" }),
  list("event type 1a", filter({ eventTypes: ["1a"] }), { ...INVALID, field: "filter.event_types" }),
];

const ROWS: readonly Malformed[] = [
  rows("window 99", { window: open(99) }, { ...INVALID, field: "window", fault: "invalid_value" }),
  rows("fill 9", { fill: open(9) }, { ...INVALID, field: "fill", fault: "invalid_value" }),
  rows("group_by 0", { groupBy: [0] }, { ...INVALID, field: "group_by[0]", fault: "invalid_value" }),
  rows("group_by 5", { groupBy: [1, open(5)] }, { ...INVALID, field: "group_by[1]", fault: "invalid_value" }),
  ...["", "Mars/Olympus", "+25:00", "x".repeat(10_000)].map((tz) =>
    rows(`tz ${tz}`, { tz }, { ...INVALID, field: "tz", fault: "invalid_value" })
  ),
  rows("event type a b", { eventTypes: ["a b"] }, { ...INVALID, field: "event_types" }),
  rows("from too far", { from: FAR }, { ...INVALID, field: "from", fault: "invalid_timestamp" }),
  rows("nanos 10^9", { to: { seconds: 1n, nanos: 1_000_000_000 } }, { ...INVALID, field: "to" }),
  rows("backwards", { from: { seconds: 99n, nanos: 0 }, to: { seconds: 1n, nanos: 0 } }, { ...INVALID, field: "from" }),
  rows("too long", { from: { seconds: 0n, nanos: 0 }, to: { seconds: 1_700_000_000n, nanos: 0 } }, {
    code: "range_too_large",
    field: "from",
  }),
];

const SUBSCRIPTIONS: readonly Malformed[] = [
  ...CURSORS.map((after) => subscribe(`after ${after}`, { after }, { code: "invalid_cursor" })),
  subscribe("after nothing", { after: "" }, { ...INVALID, field: "after", fault: "too_short" }),
  subscribe("after 513 characters", { after: "x".repeat(513) }, { code: ["invalid_cursor", "invalid_argument"] }),
  subscribe("after no day", { after: "2024-02-30T00:00:00Z" }, {
    ...INVALID,
    field: "after",
    fault: "invalid_timestamp",
  }),
  subscribe("event type 1a", { filter: { eventTypes: ["1a"] } }, { ...INVALID, field: "filter.event_types" }),
  subscribe("user of 600 characters", { filter: { userId: "x".repeat(600), eventTypes: [] } }, {
    ...INVALID,
    field: "filter.user_id",
  }),
];

/** Every method with a field it does not have, a field of a wrong type, and a text that is not UTF-8. */
const METHODS: readonly Malformed[] = ([
  [call, `${HUB}/GetEvent`, "id", 1],
  [call, `${HUB}/ListEvents`, "cursor", 3],
  [call, `${HUB}/QueryAggregates`, "tz", 7],
  [stream, `${HUB}/Subscribe`, "after", 1],
  [call, `${COMPAT}/SendEvent`, "user_id", 1],
] as const).flatMap(([make, path, field, number]) => {
  const wrong = message((writer) => writer.tag(number, WireType.Varint).uint32(1));
  const text = message((writer) => writer.tag(number, WireType.LengthDelimited).bytes(NOT_UTF8));
  const unknown = message((writer) => writer.tag(99, WireType.Varint).uint32(1));
  return [
    make("field 99", path, unknown, { ...INVALID, field: "[99]", fault: "unknown_field" }),
    make(`${field} as varint`, path, wrong, { ...INVALID, field, fault: "invalid_type" }),
    make(`${field} not UTF-8`, path, text, MALFORMED),
    make("a length beyond the end", path, new Uint8Array([10, 200, 1]), MALFORMED),
    make("a varint that does not end", path, new Uint8Array([0xff]), MALFORMED),
    make("random bytes", path, new Uint8Array([0xde, 0xad, 0xbe, 0xef]), MALFORMED),
  ];
});

const events = (count: number, event: Uint8Array) =>
  message((writer: BinaryWriter) => {
    for (let index = 0; index < count; index++) writer.uint32(10).bytes(event);
  });
const numbered = (event: Uint8Array | null): Uint8Array =>
  message((writer) =>
    event === null ? writer.uint32(8).uint64(7n) : writer.uint32(8).uint64(7n).uint32(18).bytes(event)
  );

const WHOLE: readonly Malformed[] = [
  call("no event", `${HUB}/Publish`, new Uint8Array(), { ...INVALID, field: "event", fault: "required" }),
  call("event as varint", `${HUB}/Publish`, new Uint8Array([8, 1]), {
    ...INVALID,
    field: "event",
    fault: "invalid_type",
  }),
  call("field 9 beside its event", `${HUB}/Publish`, new Uint8Array([...inRequest(good), 72, 1]), {
    ...INVALID,
    field: "[9]",
    fault: "unknown_field",
  }),
  call("field 9 in a batch", `${HUB}/PublishBatch`, new Uint8Array([...inRequest(good), 72, 1]), {
    ...INVALID,
    field: "[9]",
    fault: "unknown_field",
  }),
  call("10,001 events", `${HUB}/PublishBatch`, events(10_001, good), TOO_LARGE),
  call("1,000,000 empty events", `${HUB}/PublishBatch`, events(1_000_000, new Uint8Array()), TOO_LARGE),
  call("9 MiB", `${HUB}/PublishBatch`, events(1, new Uint8Array(9 * 1024 * 1024)), TOO_LARGE),
  call("9 MiB", `${HUB}/Publish`, events(1, new Uint8Array(9 * 1024 * 1024)), TOO_LARGE),
  inStream("no event", numbered(null), { ...INVALID, field: "event", fault: "required" }),
  inStream("field 9 beside its event", new Uint8Array([...numbered(good), 72, 1]), {
    ...INVALID,
    fault: "unknown_field",
  }),
  inStream("bytes that are no message", new Uint8Array([0xff]), MALFORMED),
  call("no id", `${HUB}/GetEvent`, GetEventRequest.encode({ id: "" }).finish(), {
    ...INVALID,
    field: "id",
    fault: "required",
  }),
  call("an id that nobody has", `${HUB}/GetEvent`, GetEventRequest.encode({ id: "nothing" }).finish(), {
    code: "not_found",
  }),
];

const OLD = { userId: "u", eventType: "purchase", amount: 1, timestamp: "" };
const send = (name: string, change: Partial<EventRequest>, field: string, fault?: string) =>
  call(name, `${COMPAT}/SendEvent`, EventRequest.encode({ ...OLD, ...change }).finish(), { ...INVALID, field, fault });

/** The prototype's service: doubles and times as text. */
const PROTOTYPE: readonly Malformed[] = [
  send("NaN", { amount: NaN }, "amount"),
  ...[Infinity, -Infinity, 1e308, -1e308, 1e10, 1_000_000_000.5].map((amount) =>
    send(`amount ${amount}`, { amount }, "amount", "out_of_range")
  ),
  ...[0.00001, 5e-324, 0.1 + 0.2, 12.34567].map((amount) =>
    send(`amount ${amount}`, { amount }, "amount", "too_precise")
  ),
  ...["now", "2024-01-15", "2024-02-30T00:00:00Z", "2024-01-15T24:00:00Z", "10000-01-01T00:00:00Z", " ", "\u0000"]
    .map((timestamp) => send(`timestamp ${timestamp}`, { timestamp }, "timestamp", "invalid_timestamp")),
  send("timestamp in 9999", { timestamp: "9999-12-31T23:59:59Z" }, "timestamp", "too_far_in_future"),
  send("no user", { userId: "" }, "user_id"),
  send("user of 257", { userId: "x".repeat(257) }, "user_id", "too_long"),
  send("a control character", { userId: "a\u0007" }, "user_id", "invalid_format"),
  send("no type", { eventType: "" }, "event_type"),
  send("type 1a", { eventType: "1a" }, "event_type", "invalid_format"),
  ...[-1, 10_001, 2 ** 31 - 1, -(2 ** 31)].map((limit) =>
    stream(`limit ${limit}`, `${COMPAT}/StreamEvents`, StreamRequest.encode({ limit }).finish(), {
      ...INVALID,
      field: "limit",
      fault: "out_of_range",
    })
  ),
];

/** A method or a service that nobody has: grpc-js answers by itself, with the status alone. */
const NOWHERE: readonly Malformed[] = [`${HUB}/Nothing`, "/eventhub.v2.EventHubService/Publish", "/x/y"].map((path) => {
  const expected = { code: "method_not_allowed" } as const;
  const { name, send } = call("a method that nobody has", path, inRequest(good), expected);
  const sendBare = async (target: Target) => {
    try {
      return await send(target);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return new Refusal(error.message, { ...error, code: error.code ?? expected.code });
    }
  };
  return { name: `${name} ${path}`, send: sendBare, ...expected };
});

/** What is sent as a call on HTTP/2 itself. */
interface Frames {
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array;
}

function frame(
  bytes: Uint8Array,
  { flag = 0, length = bytes.length }: { flag?: number; length?: number } = {},
): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, bytes]);
}

/** The status of a call that is written by hand, in headers or trailers; `null` when the stream was reset without one. */
function callByHand({ grpcAddress }: Target, { headers, body }: Frames): Promise<Refusal | Cut> {
  const session = http2.connect(`http://${grpcAddress}`);
  const { promise, resolve, reject } = Promise.withResolvers<Refusal | Cut>();
  session.on("error", reject);
  const running = session.request({
    ":method": "POST",
    ":path": `${HUB}/Publish`,
    "content-type": "application/grpc",
    "te": "trailers",
    ...headers,
  });
  let http: number | null = null;
  const take = (all: http2.IncomingHttpHeaders) => {
    if (all["grpc-status"] === undefined) return;
    const metadata = new Metadata();
    const details = all["grpc-status-details-bin"];
    if (typeof details === "string") metadata.set("grpc-status-details-bin", Buffer.from(details, "base64"));
    const error = { code: Number(all["grpc-status"]), details: String(all["grpc-message"]), metadata };
    resolve(toRefusal(error as ServiceError));
  };
  running.on("response", (all) => {
    http = Number(all[":status"]);
    take(all);
  });
  running.on("trailers", take);
  running.on("error", () => resolve(new Cut(null)));
  running.on("close", () => resolve(new Cut(http === 200 ? null : http)));
  running.resume();
  running.end(body ?? frame(inRequest(good)));
  return promise.finally(() => session.destroy());
}

function byHand(name: string, frames: Frames, code: Malformed["code"]): Malformed {
  return { name: `HTTP/2: ${name}`, send: (target) => callByHand(target, frames), code };
}

const ZEROS = gzipSync(new Uint8Array(64 * 1024 * 1024));
const gzip = { headers: { "grpc-encoding": "gzip" } };

const FRAMES: readonly Malformed[] = [
  byHand("no message", { body: new Uint8Array() }, "malformed"),
  byHand("two messages", { body: Buffer.concat([frame(inRequest(good)), frame(inRequest(good))]) }, "malformed"),
  byHand("a message that is cut", { body: frame(inRequest(good), { length: 100 }) }, "malformed"),
  byHand("a head that is cut", { body: new Uint8Array([0, 0, 0]) }, "malformed"),
  byHand("a length of 4 GB", { body: frame(inRequest(good), { length: 2 ** 32 - 1 }) }, "payload_too_large"),
  byHand("not gzip", { ...gzip, body: frame(inRequest(good), { flag: 1 }) }, "malformed"),
  byHand(
    "gzip that is cut",
    { ...gzip, body: frame(gzipSync(inRequest(good)).subarray(0, 15), { flag: 1 }) },
    "malformed",
  ),
  byHand("64 MiB of zeros", { ...gzip, body: frame(ZEROS, { flag: 1 }) }, "payload_too_large"),
  byHand("an encoding nobody has", { headers: { "grpc-encoding": "x" }, body: frame(inRequest(good), { flag: 1 }) }, [
    "unsupported_media_type",
  ]),
  byHand("a time-out that is a word", { headers: { "grpc-timeout": "soon" } }, "malformed"),
  byHand("a Content-Type of JSON", { headers: { "content-type": "application/json" } }, "cut"),
  byHand("no Content-Type", { headers: { "content-type": "" } }, "cut"),
  byHand("GET", { headers: { ":method": "GET" } }, "cut"),
];

/** All of them. */
export const GRPC_QUERIES: readonly Malformed[] = [
  ...LISTS,
  ...ROWS,
  ...SUBSCRIPTIONS,
  ...METHODS,
  ...WHOLE,
  ...PROTOTYPE,
  ...NOWHERE,
  ...FRAMES,
];
