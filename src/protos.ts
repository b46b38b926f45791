/** The service definitions as text, part of the program, so that serving them reads no file. */
import prototype from "../protos/event.proto" with { type: "text" };
import hub from "../protos/eventhub/v1/eventhub.proto" with { type: "text" };
import details from "../protos/google/rpc/error_details.proto" with { type: "text" };
import status from "../protos/google/rpc/status.proto" with { type: "text" };
import health from "../protos/grpc/health/v1/health.proto" with { type: "text" };

/** By their path below `/protos/`, as they import each other. */
export const PROTO_FILES: Readonly<Record<string, string>> = {
  "event.proto": prototype,
  "eventhub/v1/eventhub.proto": hub,
  "google/rpc/error_details.proto": details,
  "google/rpc/status.proto": status,
  "grpc/health/v1/health.proto": health,
};
