/** Reads a Dockerfile as far as the one of this project goes: stages, instructions, and the JSON forms. */

/** One instruction: its name in capitals and what follows it, continued lines joined. */
export interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** What stands from one `FROM` to the next; what stands before the first has an empty `from`. */
export interface Stage {
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

/** The stages of a Dockerfile in their order. Throws on a line that is no instruction. */
export function readDockerfile(text: string): Stage[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !line.trimStart().startsWith("#"));
  const stages: { from: string; instructions: Instruction[] }[] = [{ from: "", instructions: [] }];
  for (const line of lines.join("\n").replaceAll(/\\\n\s*/g, "").split("\n")) {
    const match = /^([A-Z]+)\s+(.+)$/.exec(line);
    if (match === null) throw new Error(`Cannot read the Dockerfile: "${line}" is no instruction`);
    if (match[1] === "FROM") stages.push({ from: match[2]!, instructions: [] });
    else stages.at(-1)!.instructions.push({ name: match[1]!, text: match[2]! });
  }
  return stages;
}

/** The texts of all instructions of a name. */
export function textsOf(stage: Stage, name: string): string[] {
  return stage.instructions.filter((instruction) => instruction.name === name).map(({ text }) => text);
}

/** The words of an instruction in JSON form, such as `ENTRYPOINT ["deno", "run"]`; flags before them are left out. */
export function wordsOf(stage: Stage, name: string): string[] {
  const text = textsOf(stage, name).at(-1) ?? "";
  return JSON.parse(text.slice(text.indexOf("[")));
}

/** The variables that `ENV` sets. */
export function environmentOf(stage: Stage): Record<string, string> {
  const pairs = textsOf(stage, "ENV").flatMap((text) => text.split(/\s+/));
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
}

/** What the `COPY` instructions of a stage take from the project: [sources, target]. Copies from another stage apart. */
export function copiesOf(stage: Stage): { sources: string[]; target: string }[] {
  return textsOf(stage, "COPY").filter((text) => !text.includes("--from=")).map((text) => {
    const words = text.split(/\s+/).filter((word) => !word.startsWith("--"));
    return { sources: words.slice(0, -1), target: words.at(-1)! };
  });
}
