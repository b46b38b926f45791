/** The schema builder: what resolvers are given, and the scalars. */
import SchemaBuilder from "@pothos/core";
import { Kind, valueFromASTUntyped, type ValueNode } from "graphql";
import type { HubApi } from "../../hub.ts";
import { formatTimestamp } from "../../timestamp.ts";

/** What every resolver is given. */
export interface GraphqlContext {
  readonly hub: HubApi;
  readonly requestId: string;
  /** IANA zone in which times without a zone are read. */
  readonly naiveZone: string;
}

/** The types behind the schema. `DateTime` goes out as milliseconds since the epoch and comes in as it was sent. */
interface SchemaTypes {
  Context: GraphqlContext;
  DefaultFieldNullability: false;
  Scalars: {
    ID: { Input: string; Output: string };
    DateTime: { Input: unknown; Output: number };
    Decimal: { Input: unknown; Output: never };
    JSON: { Input: unknown; Output: unknown };
  };
}

/** Where types and fields are declared. */
export const builder: PothosSchemaTypes.SchemaBuilder<PothosSchemaTypes.ExtendDefaultTypes<SchemaTypes>> =
  new SchemaBuilder<SchemaTypes>({ defaultFieldNullability: false });

// The scalars take whatever was sent and leave the judgement to the hub: it tells all faults of an event at once, and
// a faulty event of a batch then harms no other, as it would if it failed the coercion of the whole argument.

builder.scalarType("DateTime", {
  description: "A time as RFC 3339 text, for example `2025-07-15T12:34:56.789Z`; text without a zone is read in the " +
    "zone the hub is configured with (UTC). It goes out in UTC with three fraction digits.",
  specifiedByURL: "https://www.rfc-editor.org/rfc/rfc3339",
  serialize: (milliseconds) => formatTimestamp(milliseconds as number),
  parseValue: (value) => value,
  parseLiteral: (node, variables) => valueFromASTUntyped(node, variables),
});

builder.scalarType("Decimal", {
  description: 'An exact decimal with at most four fraction digits: a string such as `"12.5"`, or a number. A number ' +
    "written in the query is read digit by digit, so that `0.1` is exactly that.",
  serialize: () => {
    throw new Error("Decimal is an input");
  },
  parseValue: (value) => value,
  parseLiteral: parseDecimalLiteral,
});

builder.scalarType("JSON", {
  description: "Any JSON value.",
  serialize: (value) => value,
  parseValue: (value) => value,
  parseLiteral: (node, variables) => valueFromASTUntyped(node, variables),
});

/** A number as it stands in the query; one with an exponent has no decimal text and goes by its double. */
function parseDecimalLiteral(node: ValueNode, variables?: Record<string, unknown> | null): unknown {
  if (node.kind !== Kind.INT && node.kind !== Kind.FLOAT) return valueFromASTUntyped(node, variables);
  return /[eE]/.test(node.value) ? Number(node.value) : node.value;
}
