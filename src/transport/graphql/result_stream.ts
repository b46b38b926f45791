/** The results of a running subscription, executed once for all subscribers that ask the same. */
import {
  createSourceEventStream,
  executeSync,
  type ExecutionArgs,
  type ExecutionResult,
  getOperationAST,
  print,
  visit,
} from "graphql";
import type { GraphqlContext } from "./builder.ts";
import { shapeErrors } from "./errors.ts";
import { type Items, LiveSource } from "./source.ts";

const ENCODER = new TextEncoder();
/** A comment: keeps the connection alive, and makes headers go out at once. */
const SIGN_OF_LIFE = ENCODER.encode(":\n\n");

/** Results that came together; none are a sign of life. */
export class ResultBatch {
  readonly results: readonly ExecutionResult[];
  #eventStream: Uint8Array<ArrayBuffer> | null = null;

  constructor(results: readonly ExecutionResult[]) {
    this.results = results;
  }

  /** The results as server-sent events, made once. */
  get eventStream(): Uint8Array<ArrayBuffer> {
    return this.#eventStream ??= this.results.length === 0
      ? SIGN_OF_LIFE
      : ENCODER.encode(this.results.map((result) => `event: next\ndata: ${JSON.stringify(result)}\n\n`).join(""));
  }
}

/** A sign of life. */
const ALIVE = new ResultBatch([]);

/**
 * The results of one subscription. Not an async generator: those do not see `return()` until their next value comes,
 * and would keep the subscription of a client that is gone.
 */
export class ResultStream implements AsyncIterableIterator<ResultBatch, undefined> {
  readonly #source: LiveSource<unknown>;
  readonly #execute: (items: Items<unknown>) => ResultBatch;
  readonly #shape: (error: unknown) => ResultBatch;
  readonly #done: () => void;
  #finished = false;

  /** `done` is called once, when it has come to its end in whatever way. */
  constructor(source: LiveSource<unknown>, options: {
    execute: (items: Items<unknown>) => ResultBatch;
    shape: (error: unknown) => ResultBatch;
    done: (stream: ResultStream) => void;
  }) {
    this.#source = source;
    this.#execute = options.execute;
    this.#shape = options.shape;
    this.#done = () => options.done(this);
  }

  /** Aborted when the hub ended it; the last batch, which says why, is still to be taken. */
  get ended(): AbortSignal {
    return this.#source.ended;
  }

  /** Whether the last batch has been taken. */
  get finished(): boolean {
    return this.#finished;
  }

  async next(): Promise<IteratorResult<ResultBatch, undefined>> {
    if (this.#finished) return { done: true, value: undefined };
    const step = await this.#source.take();
    // It may have been returned while it waited.
    if (this.#finished) return { done: true, value: undefined };
    if (step.kind === "items") return { done: false, value: this.#execute(step.items) };
    if (step.kind === "alive") return { done: false, value: ALIVE };
    this.#finish();
    return { done: false, value: this.#shape(step.error) };
  }

  return(): Promise<IteratorResult<ResultBatch, undefined>> {
    this.#finish();
    this.#source.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Lets it end with its last batch, which carries the cursor. */
  end(): void {
    this.#source.close();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#done();
  }
}

/** Opens a subscription; an `ExecutionResult` when it could not be opened. */
export async function openResultStream(
  args: ExecutionArgs & { contextValue: GraphqlContext },
  done: (stream: ResultStream) => void,
): Promise<ResultStream | ExecutionResult> {
  const source = await createSourceEventStream(args);
  if (!(source instanceof LiveSource)) return source as ExecutionResult;
  const { requestId } = args.contextValue;
  const key = sharingKey(args);
  const executeOne = (root: unknown): ExecutionResult => shaped(executeSync({ ...args, rootValue: root }), requestId);
  return new ResultStream(source, {
    execute: ({ roots, share }) => share(key, () => new ResultBatch(roots.map(executeOne))),
    shape: (error) => new ResultBatch([{ errors: shapeErrors([error], { requestId }) }]),
    done,
  });
}

function shaped(result: ExecutionResult, requestId: string): ExecutionResult {
  return result.errors === undefined ? result : { ...result, errors: shapeErrors(result.errors, { requestId }) };
}

/**
 * What the results of an operation depend on beside the root value: the operation without the arguments of the
 * subscription's field (they chose the root values), and the values of the variables in what remains of it.
 */
function sharingKey({ schema, document, operationName, variableValues }: ExecutionArgs): string {
  const operation = getOperationAST(document, operationName);
  const subscriptions = schema.getSubscriptionType()!.getFields();
  const used = new Set<string>();
  const rest = visit(document, {
    OperationDefinition: (node) => node === operation ? undefined : null,
    VariableDefinition: () => false,
    Variable: (node) => void used.add(node.name.value),
    Field: (node) => Object.hasOwn(subscriptions, node.name.value) ? { ...node, arguments: [] } : undefined,
  });
  return print(rest) + JSON.stringify([...used].sort().map((name) => [name, variableValues?.[name]]));
}
