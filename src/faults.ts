/** What is wrong with events, as it is found: bounded for an event, and for a whole batch. */
import type { FieldError, FieldErrorCode } from "./errors.ts";
import { FIELD_ERRORS_MAX, POINTER_TOKEN_CHARACTERS_MAX } from "./limits.ts";

/** How many field errors may still be told; one for all events of a batch. */
export interface FaultBudget {
  left: number;
}

/**
 * The faults of one event: at most `FIELD_ERRORS_MAX`, and beyond the budget only the first. Whoever looks for faults
 * asks {@link full} before it goes on: what nobody is told need not be found.
 */
export class Faults {
  /** `null` while there are none, since most events have none. */
  errors: FieldError[] | null = null;
  readonly #budget: FaultBudget | undefined;

  constructor(budget?: FaultBudget) {
    this.#budget = budget;
  }

  /** Whether another fault would not be told. */
  get full(): boolean {
    if (this.errors === null) return false;
    return this.errors.length >= FIELD_ERRORS_MAX || (this.#budget !== undefined && this.#budget.left <= 0);
  }

  /** Adds a fault of a member. */
  add(pointer: string, code: FieldErrorCode, detail: string): void {
    this.push({ pointer, code, detail });
  }

  /** Adds a fault. */
  push(error: FieldError): void {
    if (this.full) return;
    this.errors ??= [];
    this.errors.push(error);
    if (this.#budget !== undefined) this.#budget.left -= 1;
  }
}

/** A name as a part of a JSON pointer (RFC 6901, section 3); one that is much too long is cut, as it is repeated. */
export function pointerToken(name: string): string {
  const shown = name.length <= POINTER_TOKEN_CHARACTERS_MAX ? name : name.slice(0, POINTER_TOKEN_CHARACTERS_MAX) + "…";
  return shown.toWellFormed().replaceAll("~", "~0").replaceAll("/", "~1");
}
