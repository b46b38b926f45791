/** What the conformance suites of all ports have in common: cases as data, run on a fresh harness each. */

/** A case that takes longer hangs; the longest one stores two million events. */
const CASE_MS = 180_000;

/** One behaviour of a port. Controls run single cases on broken drivers and assert that they reject. */
export interface Case<Harness> {
  /** A sentence; the key of a deviation. */
  readonly name: string;
  run(harness: Harness): Promise<void>;
}

/** How a driver stands under a suite. */
export interface Suite<Harness extends AsyncDisposable> {
  /** Opens the driver on nothing; called once a case. Disposing it must leave nothing behind. */
  open(): Promise<Harness>;
  /** Cases that cannot hold for this driver, by name, each with its reason. */
  readonly deviations?: Readonly<Record<string, string>>;
  /** Permissions without which no case can run; where one is missing, the cases are skipped and say so. */
  readonly needs?: readonly Deno.PermissionDescriptor["name"][];
  /** What else is missing on this machine, such as a server; then the cases are skipped and say so. */
  readonly lacking?: string;
}

/** Registers every case of a suite for a driver. */
export function testCases<Harness extends AsyncDisposable>(
  driver: string,
  options: { cases: readonly Case<Harness>[]; suite: Suite<Harness> },
): void {
  const { cases, suite } = options;
  const deviations = suite.deviations ?? {};
  const unknown = Object.keys(deviations).filter((name) => !cases.some((one) => one.name === name));
  if (unknown.length > 0) throw new Error(`Cannot deviate from cases that do not exist: ${unknown.join("; ")}`);
  const missing = (suite.needs ?? [])
    .filter((name) => Deno.permissions.querySync({ name } as Deno.PermissionDescriptor).state !== "granted");
  const lacking = missing.length === 0
    ? suite.lacking ?? ""
    : `needs ${missing.map((name) => `--allow-${name}`).join(" ")}: deno task test`;
  for (const one of cases) {
    const reason = deviations[one.name] ?? lacking;
    Deno.test({
      name: `${driver}: ${one.name}${reason && ` (${reason})`}`,
      ignore: reason !== "",
      fn: () => runCase(one, () => suite.open()),
    });
  }
}

/** Runs a case on a fresh harness. What hangs, fails. */
export async function runCase<Harness extends AsyncDisposable>(
  one: Case<Harness>,
  open: () => Promise<Harness>,
): Promise<void> {
  const late = Promise.withResolvers<never>();
  const deadline = AbortSignal.timeout(CASE_MS);
  deadline.addEventListener("abort", () => late.reject(new Error(`"${one.name}" hangs: ${CASE_MS} ms have passed`)));
  const running = async () => {
    await using harness = await open();
    await one.run(harness);
  };
  await Promise.race([running(), late.promise]);
}

/** The case of a name. */
export function caseNamed<Harness>(cases: readonly Case<Harness>[], name: string): Case<Harness> {
  const found = cases.find((one) => one.name === name);
  if (!found) throw new Error(`Cannot find a case named "${name}"`);
  return found;
}
