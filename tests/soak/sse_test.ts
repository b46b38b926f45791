/** The reader of event streams that the soak runs rely on. */
import { assertEquals } from "@std/assert";
import { SseParser } from "./sse.ts";

Deno.test("SSE: blocks are joined from pieces, comments skipped, an id alone is a message", () => {
  const parser = new SseParser();
  assertEquals(parser.push("id: 1\n\n: comment\n\nevent: ev"), [{ event: "message", id: "1", data: "" }]);
  assertEquals(parser.push('ent\r\nid: 2\r\ndata: {"a":\r\ndata: 1}\r\n'), []);
  assertEquals(parser.push("\r\n"), [{ event: "event", id: "2", data: '{"a":\n1}' }]);
});
