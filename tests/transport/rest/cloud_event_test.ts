/** CloudEvents in: structured, binary and batch. */
import { assertEquals } from "@std/assert";
import { CloudEvent, HTTP } from "cloudevents";
import { assertProblem, assertShape, faults, openRest } from "./rest_harness.ts";

const TYPE = "application/cloudevents+json";
const BATCH_TYPE = "application/cloudevents-batch+json";
const CLOUD_EVENT = {
  specversion: "1.0",
  id: "ce-1",
  source: "/shops/7",
  type: "purchase",
  subject: "u1",
  time: "2025-07-15T12:34:00Z",
  data: { amount: 12.5, properties: { sku: "A" } },
};
const STORED = {
  id: "ce-1",
  user_id: "u1",
  event_type: "purchase",
  amount: 12.5,
  timestamp: "2025-07-15T12:34:00.000Z",
  properties: { sku: "A", ce: { source: "/shops/7" } },
};

Deno.test("rest cloudevents: the structured mode is mapped, extensions go to properties.ce", async () => {
  await using test = openRest();
  const body = { ...CLOUD_EVENT, traceparent: "00-1", sequence: 7, sampled: true, dataschema: "https://x", gone: null };
  const answered = await test.ask("/events", { body, type: TYPE });
  assertEquals(answered.json, { status: "success", id: "ce-1", duplicate: false });
  assertEquals((await test.ask("/events/ce-1")).json, {
    ...STORED,
    properties: {
      sku: "A",
      ce: { source: "/shops/7", dataschema: "https://x", traceparent: "00-1", sequence: 7, sampled: true },
    },
  });
  const upper = `${TYPE.toUpperCase()}; charset=UTF-8`;
  assertEquals((await test.ask("/events", { body, type: upper })).json.duplicate, true);
});

Deno.test("rest cloudevents: data.user_id is the user, and the subject is kept", async () => {
  await using test = openRest();
  const body = { ...CLOUD_EVENT, data: { amount: "1.5", user_id: "u2" } };
  await test.ask("/events", { body, type: TYPE });
  const { json } = await test.ask("/events/ce-1");
  assertEquals([json.user_id, json.properties], ["u2", { ce: { source: "/shops/7", subject: "u1" } }]);
});

Deno.test("rest cloudevents: messages of the SDK are taken in both modes", async () => {
  await using test = openRest();
  const event = new CloudEvent({ ...CLOUD_EVENT, datacontenttype: "application/json" });
  for (const message of [HTTP.structured(event), HTTP.binary(event)]) {
    const headers = { ...message.headers } as Record<string, string>;
    const type = headers["content-type"]!;
    delete headers["content-type"];
    const answered = await test.ask("/events", { body: message.body, headers, type });
    assertEquals(answered.json?.id, "ce-1", answered.text);
  }
  assertEquals((await test.ask("/events")).json.events, [STORED]);
});

Deno.test("rest cloudevents: attributes in headers are percent-decoded as UTF-8", async () => {
  await using test = openRest();
  const headers = {
    "ce-specversion": "1.0",
    "ce-id": "ce-1",
    "ce-source": "%2Fshops%2F7",
    "ce-type": "purchase",
    "ce-subject": '"Zo%C3%AB 100%25 %zz"',
    "ce-time": "2025-07-15T12:34:00Z",
  };
  const answered = await test.ask("/events", { body: { amount: 1 }, headers });
  assertEquals(answered.status, 200, answered.text);
  const { json } = await test.ask("/events/ce-1");
  assertEquals([json.user_id, json.properties], ["Zoë 100% %zz", { ce: { source: "/shops/7" } }]);
  const bad = await test.ask("/events", { body: { amount: 1 }, headers: { ...headers, "ce-subject": "%FF" } });
  assertProblem(bad, 400, "malformed");
});

Deno.test("rest cloudevents: what is required is checked as it was sent", async () => {
  await using test = openRest();
  const cases: [Record<string, unknown>, string[]][] = [
    [{ specversion: undefined }, ["/specversion required"]],
    [{ specversion: "0.3" }, ["/specversion invalid_value"]],
    [{ specversion: 1.0 }, ["/specversion invalid_value"]],
    [{ id: undefined }, ["/id required"]],
    [{ id: null }, ["/id required"]],
    [{ id: "" }, ["/id too_short"]],
    [{ id: 1 }, ["/id invalid_type"]],
    [{ source: undefined }, ["/source required"]],
    [{ source: "" }, ["/source invalid_format"]],
    [{ source: "a b" }, ["/source invalid_format"]],
    [{ source: 5 }, ["/source invalid_type"]],
    [{ type: undefined }, ["/type required"]],
    [{ type: "com.example/x" }, ["/type invalid_format"]],
    [{ subject: undefined }, ["/subject required"]],
    [{ subject: 5 }, ["/subject invalid_type"]],
    [{ time: "yesterday" }, ["/time invalid_timestamp"]],
    [{ datacontenttype: "text/xml" }, ["/datacontenttype invalid_value"]],
    [{ data: undefined }, ["/data/amount required"]],
    [{ data: "text" }, ["/data invalid_type", "/data/amount required"]],
    [{ data: undefined, data_base64: "e30=" }, ["/data/amount required", "/data_base64 unknown_field"]],
    [{ data: { amount: 1, currency: "EUR" } }, ["/data/currency unknown_field"]],
    [{ data: { amount: 1, user_id: "" } }, ["/data/user_id too_short"]],
    [{ data: { amount: 1, properties: { ce: 1 } } }, ["/data/properties/ce invalid_value"]],
    [{ data: { amount: 1, properties: [] } }, ["/data/properties invalid_type"]],
    [{ data: { amount: 1, properties: { $a: 1 } } }, ["/data/properties/$a invalid_format"]],
    [{ my_extension: 1 }, ["/my_extension unknown_field"]],
    [{ object: {} }, ["/object invalid_type"]],
    [{ fraction: 1.5 }, ["/fraction invalid_type"]],
    [{ specversion: "2", id: null, type: "9", time: "x", data: { amount: "x", a: 1 } }, [
      "/data/a unknown_field",
      "/data/amount invalid_format",
      "/id required",
      "/specversion invalid_value",
      "/time invalid_timestamp",
      "/type invalid_format",
    ]],
  ];
  for (const [change, expected] of cases) {
    const answered = await test.ask("/events", { body: { ...CLOUD_EVENT, ...change }, type: TYPE });
    assertProblem(answered, 422, "invalid_argument");
    assertEquals(faults(answered), expected, JSON.stringify(change));
  }
  for (const body of ["null", "[]", "5"]) {
    const answered = await test.ask("/events", { body, type: TYPE });
    assertEquals(faults(answered), [" invalid_type"]);
  }
  assertEquals((await test.ask("/events")).json.events, []);
});

Deno.test("rest cloudevents: faults of the binary mode name headers", async () => {
  await using test = openRest();
  const headers = { "ce-id": "ce-1", "ce-type": "9", "ce-source": "/s", "ce-time": "x" };
  const answered = await test.ask("/events", { body: { amount: "x", b: 1 }, headers });
  assertProblem(answered, 422, "invalid_argument");
  assertEquals(faults(answered), [
    "/amount invalid_format",
    "/b unknown_field",
    "ce-specversion required",
    "ce-subject required",
    "ce-time invalid_timestamp",
    "ce-type invalid_format",
  ]);
});

Deno.test("rest cloudevents: a conflict and the Idempotency-Key work as for other events", async () => {
  await using test = openRest();
  await test.ask("/events", { body: CLOUD_EVENT, type: TYPE });
  const conflict = await test.ask("/events", { body: { ...CLOUD_EVENT, source: "/other" }, type: TYPE });
  assertProblem(conflict, 409, "conflict");
  assertEquals(faults(conflict), ["/id mismatch"]);
  const key = { "idempotency-key": "other" };
  const mismatch = await test.ask("/events", { body: CLOUD_EVENT, type: TYPE, headers: key });
  assertEquals(faults(mismatch), ["Idempotency-Key mismatch"]);
});

Deno.test("rest cloudevents: a batch gives each its result, with the places of the CloudEvent", async () => {
  await using test = openRest();
  const body = [
    CLOUD_EVENT,
    { ...CLOUD_EVENT, id: "ce-2", type: "9" },
    { ...CLOUD_EVENT, id: "ce-3", source: undefined, data: { amount: "x" } },
    5,
    { ...CLOUD_EVENT, id: "ce-4" },
  ];
  const answered = await test.ask("/events/batch", { body, type: BATCH_TYPE });
  assertEquals(answered.status, 207);
  assertShape("BatchResults", answered.json);
  const results = answered.json.results.map((
    { id, status, errors = [] }: { id: string; status: string; errors?: { pointer: string }[] },
  ) => [id, status, ...errors.map(({ pointer }) => pointer)]);
  assertEquals(results, [
    ["ce-1", "stored"],
    ["ce-2", "invalid", "/type"],
    ["ce-3", "invalid", "/source", "/data/amount"],
    [null, "invalid", ""],
    ["ce-4", "stored"],
  ]);
  assertProblem(await test.ask("/events/batch", { body: CLOUD_EVENT, type: BATCH_TYPE }), 422, "invalid_argument");
});
