/** The Redis stream under the suite of its port. */
import { redisMissing } from "../services/redis.ts";
import { STREAM_CASES, testEventStream } from "./conformance.ts";
import { openRedis } from "./redis.ts";

const missing: [string, string][] = STREAM_CASES.map(({ name }) => [name, redisMissing ?? ""]);

testEventStream("redis", {
  open: openRedis,
  deviations: redisMissing === null ? {} : Object.fromEntries(missing),
});
