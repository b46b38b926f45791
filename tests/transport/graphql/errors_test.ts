/** Errors: every code of the hub, and nothing of what is none of the client's business. */
import { assert, assertEquals } from "@std/assert";
import { configure, type LogRecord, reset } from "@logtape/logtape";
import { type ErrorCode, HubError } from "../../../src/errors.ts";
import type { HubApi } from "../../../src/hub.ts";
import { graphqlTest, open } from "./harness.ts";

/** The same hub with some methods replaced. */
function replaced(methods: Partial<HubApi>): (hub: HubApi) => HubApi {
  return (hub) =>
    new Proxy(hub, {
      get: (target, name) => {
        const found: unknown = Reflect.get(methods, name) ?? Reflect.get(target, name);
        return typeof found === "function" ? found.bind(target) : found;
      },
    });
}

const rejecting = (error: unknown) => () => Promise.reject(error);

/** Section 6 of the contract. */
const CODES: Partial<Record<ErrorCode, string>> = {
  invalid_argument: "BAD_USER_INPUT",
  malformed: "BAD_REQUEST",
  conflict: "CONFLICT",
  invalid_cursor: "BAD_USER_INPUT",
  range_too_large: "BAD_USER_INPUT",
  cursor_reset: "CURSOR_RESET",
  slow_consumer: "SLOW_CONSUMER",
  unauthenticated: "UNAUTHENTICATED",
  permission_denied: "FORBIDDEN",
  rate_limited: "RATE_LIMITED",
  overloaded: "UNAVAILABLE",
  unavailable: "UNAVAILABLE",
  deadline_exceeded: "TIMEOUT",
  internal: "INTERNAL_SERVER_ERROR",
};

graphqlTest("each code of the hub has its extensions.code, and says when to try again", async () => {
  for (const [code, expected] of Object.entries(CODES)) {
    const error = new HubError(code as ErrorCode, "said the hub", { id: "given", cursor: "there" });
    await using hub = await open({ wrapHub: replaced({ aggregatedMetrics: rejecting(error) }) });
    const { status, data, errors } = await hub.ask("{ aggregatedMetrics { eventCount } }");
    assertEquals([status, data, errors.length], [200, null, 1]);
    const { extensions, message, path } = errors[0]!;
    assertEquals(extensions.code, expected);
    assertEquals([message, path], ["said the hub", ["aggregatedMetrics"]]);
    assertEquals([extensions.id, extensions.cursor], ["given", "there"]);
    assertEquals(extensions.retryAfter, error.retryable ? 1 : undefined);
  }
});

graphqlTest("an event that is not there is null, in a list of many fields too", async () => {
  await using hub = await open({ wrapHub: replaced({ get: rejecting(new HubError("not_found", "none")) }) });
  assertEquals((await hub.ask(`{ event(id: "a") { id } streamHead }`)).data.event, null);
});

graphqlTest("a store that cannot be reached is an error, not zeros", async () => {
  const down = new HubError("unavailable", "The store cannot be reached");
  await using hub = await open({
    wrapHub: replaced({ aggregatedMetrics: rejecting(down), list: rejecting(down), aggregates: rejecting(down) }),
  });
  for (const field of ["aggregatedMetrics { eventCount totalAmount }", "lastEvents { id }", "aggregates { count }"]) {
    const { data, errors } = await hub.ask(`{ ${field} }`);
    assertEquals([data, errors[0]?.extensions.code, errors[0]?.extensions.retryAfter], [null, "UNAVAILABLE", 1]);
  }
});

graphqlTest("what the hub did not expect is masked, and logged once with its cause and the request's id", async () => {
  const records: LogRecord[] = [];
  await configure({
    sinks: { memory: (record) => records.push(record) },
    loggers: [
      { category: ["eventhub"], sinks: ["memory"], lowestLevel: "debug" },
      { category: ["logtape", "meta"], lowestLevel: "fatal" },
    ],
  });
  try {
    const secret = new TypeError("password of the store: hunter2");
    await using hub = await open({
      wrapHub: replaced({ aggregatedMetrics: rejecting(secret), publish: rejecting(secret) }),
    });
    const headers = { "x-request-id": "r-1" };
    const asked = [
      await hub.ask("{ aggregatedMetrics { eventCount } }", { headers }),
      await hub.ask("mutation { publishEvent(input: {}) { id } }", { headers }),
    ];
    for (const answer of asked) {
      assertEquals(answer.errors[0]?.extensions.code, "INTERNAL_SERVER_ERROR");
      assertEquals(answer.errors[0]?.extensions.requestId, "r-1");
      assert(!JSON.stringify(answer.errors).includes("hunter2"));
      assert(!JSON.stringify(answer.errors).includes("stack"));
    }
    assertEquals(records.map(({ properties }) => [properties.request_id, properties.cause, properties.path]), [
      ["r-1", secret, "aggregatedMetrics"],
      ["r-1", secret, "publishEvent"],
    ]);
  } finally {
    await reset();
  }
});

graphqlTest("what one field could not get does not hide the others", async () => {
  const down = new HubError("unavailable", "down");
  await using hub = await open({ wrapHub: replaced({ get: rejecting(down) }) });
  const { data, errors } = await hub.ask(`{ event(id: "a") { id } lastEvents { id } }`);
  assertEquals(data, { event: null, lastEvents: [] });
  assertEquals(errors.map((error) => error.path), [["event"]]);
});
