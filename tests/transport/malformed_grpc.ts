/** Malformed gRPC requests: bytes that are no message, and messages that are no event. */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { ServiceError } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import {
  EventInput,
  EventStatus,
  PublishBatchResponse,
  PublishStreamResponse,
} from "../../src/gen/eventhub/v1/eventhub.ts";
import { Refusal } from "./clients.ts";
import { toRefusal } from "./clients_grpc.ts";
import type { Malformed, Target } from "./malformed.ts";
import { BAD_MEMBERS, type BadMember, pointerOf } from "./malformed_values.ts";

/** Both services. */
export const HUB = "/eventhub.v1.EventHubService";
export const COMPAT = "/event.EventService";

type Expected = Pick<Malformed, "code" | "field" | "fault">;

/** A message that is written field by field. */
export function message(write: (writer: BinaryWriter) => void): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  write(writer);
  return new Uint8Array(writer.finish());
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
const asIs = (bytes: Buffer): Buffer => bytes;

/** Calls a unary method with bytes; gives the bytes of its answer. */
function unary(target: Target, path: string, bytes: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    target.connection.makeUnaryRequest(path, asBuffer, asIs, bytes, (error, answer) => {
      if (error === null) resolve(answer!);
      else reject(toRefusal(error));
    });
  });
}

/** A call that is answered once. */
export function call(name: string, path: string, bytes: Uint8Array, expected: Expected): Malformed {
  const send = async (target: Target): Promise<never> => {
    const answer = await unary(target, path, bytes);
    throw new Error(`was taken: ${answer.length} bytes`);
  };
  return { name: `${path.split("/").at(-1)}: ${name}`, send, ...expected };
}

/** A call that is answered with a stream. */
export function stream(name: string, path: string, bytes: Uint8Array, expected: Expected): Malformed {
  const send = ({ connection }: Target): Promise<never> =>
    new Promise((_resolve, reject) => {
      const running = connection.makeServerStreamRequest(path, asBuffer, asIs, bytes);
      running.on("data", () => {
        reject(new Error("was taken"));
        running.cancel();
      });
      running.on("error", (error: ServiceError) => reject(toRefusal(error)));
      running.on("end", () => reject(new Error("was taken")));
    });
  return { name: `${path.split("/").at(-1)}: ${name}`, send, ...expected };
}

const CODES: Partial<Record<EventStatus, string>> = {
  [EventStatus.EVENT_STATUS_INVALID]: "invalid_argument",
  [EventStatus.EVENT_STATUS_MALFORMED]: "malformed",
};

/** What a result of one event says, in the form of an error of a call. */
function resultOf(
  { status, errors }: { status: EventStatus; errors: { field: string; code: string; detail: string }[] },
): Refusal {
  const code = CODES[status];
  if (code === undefined) throw new Error(`was answered ${EventStatus[status]}`);
  return new Refusal(errors[0]?.detail ?? "", { status: 3, code, faults: errors });
}

/** An event of a batch: the call succeeds, and the result says what is wrong. */
function inBatch(name: string, event: Uint8Array, expected: Expected): Malformed {
  const send = async (target: Target): Promise<Refusal> => {
    const bytes = message((writer) => writer.uint32(10).bytes(event));
    const { results } = PublishBatchResponse.decode(await unary(target, `${HUB}/PublishBatch`, bytes));
    return resultOf(results[0]!);
  };
  return { name: `PublishBatch: ${name}`, send, ...expected };
}

/** A message of a stream: it is answered, and the stream ends in order. */
export function inStream(name: string, bytes: Uint8Array, expected: Expected): Malformed {
  const send = ({ connection }: Target): Promise<Refusal> =>
    new Promise((resolve, reject) => {
      const running = connection.makeBidiStreamRequest(`${HUB}/PublishStream`, asBuffer, asIs);
      let refusal: Refusal | null = null;
      running.on("data", (answer: Buffer) => {
        try {
          refusal = resultOf(PublishStreamResponse.decode(answer).rejected[0]!);
        } catch (error) {
          reject(error);
        }
      });
      running.on("error", (error: ServiceError) => reject(toRefusal(error)));
      running.on("end", () => refusal === null ? reject(new Error("was not answered")) : resolve(refusal));
      running.write(bytes);
      running.end();
    });
  return { name: `PublishStream: ${name}`, send, ...expected };
}

const INVALID = { code: "invalid_argument" } as const;
const MALFORMED = { code: "malformed" } as const;
const GOOD: EventInput = { id: "malformed-1", userId: "user", eventType: "purchase", amount: "1.5" };
const encode = (event: EventInput): Uint8Array<ArrayBuffer> => new Uint8Array(EventInput.encode(event).finish());
/** An event as the first field of a request. */
export const inRequest = (event: Uint8Array): Uint8Array => message((writer) => writer.uint32(10).bytes(event));

/** An event over all three ways in; `field` is relative to the event. */
function everywhere(name: string, event: Uint8Array, { code, field, fault }: Expected): Malformed[] {
  const inEvent = field === undefined || code === "malformed" ? undefined : field === "" ? "event" : `event.${field}`;
  const numbered = message((writer) => writer.uint32(8).uint64(7n).uint32(18).bytes(event));
  return [
    call(name, `${HUB}/Publish`, inRequest(event), { code, field: inEvent, fault }),
    inBatch(name, event, { code, field, fault }),
    inStream(name, numbered, { code, field, fault }),
  ];
}

/** A JSON pointer as the path of a proto field. */
function pathOf(bad: BadMember): string {
  const [, first = "", ...rest] = pointerOf(bad).split("/");
  const names = rest.map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  return first + names.map((part) => {
    if (/^\d+$/.test(part)) return `[${part}]`;
    return /^\w+$/.test(part) ? `.${part}` : `[${JSON.stringify(part)}]`;
  }).join("");
}

/** The bad members that a message can have: texts, and properties of finite numbers and whole characters. */
const MEMBERS = BAD_MEMBERS.flatMap((bad) => {
  const { member, json, code } = bad;
  const name = `${member} = ${json.slice(0, 60)}`;
  if (/\\ud[89a-f]/i.test(json)) return [];
  const value: unknown = JSON.parse(json);
  const property = { id: "id", user_id: "userId", event_type: "eventType", amount: "amount" }[member];
  if (property !== undefined && typeof value === "string") {
    return [call(name, `${HUB}/Publish`, inRequest(encode({ ...GOOD, [property]: value })), {
      ...INVALID,
      field: `event.${member}`,
      fault: code,
    })];
  }
  const isTooDeep = code === "too_deep" && json.length > 1_000;
  // The generated writer knows neither 5,000 levels nor a member named `__proto__`; both are written by hand below.
  if (member !== "properties" || code === "invalid_type" || isTooDeep || json.includes("__proto__")) {
    return [];
  }
  const event = encode({ ...GOOD, properties: value as Record<string, unknown> });
  return everywhere(name, event, { ...INVALID, field: pathOf(bad), fault: code });
});

const FIELDS = ["id", "user_id", "event_type", "amount", "timestamp", "properties"];
/** The bytes of an event that is right. */
export const good = encode(GOOD);
const withField = (write: (writer: BinaryWriter) => void): Uint8Array => message((writer) => write(writer.raw(good)));

/** Each field of each wire type that it does not have. */
const WIRE_TYPES = FIELDS.flatMap((field, index) => {
  const number = index + 1;
  const texts: readonly (readonly [string, Uint8Array])[] = [
    ["varint", withField((writer) => writer.tag(number, WireType.Varint).uint32(5))],
    ["64 bits", withField((writer) => writer.tag(number, WireType.Bit64).double(1.5))],
    ["32 bits", withField((writer) => writer.tag(number, WireType.Bit32).float(1.5))],
  ];
  return texts.flatMap(([name, event]) =>
    everywhere(`${field} as ${name}`, event, { ...INVALID, field, fault: "invalid_type" })
  );
});

const NOT_UTF8 = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]];
const TEXTS = FIELDS.slice(0, 4).flatMap((field, index) =>
  NOT_UTF8.flatMap((bytes) =>
    everywhere(
      `${field} of bytes ${bytes}`,
      withField((writer) => writer.tag(index + 1, WireType.LengthDelimited).bytes(new Uint8Array(bytes))),
      MALFORMED,
    )
  )
);

const timestamp = (seconds: bigint, nanos: number): Uint8Array =>
  withField((writer) => writer.uint32(42).fork().uint32(8).int64(seconds).uint32(16).int32(nanos).join());
const TIMESTAMPS = [
  ...([[-1n, 0], [-62_135_596_800n, 0], [253_402_300_800n, 0], [2n ** 63n - 1n, 0], [-(2n ** 63n), 0]] as const),
  ...([[1_700_000_000n, -1], [1_700_000_000n, 1_000_000_000], [1_700_000_000n, 2 ** 31 - 1], [
    0n,
    -(2 ** 31),
  ]] as const),
].flatMap(([seconds, nanos]) =>
  everywhere(`timestamp ${seconds} ${nanos}`, timestamp(seconds, nanos), {
    ...INVALID,
    field: "timestamp",
    fault: "invalid_timestamp",
  })
);

/** A Struct with one member, whose value is written by `write`. */
const struct = (key: string, write: (writer: BinaryWriter) => BinaryWriter): Uint8Array =>
  withField((writer) => {
    const entry = writer.uint32(50).fork().uint32(10).fork().uint32(10).string(key).uint32(18).fork();
    write(entry).join().join().join();
  });
const number = (value: number) => (writer: BinaryWriter) => writer.uint32(17).double(value);
const lists = (levels: number) => (writer: BinaryWriter) => {
  for (let level = 0; level < levels; level++) writer.uint32(50).fork().uint32(10).fork();
  for (let level = 0; level < levels; level++) writer.join().join();
  return writer;
};
const STRUCTS: readonly Malformed[] = [
  ...[NaN, Infinity, -Infinity].flatMap((value) =>
    everywhere(`properties.a = ${value}`, struct("a", number(value)), {
      ...INVALID,
      field: "properties.a",
      fault: "out_of_range",
    })
  ),
  ...everywhere("a key of $", struct("$a", number(1)), {
    ...INVALID,
    field: 'properties["$a"]',
    fault: "invalid_format",
  }),
  ...everywhere("no key", struct("", number(1)), { ...INVALID, field: 'properties[""]', fault: "too_short" }),
  ...everywhere("20 lists", struct("a", lists(20)), {
    ...INVALID,
    field: "properties.a" + "[0]".repeat(7),
    fault: "too_deep",
  }),
  ...everywhere("10,000 lists", struct("a", lists(10_000)), { code: ["invalid_argument", "malformed"] }),
  ...everywhere(
    "100,000 nulls",
    struct("a", (writer) => {
      writer.uint32(50).fork();
      for (let index = 0; index < 100_000; index++) writer.uint32(10).fork().uint32(8).int32(0).join();
      return writer.join();
    }),
    { ...INVALID, field: "properties", fault: "too_long" },
  ),
  ...everywhere("1 MB of text", struct("a", (writer) => writer.uint32(26).string("x".repeat(1_000_000))), {
    ...INVALID,
    field: "properties",
    fault: "too_long",
  }),
  ...everywhere("a member of no field", struct("a", (writer) => writer.uint32(58).string("x")), MALFORMED),
  ...everywhere(
    "a text that is not UTF-8",
    struct("a", (writer) => writer.uint32(26).bytes(new Uint8Array([0xff]))),
    MALFORMED,
  ),
];

const UNKNOWN: readonly Malformed[] = [
  ...[7, 99, 2 ** 29 - 1].flatMap((field) =>
    everywhere(`field ${field}`, withField((writer) => writer.tag(field, WireType.Varint).uint32(1)), {
      ...INVALID,
      field: `field_${field}`,
      fault: "unknown_field",
    })
  ),
  ...everywhere(
    "a field in its timestamp",
    withField((writer) => writer.uint32(42).fork().uint32(24).int32(1).join()),
    {
      ...INVALID,
      field: "timestamp",
    },
  ),
];

const BROKEN: readonly (readonly [string, Uint8Array])[] = [
  ["a tag of field 0", withField((writer) => writer.uint32(0).uint32(1))],
  ["a tag of wire type 7", withField((writer) => writer.uint32(15))],
  ["an end of no group", withField((writer) => writer.uint32(12))],
  ["a group that does not end", withField((writer) => writer.uint32(59))],
  ["a varint of 11 bytes", withField((writer) => writer.raw(new Uint8Array(11).fill(0xff)))],
  ["a length beyond the end", withField((writer) => writer.uint32(10).uint32(1_000))],
  ["a length of 2^32 - 1", withField((writer) => writer.uint32(10).uint32(2 ** 32 - 1))],
  ["a tag without a value", withField((writer) => writer.uint32(10))],
  ["random bytes", new Uint8Array([0xde, 0xad, 0xbe, 0xef, 0x01, 0x02])],
];

const whole = inRequest(encode({ ...GOOD, timestamp: { seconds: 1_700_000_000n, nanos: 5 }, properties: { a: [1] } }));
/** Events that are none, over all ways in. */
export const GRPC_EVENTS: readonly Malformed[] = [
  ...MEMBERS,
  ...["userId", "eventType", "amount"].flatMap((name) => {
    const field = name.replace(/[A-Z]/, (letter) => `_${letter.toLowerCase()}`);
    return everywhere(`no ${field}`, encode({ ...GOOD, [name]: undefined }), { ...INVALID, field, fault: "required" });
  }),
  ...everywhere("nothing", new Uint8Array(), { ...INVALID, field: "amount", fault: "required" }),
  ...WIRE_TYPES,
  ...TEXTS,
  ...TIMESTAMPS,
  ...everywhere("in the year 9999", timestamp(253_402_300_799n, 0), {
    ...INVALID,
    field: "timestamp",
    fault: "too_far_in_future",
  }),
  ...STRUCTS,
  ...UNKNOWN,
  ...BROKEN.flatMap(([name, event]) => everywhere(name, event, MALFORMED)),
  // Cut anywhere but behind its whole end the request is no message.
  ...Array.from(
    { length: whole.length - 1 },
    (_, index) => call(`cut after ${index + 1} bytes`, `${HUB}/Publish`, whole.subarray(0, index + 1), MALFORMED),
  ),
];
