/**
 * Generates src/gen from the .proto files: `deno task gen`. The output is committed, so that nothing but a change of the
 * protos needs it. buf and ts-proto come from npm, pinned; buf 1.75 lacks a platform package.
 */
import { fromBinary, toBinary } from "npm:@bufbuild/protobuf@2.17.0";
import {
  type DescriptorProto,
  FieldDescriptorProto_Type as Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "npm:@bufbuild/protobuf@2.17.0/wkt";

const FOLDER = new URL("./", import.meta.url);
const OUTPUT = new URL("../src/gen/", FOLDER);
const BUF = ["run", "--allow-all", "--no-config", "--quiet", "npm:@bufbuild/buf@1.74.0/buf"];

/** Runs buf; the plugin of buf.gen.yaml calls `deno`, which need not be on the PATH. */
async function buf(...args: string[]): Promise<void> {
  const deno = Deno.execPath();
  const path = `${deno.slice(0, deno.lastIndexOf("/"))}:${Deno.env.get("PATH") ?? ""}`;
  const { success } = await new Deno.Command(deno, { args: [...BUF, ...args], cwd: FOLDER, env: { PATH: path } })
    .spawn()
    .status;
  if (!success) throw new Error(`buf ${args[0]} failed`);
}

/** Files with all they import, without comments, in an order where imports come first. */
async function describe(): Promise<FileDescriptorProto[]> {
  const path = await Deno.makeTempFile({ suffix: ".binpb" });
  try {
    await buf("build", "--as-file-descriptor-set", "--exclude-source-info", "-o", path);
    return fromBinary(FileDescriptorSetSchema, await Deno.readFile(path)).file;
  } finally {
    await Deno.remove(path);
  }
}

function* messagesOf(file: FileDescriptorProto): Generator<[name: string, message: DescriptorProto]> {
  function* below(scope: string, messages: DescriptorProto[]): Generator<[string, DescriptorProto]> {
    for (const message of messages) {
      const name = `${scope}.${message.name}`;
      yield [name, message];
      yield* below(name, message.nestedType);
    }
  }
  yield* below(file.package, file.messageType);
}

/** Full names of what clients may ask reflection for: services, methods, messages and enums, each with its file. */
function symbolsOf(files: FileDescriptorProto[]): Record<string, string> {
  const symbols: Record<string, string> = {};
  for (const file of files) {
    for (const service of file.service) {
      const name = `${file.package}.${service.name}`;
      symbols[name] = file.name;
      for (const method of service.method) symbols[`${name}.${method.name}`] = file.name;
    }
    for (const [name, message] of messagesOf(file)) {
      symbols[name] = file.name;
      for (const nested of message.enumType) symbols[`${name}.${nested.name}`] = file.name;
    }
    for (const enumeration of file.enumType) symbols[`${file.package}.${enumeration.name}`] = file.name;
  }
  return symbols;
}

/** The wire type of a field: 0 varint, 1 eight bytes, 2 bytes of a length, 5 four bytes. */
function wireTypeOf(type: Type): number {
  switch (type) {
    case Type.DOUBLE:
    case Type.FIXED64:
    case Type.SFIXED64:
      return 1;
    case Type.STRING:
    case Type.BYTES:
    case Type.MESSAGE:
      return 2;
    case Type.FLOAT:
    case Type.FIXED32:
    case Type.SFIXED32:
      return 5;
    case Type.GROUP:
      throw new Error("Groups are not supported");
    default:
      return 0;
  }
}

type Fields = Record<number, { name: string; wire: number; text?: true; message?: string; repeated?: true }>;

/** What a reader of bytes must know of each message. */
function fieldsOf(files: FileDescriptorProto[]): Record<string, Fields> {
  const all: Record<string, Fields> = {};
  for (const file of files) {
    for (const [name, message] of messagesOf(file)) {
      const fields: Fields = {};
      for (const field of message.field) {
        fields[field.number] = {
          name: field.name,
          wire: wireTypeOf(field.type),
          ...(field.type === Type.STRING ? { text: true } : {}),
          ...(field.type === Type.MESSAGE ? { message: field.typeName.slice(1) } : {}),
          ...(field.label === 3 ? { repeated: true } : {}),
        };
      }
      all[name] = fields;
    }
  }
  return all;
}

/** SHA-256 over the protos, so that a test notices when they changed and this was not run. */
async function digest(names: string[]): Promise<string> {
  const texts = await Promise.all(
    names.filter((name) => !name.startsWith("google/protobuf/")).sort().map((name) =>
      Deno.readTextFile(new URL(name, FOLDER))
    ),
  );
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(texts.join("\0")));
  return new Uint8Array(hash).toHex();
}

const json = (value: unknown) => JSON.stringify(value, null, 2);

await buf("lint");
await Deno.remove(OUTPUT, { recursive: true });
await buf("generate");
const files = await describe();
const bytes = Object.fromEntries(
  files.map((file) => [file.name, toBinary(FileDescriptorProtoSchema, file).toBase64()]),
);
const imports = Object.fromEntries(files.map((file) => [file.name, file.dependency]));
await Deno.writeTextFile(
  new URL("descriptors.ts", OUTPUT),
  `// Code generated by protos/generate.ts. DO NOT EDIT.

/** Serialised google.protobuf.FileDescriptorProto messages in base64, by file name. */
export const FILES: Readonly<Record<string, string>> = ${json(bytes)};

/** What each file imports. */
export const IMPORTS: Readonly<Record<string, readonly string[]>> = ${json(imports)};

/** The file that declares a service, method, message or enum, by its full name. */
export const SYMBOLS: Readonly<Record<string, string>> = ${json(symbolsOf(files))};

/** A field as its bytes show it. */
export interface WireField {
  readonly name: string;
  /** 0 varint, 1 eight bytes, 2 bytes of a length, 5 four bytes. */
  readonly wire: number;
  readonly text?: true;
  /** Full name of the message it holds. */
  readonly message?: string;
  readonly repeated?: true;
}

/** The fields of each message by number. */
export const FIELDS: Readonly<Record<string, Readonly<Record<number, WireField>>>> = ${json(fieldsOf(files))};

/** SHA-256 of the protos this was made from. */
export const PROTOS_SHA256 = "${await digest(Object.keys(bytes))}";
`,
);
