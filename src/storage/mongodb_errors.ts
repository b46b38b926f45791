/** Errors: of opening a database, for a person; of writes, for the program. */
import {
  MongoAPIError,
  MongoBulkWriteError,
  MongoError,
  MongoServerError,
  MongoServerSelectionError,
  type WriteError,
} from "mongodb";
import { LOGGED_ERROR_CHARACTERS_MAX } from "../limits.ts";

/** MongoDB's code of an error of a duplicate key, and the index of `_id`. */
const DUPLICATE_KEY = 11_000;
const ID_INDEX = "_id_";
const AUTHENTICATION_FAILED = 18;
const UNAUTHORIZED = 13;
/** What a URL has between `//` and `@`. */
const CREDENTIALS = /^([a-z0-9+.-]+:\/\/)([^/?#]*)@/i;

/** The URL without its password, and without its user where there is no password to tell it from. */
export function redact(url: string): string {
  return url.replace(CREDENTIALS, (_, scheme: string, credentials: string) => {
    const [user, password] = credentials.split(":", 2);
    return password === undefined ? `${scheme}***@` : `${scheme}${user}:***@`;
  });
}

/** Why it cannot be opened, in one sentence that never holds the password. */
export function explain(cause: unknown, url: string): string {
  return withoutPassword(reasonOf(cause), url);
}

function reasonOf(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  const root = rootOf(cause);
  if (root instanceof MongoServerError && root.code === AUTHENTICATION_FAILED) {
    return "the server refuses the user or the password";
  }
  if (root instanceof MongoServerError && root.code === UNAUTHORIZED) {
    return `the user has not the right to read and write there and to create indexes: ${root.message}`;
  }
  if (/wire version/i.test(message)) return `the server is too old, MongoDB 4.4 is the oldest that works: ${message}`;
  // The package that parses URLs has an error class of its own.
  if (cause instanceof MongoAPIError || (cause instanceof Error && cause.name === "MongoParseError")) {
    return `it is not a URL of MongoDB: ${message}`;
  }
  if (cause instanceof MongoServerSelectionError) {
    return `no server can be reached that takes writes: ${root instanceof Error ? root.message : message}`;
  }
  return message;
}

/** The first cause: the driver wraps what a server said in what it tried. */
function rootOf(error: unknown): unknown {
  let root = error;
  while (root instanceof Error && root.cause instanceof Error) root = root.cause;
  return root;
}

function withoutPassword(text: string, url: string): string {
  const password = CREDENTIALS.exec(url)?.[2]?.split(":", 2)[1] ?? "";
  if (password === "") return text;
  let plain = password;
  try {
    plain = decodeURIComponent(password);
  } catch {
    // It is not percent-encoded as it should be: the text is looked for as it stands.
  }
  return text.replaceAll(password, "***").replaceAll(plain, "***");
}

/**
 * The errors of single writes of a command, when these are all that went wrong: then all other writes are done. `null`
 * after any other failure, of which the driver may tell the errors of earlier commands.
 */
export function writeErrorsOf(error: unknown): readonly WriteError[] | null {
  if (!(error instanceof MongoBulkWriteError) || error.result.getWriteConcernError() !== undefined) return null;
  const errors = [error.writeErrors].flat();
  return errors.length > 0 && errors.length === error.result.getWriteErrors().length ? errors : null;
}

/** What an error of a duplicate key says of the index that refused it. */
const REFUSING_INDEX = /index: (\S+)/;

/**
 * Whether an error says that a document of that `_id` is there. One of a unique index of another program says nothing of
 * ours.
 */
export function isDuplicateKey({ code, errmsg = "" }: Pick<WriteError, "code" | "errmsg">): boolean {
  return code === DUPLICATE_KEY && (REFUSING_INDEX.exec(errmsg)?.[1] ?? ID_INDEX) === ID_INDEX;
}

/** The same of an error of a single insert. */
export function isRefusedAsDuplicate(error: unknown): boolean {
  return error instanceof MongoServerError &&
    isDuplicateKey({ code: Number(error.code), errmsg: error.message });
}

/** What an error of the server says of the document that it refused: the value of a key may be a user. */
const REFUSED_VALUE = /dup key:.*$/s;

/**
 * What may be logged of an error of the driver. The error itself holds the documents of its command, and so what users
 * said, where no erasure reaches it; and of a thousand documents it makes a line of megabytes.
 */
export class DatabaseProblem extends Error {
  override readonly name = "DatabaseProblem";
  /** The server's code; the class of the driver's error where the server said nothing. */
  readonly code: number | string;

  constructor(error: MongoError) {
    const writeErrors = error instanceof MongoBulkWriteError ? [error.writeErrors].flat() : [];
    const [first] = writeErrors;
    const code = first?.code ?? error.code ?? error.name;
    const codeName = error instanceof MongoServerError ? error.codeName : undefined;
    const text = (first?.errmsg ?? error.message).replace(REFUSED_VALUE, "dup key").slice(
      0,
      LOGGED_ERROR_CHARACTERS_MAX,
    );
    const title = [error.name, first === undefined ? error.code : first.code, codeName].filter((part) =>
      part !== undefined
    ).join(" ");
    super(`${title}: ${text}${writeErrors.length > 1 ? ` (and ${writeErrors.length - 1} more)` : ""}`);
    this.code = code;
  }
}

/** An error as it may be logged. */
export function loggable(error: unknown): unknown {
  return error instanceof MongoError ? new DatabaseProblem(error) : error;
}
