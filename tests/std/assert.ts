/** `@std/assert` where JSR cannot be reached: the same names over `node:assert/strict`. */
// `message!`: with newer types of Node in the graph (grpc-js brings them) a missing message is no overload; it is fine.
export { AssertionError } from "node:assert/strict";
import assertStrict from "node:assert/strict";

/** Fails unless the value is truthy. */
export function assert(value: unknown, message?: string): asserts value {
  assertStrict.ok(value, message!);
}

/** Fails unless both are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  assertStrict.deepStrictEqual(actual, expected, message!);
}

/** Fails when both are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  assertStrict.notDeepStrictEqual(actual, expected, message!);
}

/** Fails unless both are the same value. */
export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): asserts actual is T {
  assertStrict.strictEqual(actual, expected, message!);
}

/** Fails when the value is `null` or `undefined`. */
export function assertExists<T>(value: T, message?: string): asserts value is NonNullable<T> {
  if (value === undefined || value === null) {
    throw new assertStrict.AssertionError({ message: message ?? `Expected a value, got ${value}` });
  }
}

/** Fails unless the text matches. */
export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  assertStrict.match(actual, expected, message!);
}

/** Fails unless the text contains the other. */
export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  if (!actual.includes(expected)) {
    throw new assertStrict.AssertionError({
      message: message ?? `Expected "${actual}" to contain "${expected}"`,
      actual,
      expected,
    });
  }
}

/** Fails unless `actual` > `expected`. */
export function assertGreater<T>(actual: T, expected: T, message?: string): void {
  if (!(actual > expected)) {
    throw new assertStrict.AssertionError({ message: message ?? `Expected ${actual} > ${expected}`, actual, expected });
  }
}

/** Fails unless `actual` < `expected`. */
export function assertLess<T>(actual: T, expected: T, message?: string): void {
  if (!(actual < expected)) {
    throw new assertStrict.AssertionError({ message: message ?? `Expected ${actual} < ${expected}`, actual, expected });
  }
}

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

/** Fails unless `run` throws (an instance of `errorClass` whose message contains `includes`); returns what it threw. */
export function assertThrows<E extends Error = Error>(
  run: () => unknown,
  errorClass?: ErrorClass<E>,
  includes?: string,
): E {
  try {
    run();
  } catch (error) {
    return checked(error, errorClass, includes);
  }
  throw new assertStrict.AssertionError({ message: "Expected the function to throw" });
}

/** {@link assertThrows} for a promise. */
export async function assertRejects<E extends Error = Error>(
  run: () => PromiseLike<unknown>,
  errorClass?: ErrorClass<E>,
  includes?: string,
): Promise<E> {
  try {
    await run();
  } catch (error) {
    return checked(error, errorClass, includes);
  }
  throw new assertStrict.AssertionError({ message: "Expected the promise to reject" });
}

/** Fails always. */
export function fail(message = "Failed"): never {
  throw new assertStrict.AssertionError({ message });
}

function checked<E extends Error>(error: unknown, errorClass?: ErrorClass<E>, includes?: string): E {
  if (errorClass && !(error instanceof errorClass)) {
    throw new assertStrict.AssertionError({ message: `Expected ${errorClass.name}, got ${error}`, actual: error });
  }
  if (includes !== undefined && !String((error as Error).message).includes(includes)) {
    throw new assertStrict.AssertionError({
      message: `Expected "${(error as Error).message}" to contain "${includes}"`,
    });
  }
  return error as E;
}
