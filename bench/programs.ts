/** Running programs that print their result in the last line. */

/** Runs a program to its end; the last line it prints is JSON. Throws with its output when it fails. */
export async function runJson<T>(program: string, args: readonly string[]): Promise<T> {
  const line = (await runText(program, args)).trimEnd().split("\n").at(-1)!;
  return JSON.parse(line);
}

/** Runs a program to its end and gives what it printed. Throws with its output when it fails. */
export async function runText(program: string, args: readonly string[]): Promise<string> {
  const output = await new Deno.Command(program, { args: [...args], stdout: "piped", stderr: "piped" }).output();
  const text = new TextDecoder().decode(output.stdout);
  if (!output.success) {
    throw new Error(`${program} ended with ${output.code}: ${text}${new TextDecoder().decode(output.stderr)}`);
  }
  return text;
}
