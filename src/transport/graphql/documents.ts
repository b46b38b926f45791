/** Queries from text to what can be executed: parsed, validated, and kept when they are likely to come again. */
import {
  type ASTNode,
  type DocumentNode,
  GraphQLError,
  Kind,
  NoSchemaIntrospectionCustomRule,
  parse,
  specifiedRules,
  validate,
  type ValidationRule,
  type ValueNode,
  visit,
} from "graphql";
import type { FieldError, FieldErrorCode } from "../../errors.ts";
import {
  GRAPHQL_CACHED_DOCUMENT_CHARACTERS_MAX,
  GRAPHQL_CACHED_DOCUMENTS_MAX,
  GRAPHQL_FAULTS_MAX,
  GRAPHQL_TOKENS_MAX,
} from "../../limits.ts";
import { CODES, shorten } from "./errors.ts";
import { QueryLimitsRule } from "./query_limits.ts";
import { schema } from "./schema.ts";

/** Parses and validates against the schema, within the limits of a query. */
export class Documents {
  readonly #rules: readonly ValidationRule[];
  /** By their text, the one used last at the end. */
  readonly #parsed = new Map<string, DocumentNode>();
  readonly #faults = new WeakMap<DocumentNode, readonly GraphQLError[]>();

  /** `introspection`: whether clients may ask for the schema. */
  constructor(options: { introspection: boolean }) {
    this.#rules = [
      QueryLimitsRule,
      ...specifiedRules,
      ...(options.introspection ? [] : [NoSchemaIntrospectionCustomRule]),
    ];
  }

  /** Parses a query; throws `GraphQLError` when it is not one or has too many tokens. */
  parse(text: string): DocumentNode {
    const known = this.#parsed.get(text);
    if (known !== undefined) {
      this.#parsed.delete(text);
      this.#parsed.set(text, known);
      return known;
    }
    const document = parsed(text);
    if (text.length <= GRAPHQL_CACHED_DOCUMENT_CHARACTERS_MAX) this.#keep(text, document);
    return document;
  }

  /** Everything that is wrong with a document, up to a bound; none when it can be executed. */
  validate(document: DocumentNode): readonly GraphQLError[] {
    let faults = this.#faults.get(document);
    if (faults === undefined) {
      faults = validate(schema, document, this.#rules, { maxErrors: GRAPHQL_FAULTS_MAX, hideSuggestions: true })
        .map((fault) => withPlace(fault, document));
      this.#faults.set(document, faults);
    }
    return faults;
  }

  #keep(text: string, document: DocumentNode): void {
    this.#parsed.set(text, document);
    if (this.#parsed.size <= GRAPHQL_CACHED_DOCUMENTS_MAX) return;
    const [oldest] = this.#parsed.keys();
    this.#parsed.delete(oldest!);
  }
}

function parsed(text: string): DocumentNode {
  try {
    return parse(text, { maxTokens: GRAPHQL_TOKENS_MAX });
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;
    const { message, source, positions } = error;
    throw new GraphQLError(shorten(message), { source, positions, extensions: { code: CODES.malformed } });
  }
}

/** Adds in `extensions.errors` which argument is at fault, when one is. */
function withPlace(fault: GraphQLError, document: DocumentNode): GraphQLError {
  const [node] = fault.nodes ?? [];
  const found = node === undefined ? null : findArgument(document, node);
  const { nodes, source, positions } = fault;
  const message = shorten(fault.message);
  const error: FieldError | null = found && { ...found, code: FAULTS[node!.kind] ?? "invalid_type", detail: message };
  const extensions = { code: CODES.invalid_argument, ...(error === null ? {} : { errors: [error] }) };
  return new GraphQLError(message, { nodes, source, positions, extensions });
}

/** What a fault at a node of an argument is; at any other it is a value of the wrong type. */
const FAULTS: Readonly<Partial<Record<Kind, FieldErrorCode>>> = {
  [Kind.OBJECT_FIELD]: "unknown_field",
  [Kind.ARGUMENT]: "unknown_parameter",
};

function findArgument(document: DocumentNode, target: ASTNode): { parameter: string; pointer?: string } | null {
  let found: { parameter: string; pointer?: string } | null = null;
  visit(document, {
    Argument(argument) {
      const pointer = argument === target ? "" : placeIn(argument.value, target);
      if (pointer !== null) found ??= { parameter: argument.name.value, ...(pointer === "" ? {} : { pointer }) };
      return false;
    },
  });
  return found;
}

/** JSON pointer of a node in a value; `null` when it is not there. */
function placeIn(value: ValueNode, target: ASTNode): string | null {
  if (value === target) return "";
  if (value.kind === Kind.LIST) {
    for (const [index, item] of value.values.entries()) {
      const place = placeIn(item, target);
      if (place !== null) return `/${index}${place}`;
    }
  }
  if (value.kind === Kind.OBJECT) {
    for (const field of value.fields) {
      const place = field === target ? "" : placeIn(field.value, target);
      if (place !== null) return `/${field.name.value}${place}`;
    }
  }
  return null;
}
