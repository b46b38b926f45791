/** Limits of a query, checked with its validation: depth, aliases and cost. */
import {
  type ASTVisitor,
  type FieldNode,
  GraphQLError,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
  type ValidationContext,
  type ValueNode,
} from "graphql";
import {
  GRAPHQL_ALIASES_MAX,
  GRAPHQL_COST_POINTS_MAX,
  GRAPHQL_DEPTH_LEVELS_MAX,
  GRAPHQL_HEAVY_FIELD_POINTS,
  PAGE_EVENTS_DEFAULT,
  PAGE_EVENTS_MAX,
} from "../../limits.ts";

/** Fields whose size only the data or the variables tell; each counts as `GRAPHQL_HEAVY_FIELD_POINTS`. */
const HEAVY_FIELDS: ReadonlySet<string> = new Set(["aggregates", "publishEvents"]);
/** Fields that list as many objects as an argument says, and how many without it. */
const SIZED_FIELDS: Readonly<Record<string, { readonly argument: string; readonly usual: number }>> = {
  events: { argument: "first", usual: PAGE_EVENTS_DEFAULT },
  lastEvents: { argument: "limit", usual: 5 },
};

/** What a selection comes to, its fragments included as often as they are spread. */
interface Measure {
  /** Levels of fields. */
  readonly depth: number;
  readonly aliases: number;
  /** One for each field, and one for each object that a field of the root may list. */
  readonly cost: number;
}

const NOTHING: Measure = { depth: 0, aliases: 0, cost: 0 };

/**
 * The rule. Introspection counts for aliases alone: whether it is open is another rule's business, and how deep it goes
 * is bounded by graphql-js. The plugins of GraphQL Armor are not used: their cost multiplies by a literal `first`, so
 * that a page of 1,000 would be refused when written out and free when given as a variable.
 */
export function QueryLimitsRule(context: ValidationContext): ASTVisitor {
  const meter = new Meter(context);
  return {
    OperationDefinition(node: OperationDefinitionNode): false {
      const { depth, aliases, cost } = meter.measure(node.selectionSet);
      const report = (what: string, found: number, max: number): void => {
        if (found <= max) return;
        context.reportError(
          new GraphQLError(`The query has ${what} ${found}; at most ${max} is allowed`, { nodes: node }),
        );
      };
      report("a depth of", depth, GRAPHQL_DEPTH_LEVELS_MAX);
      report("a number of aliases of", aliases, GRAPHQL_ALIASES_MAX);
      report("a cost of", cost, GRAPHQL_COST_POINTS_MAX);
      return false;
    },
  };
}

/** Measures selections; each fragment once, however often it is spread. */
class Meter {
  readonly #context: ValidationContext;
  readonly #fragments = new Map<string, Measure>();

  constructor(context: ValidationContext) {
    this.#context = context;
  }

  measure(set: SelectionSetNode): Measure {
    let { depth, aliases, cost } = NOTHING;
    for (const selection of set.selections) {
      const measured = this.#selection(selection);
      depth = Math.max(depth, measured.depth);
      aliases += measured.aliases;
      cost += measured.cost;
    }
    return { depth, aliases, cost };
  }

  #selection(node: SelectionSetNode["selections"][number]): Measure {
    if (node.kind === Kind.FRAGMENT_SPREAD) return this.#fragment(node.name.value);
    if (node.kind === Kind.INLINE_FRAGMENT) return this.measure(node.selectionSet);
    const below = node.selectionSet === undefined ? NOTHING : this.measure(node.selectionSet);
    const aliases = below.aliases + (node.alias === undefined ? 0 : 1);
    if (node.name.value.startsWith("__")) return { depth: 0, aliases, cost: 0 };
    return { depth: below.depth + 1, aliases, cost: below.cost + 1 + objectsOf(node) };
  }

  #fragment(name: string): Measure {
    const known = this.#fragments.get(name);
    if (known !== undefined) return known;
    // Stands while the fragment is measured, so that a cycle ends; another rule refuses it.
    this.#fragments.set(name, NOTHING);
    const fragment = this.#context.getFragment(name);
    const measured = fragment === null || fragment === undefined ? NOTHING : this.measure(fragment.selectionSet);
    this.#fragments.set(name, measured);
    return measured;
  }
}

function objectsOf(node: FieldNode): number {
  const name = node.name.value;
  if (HEAVY_FIELDS.has(name)) return GRAPHQL_HEAVY_FIELD_POINTS;
  const sized = Object.hasOwn(SIZED_FIELDS, name) ? SIZED_FIELDS[name]! : null;
  if (sized === null) return 0;
  const argument = node.arguments?.find((each) => each.name.value === sized.argument);
  return argument === undefined ? sized.usual : sizeOf(argument.value);
}

/** A variable counts as the largest page: its value is not known when the query is validated, once for all values. */
function sizeOf(value: ValueNode): number {
  return value.kind === Kind.INT ? Math.min(Number(value.value), PAGE_EVENTS_MAX) : PAGE_EVENTS_MAX;
}
