/** Server reflection over real sockets, and that the committed descriptors are those of the protos. */
import "./environment.ts";
import { assert, assertEquals } from "@std/assert";
import { type MethodDefinition, type ServiceError, status as Status } from "@grpc/grpc-js";
import { FILES, IMPORTS, PROTOS_SHA256, SYMBOLS } from "../../../src/gen/descriptors.ts";
import type {
  ServerReflectionRequest,
  ServerReflectionResponse,
} from "../../../src/gen/grpc/reflection/v1/reflection.ts";
import { testConfig } from "../../harness.ts";
import { openServer, reflectionMethods, socketTest, type TestClient } from "./client.ts";

type Question = NonNullable<ServerReflectionRequest["messageRequest"]>;
type Method = MethodDefinition<ServerReflectionRequest, ServerReflectionResponse>;

const V1: Method = reflectionMethods.serverReflectionInfo;
const V1_ALPHA: Method = { ...V1, path: V1.path.replace(".v1.", ".v1alpha.") };

/** Asks everything in one stream. */
async function ask(client: TestClient, questions: Question[], method = V1): Promise<ServerReflectionResponse[]> {
  const call = client.duplex(method);
  for (const messageRequest of questions) call.write({ host: "h", messageRequest });
  call.end();
  const answers: ServerReflectionResponse[] = [];
  for await (const answer of call as AsyncIterable<ServerReflectionResponse>) answers.push(answer);
  return answers;
}

socketTest("reflection: services, files and symbols, under both names of the service", async () => {
  await using server = await openServer();
  for (const method of [V1, V1_ALPHA]) {
    const answers = await ask(server.client, [
      { $case: "listServices", listServices: "" },
      { $case: "fileContainingSymbol", fileContainingSymbol: "eventhub.v1.EventHubService.PublishStream" },
      { $case: "fileByFilename", fileByFilename: "event.proto" },
      { $case: "fileContainingSymbol", fileContainingSymbol: "constructor" },
      { $case: "fileByFilename", fileByFilename: "__proto__" },
      { $case: "allExtensionNumbersOfType", allExtensionNumbersOfType: "event.EventRequest" },
    ], method);
    const [services, file, byName, symbol, name, extensions] = answers.map(({ messageResponse }) => messageResponse);
    assert(services?.$case === "listServicesResponse");
    assertEquals(services.listServicesResponse.service.map((service) => service.name), [
      "event.EventService",
      "eventhub.v1.EventHubService",
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
    ]);
    assert(file?.$case === "fileDescriptorResponse");
    assertEquals(file.fileDescriptorResponse.fileDescriptorProto.length, 4, "the file and its three imports");
    assert(byName?.$case === "fileDescriptorResponse");
    for (const missing of [symbol, name]) {
      assert(missing?.$case === "errorResponse");
      assertEquals(missing.errorResponse.errorCode, Status.NOT_FOUND);
    }
    assert(extensions?.$case === "allExtensionNumbersResponse");
    assertEquals(answers[0]?.originalRequest?.host, "h");
  }
});

socketTest("reflection: every symbol leads to files that hold all their imports", async () => {
  await using server = await openServer();
  const symbols = Object.keys(SYMBOLS);
  const questions = symbols.map((symbol): Question => ({
    $case: "fileContainingSymbol",
    fileContainingSymbol: symbol,
  }));
  const answers = await ask(server.client, questions);
  assertEquals(answers.length, symbols.length);
  assert(answers.every(({ messageResponse }) => messageResponse?.$case === "fileDescriptorResponse"));
  for (const imports of Object.values(IMPORTS)) for (const name of imports) assert(name in FILES, name);
});

socketTest("reflection: it can be turned off", async () => {
  await using server = await openServer({ config: testConfig({ reflection: "off" }) });
  const call = server.client.duplex(V1);
  const ended = new Promise<ServiceError>((resolve) => call.on("error", (error) => resolve(error as ServiceError)));
  call.resume().end();
  assertEquals((await ended).code, Status.UNIMPLEMENTED);
});

const PROTOS = new URL("../../../protos/", import.meta.url);
const mayRead = Deno.permissions.querySync({ name: "read", path: PROTOS }).state === "granted";

Deno.test({
  name: `grpc: src/gen was generated from these protos${mayRead ? "" : " (needs --allow-read: deno task test)"}`,
  ignore: !mayRead,
  fn: async () => {
    const names = Object.keys(FILES).filter((name) => !name.startsWith("google/protobuf/")).sort();
    const texts = await Promise.all(names.map((name) => Deno.readTextFile(new URL(name, PROTOS))));
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(texts.join("\0")));
    assertEquals(new Uint8Array(hash).toHex(), PROTOS_SHA256, "the protos changed: run deno task gen");
  },
});
