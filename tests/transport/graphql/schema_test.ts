/** The schema: its committed text, what the prototype's clients ask for, and descriptions for everybody else. */
import { assert, assertEquals } from "@std/assert";
import type { GraphQLObjectType } from "graphql";
import committed from "../../../src/transport/graphql/schema.graphql" with { type: "text" };
import { graphqlTest } from "./harness.ts";

graphqlTest("schema.graphql is the schema as it is built (deno task gen writes it)", async () => {
  const { sdl } = await import("../../../src/transport/graphql/schema.ts");
  assertEquals(committed, sdl);
});

graphqlTest("the prototype's fields have its types and defaults", async () => {
  const { schema } = await import("../../../src/transport/graphql/schema.ts");
  const fieldsOf = (type: string): Record<string, string> => {
    const fields = Object.values((schema.getType(type) as GraphQLObjectType).getFields());
    return Object.fromEntries(fields.map(({ name, args, type }) => {
      const list = args.map((each) => `${each.name}: ${each.type} = ${each.defaultValue}`).join(", ");
      return [name, (list === "" ? "" : `(${list}): `) + type];
    }));
  };
  const query = fieldsOf("Query");
  assertEquals(query.lastEvents, "(limit: Int! = 5): [Event!]!");
  assertEquals(query.aggregatedMetrics, "(minutes: Int! = 1): AggregatedMetric!");
  const { id, userId, eventType, amount, timestamp } = fieldsOf("Event");
  assertEquals([id, userId, eventType, amount, timestamp], ["String!", "String!", "String!", "Float!", "DateTime!"]);
  assertEquals(fieldsOf("AggregatedMetric"), { totalAmount: "Float!", eventCount: "Int!", timeWindow: "String!" });
  assert(fieldsOf("Subscription").eventStream?.endsWith("): Event!"));
});

graphqlTest("every type, field, argument and value worth one has a description", async () => {
  const { schema } = await import("../../../src/transport/graphql/schema.ts");
  const { isEnumType, isInputObjectType, isObjectType } = await import("graphql");
  const missing: string[] = [];
  const look = (name: string, described: { description?: string | null }): void => {
    if (!described.description) missing.push(name);
  };
  for (const [name, type] of Object.entries(schema.getTypeMap())) {
    if (name.startsWith("__") || ["String", "Int", "Float", "Boolean", "ID"].includes(name)) continue;
    look(name, type);
    if (isInputObjectType(type)) {
      for (const field of Object.values(type.getFields())) look(`${name}.${field.name}`, field);
    }
    if (isObjectType(type)) {
      for (const field of Object.values(type.getFields())) {
        look(`${name}.${field.name}`, field);
        for (const argument of field.args) look(`${name}.${field.name}(${argument.name})`, argument);
      }
    }
    if (isEnumType(type) && name !== "Window") {
      for (const value of type.getValues()) look(`${name}.${value.name}`, value);
    }
  }
  assertEquals(missing, []);
});
