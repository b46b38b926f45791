/** gRPC clients that come and go. More than a hundred calls on a connection is what once ended the whole process. */
import { soakCase } from "./soak_case.ts";

soakCase("the hub survives gRPC clients that close normally or break off", {
  run: async () => (await import("./grpc_churn.ts")).runChurn({ clients: 24, callsMax: 250, concurrency: 6 }),
});
