/** The lock that keeps a second hub away from the file. */

/** Held while the database is open. The operating system lets go of it with the process, however that ends. */
export class FileLock implements Disposable {
  readonly #file: Deno.FsFile;
  #held = true;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Takes the lock of a database. Throws an `Error` that names the holder when somebody has it. */
  static take(databasePath: string): FileLock {
    const path = `${databasePath}.lock`;
    const file = Deno.openSync(path, { read: true, write: true, create: true });
    try {
      if (!file.tryLockSync(true)) throw new Error(`Cannot open ${databasePath}: ${holderOf(path)}`);
      file.truncateSync(0);
      file.writeSync(new TextEncoder().encode(JSON.stringify({ pid: Deno.pid, since: new Date().toISOString() })));
      file.syncSync();
      return new FileLock(file);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Lets go. The file stays: removing it would let two hubs lock two files of one name. */
  [Symbol.dispose](): void {
    if (!this.#held) return;
    this.#held = false;
    this.#file.truncateSync(0);
    this.#file.unlockSync();
    this.#file.close();
  }
}

function holderOf(path: string): string {
  const text = Deno.readTextFileSync(path);
  const match = /^\{"pid":(\d+),"since":"([0-9T:.Z-]+)"\}$/.exec(text);
  if (match === null) return "another hub has it open";
  return `another hub has it open (process ${match[1]}, since ${match[2]})`;
}
