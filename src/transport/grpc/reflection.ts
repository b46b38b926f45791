/**
 * grpc.reflection.v1.ServerReflection, also under its old name v1alpha, whose messages are the same. It answers from the
 * descriptors generated with the code; the package @grpc/reflection would read files while it runs.
 */
import { type Server, status as Status } from "@grpc/grpc-js";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { FILES, IMPORTS, SYMBOLS } from "../../gen/descriptors.ts";
import * as v1 from "../../gen/grpc/reflection/v1/reflection.ts";
import { addDuplexStream, type Services } from "./calls.ts";
import { type Decoded, strictly } from "./decode.ts";
import { HubError } from "../../errors.ts";
import { frames, type Outlet } from "./outlet.ts";

type Request = v1.ServerReflectionRequest;
type Answer = v1.ServerReflectionResponse["messageResponse"];

const readRequest = strictly("grpc.reflection.v1.ServerReflectionRequest", v1.ServerReflectionRequest);
const { path } = v1.ServerReflectionService.serverReflectionInfo;

/** Adds the method under both names. `services` are the full names to list. */
export function addReflection(
  server: Server,
  options: Pick<Services, "calls" | "timing"> & {
    readonly services: readonly string[];
  },
): void {
  for (const name of [path, path.replace(".v1.", ".v1alpha.")]) {
    addDuplexStream(server, {
      timing: options.timing,
      path: name,
      decode: readRequest,
      handle: (call, outlet) => void converse(call, { ...options, outlet }),
    });
  }
}

/** Answers one question after the other; the next is read when the answer of the last was taken. */
async function converse(
  call: ServerDuplexStream<Decoded<Request>, never>,
  options: Pick<Services, "calls" | "timing"> & { services: readonly string[]; outlet: Outlet },
): Promise<void> {
  const { outlet, services, calls } = options;
  try {
    calls.addStream(outlet, () => outlet.fail(new HubError("unavailable", "The hub is shutting down")));
    outlet.open();
    // The usual iterator would destroy the call at its end, and the status with it: clients would wait for it in vain.
    const requests: AsyncIterable<Decoded<Request>> = call.iterator({ destroyOnReturn: false });
    for await (const decoded of requests) {
      if (!decoded.ok) throw decoded.error;
      const { message: originalRequest } = decoded;
      const messageResponse = answer(originalRequest, services);
      const response = { validHost: originalRequest.host, originalRequest, messageResponse };
      const bytes = frames([v1.ServerReflectionResponse.encode(response).finish()]);
      const written = await outlet.write(bytes);
      if (written === "interrupted") throw new HubError("slow_consumer", "The answers were not read for too long");
    }
    outlet.end();
  } catch (error) {
    outlet.fail(error);
  }
}

function answer({ messageRequest: question }: Request, services: readonly string[]): Answer {
  switch (question?.$case) {
    case "listServices":
      return { $case: "listServicesResponse", listServicesResponse: { service: services.map((name) => ({ name })) } };
    case "fileByFilename":
      return files(question.fileByFilename);
    case "fileContainingSymbol":
      return files(SYMBOLS[question.fileContainingSymbol]);
    case "fileContainingExtension":
      return missing("There are no extensions");
    case "allExtensionNumbersOfType": {
      const baseTypeName = question.allExtensionNumbersOfType;
      if (!Object.hasOwn(SYMBOLS, baseTypeName)) return missing("There is no such type");
      return {
        $case: "allExtensionNumbersResponse",
        allExtensionNumbersResponse: { baseTypeName, extensionNumber: [] },
      };
    }
    default: {
      const errorResponse = { errorCode: Status.INVALID_ARGUMENT, errorMessage: "The request asks nothing" };
      return { $case: "errorResponse", errorResponse };
    }
  }
}

/** A file and everything it imports, each once. */
function files(name: string | undefined): Answer {
  if (name === undefined || !Object.hasOwn(FILES, name)) return missing("There is no such file or symbol");
  const names = new Set([name]);
  // A set that grows while it is walked is walked to its new end.
  for (const each of names) for (const imported of IMPORTS[each] ?? []) names.add(imported);
  const fileDescriptorProto = [...names].map((each) => Buffer.from(FILES[each]!, "base64"));
  return { $case: "fileDescriptorResponse", fileDescriptorResponse: { fileDescriptorProto } };
}

function missing(errorMessage: string): Answer {
  return { $case: "errorResponse", errorResponse: { errorCode: Status.NOT_FOUND, errorMessage } };
}
