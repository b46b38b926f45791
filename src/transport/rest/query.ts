/** Query parameters: declared once, as what reads them and what documents them. */
import type { FieldError, FieldErrorCode } from "../../errors.ts";
import { FIELD_ERRORS_MAX } from "../../limits.ts";
import { refused } from "../../outcome.ts";

/** Characters of an unknown name that an error repeats. */
const SHOWN_NAME_CHARACTERS = 64;

/** The value of a parameter, or what is wrong with it. */
export type Reading<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly code: FieldErrorCode; readonly detail: string };

/** A JSON Schema, for the documentation. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** One query parameter. `read` gets all its values, at least one. */
export interface Parameter<T> {
  readonly description: string;
  readonly schema: JsonSchema;
  read(values: readonly string[]): Reading<T>;
}

/** Parameters by name. */
export type Parameters = Readonly<Record<string, Parameter<unknown>>>;

/** What was read, by name; `undefined` where the parameter is missing. */
export type Values<P extends Parameters> = {
  readonly [Name in keyof P]: P[Name] extends Parameter<infer T> ? T | undefined : never;
};

/** A parameter that may be given once. */
export function once<T>(
  description: string,
  schema: JsonSchema,
  read: (text: string) => Reading<T>,
): Parameter<T> {
  return {
    description,
    schema,
    read: (values) =>
      values.length === 1
        ? read(values[0]!)
        : { ok: false, code: "invalid_value", detail: `must be given once, not ${values.length} times` },
  };
}

/** A parameter that may be repeated; every value must be right. */
export function repeated<T>(
  description: string,
  items: JsonSchema,
  read: (text: string) => Reading<T>,
): Parameter<readonly T[]> {
  return {
    description,
    schema: { type: "array", items },
    read: (values) => {
      const all: T[] = [];
      for (const value of values) {
        const reading = read(value);
        if (!reading.ok) return reading;
        all.push(reading.value);
      }
      return { ok: true, value: all };
    },
  };
}

/**
 * Reads a query string. Throws `invalid_argument` with everything that is wrong: unknown names, faulty values, and what
 * `check` finds in those that could be read.
 */
export function readQuery<P extends Parameters>(
  query: string,
  parameters: P,
  check: (values: Values<P>) => readonly FieldError[] = () => [],
): Values<P> {
  const values: Record<string, unknown> = {};
  const errors: FieldError[] = [];
  const given = new URLSearchParams(query);
  for (const name of new Set(given.keys())) {
    const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
    if (parameter === undefined) {
      const shown = name.slice(0, SHOWN_NAME_CHARACTERS);
      errors.push({ parameter: shown, code: "unknown_parameter", detail: known(parameters) });
      continue;
    }
    const reading = parameter.read(given.getAll(name));
    if (reading.ok) values[name] = reading.value;
    else errors.push({ parameter: name, code: reading.code, detail: reading.detail });
  }
  const read = values as Values<P>;
  errors.push(...check(read));
  if (errors.length > 0) throw refused(errors.slice(0, FIELD_ERRORS_MAX));
  return read;
}

function known(parameters: Parameters): string {
  const names = Object.keys(parameters);
  return names.length === 0 ? "there are no parameters here" : `the parameters here are ${names.join(", ")}`;
}
