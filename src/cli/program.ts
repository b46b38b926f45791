/** The command line: all commands, and the rules they share. */
import { Command } from "commander";
import { deadLettersCommand } from "./dead_letters.ts";
import { eventsCommand } from "./events.ts";
import { exportCommand } from "./export.ts";
import { generateCommand } from "./generate.ts";
import { importCommand } from "./import.ts";
import { metricsCommand } from "./metrics.ts";
import { rollupsCommand } from "./rollups.ts";
import { sendCommand } from "./send.ts";
import { tailCommand } from "./tail.ts";
import { note, print } from "./terminal.ts";
import { versionCommand } from "./version.ts";

const EXAMPLES = `
Examples:
  deno task cli send --user alice --type purchase --amount 12.50
  deno task cli tail
  deno task cli events --user alice --limit 10
  deno task cli metrics --last 1h --window 5m
  deno task cli generate --rate 100

"deno task cli help <command>" tells more about a command. Exit codes: 0 when all went well, 1 when something was not
done, 2 when the command line is wrong.`;

/** Builds the command line. `version` is its own version. */
export function createProgram(version: string): Command {
  const program = new Command("deno task cli")
    .description("Event Hub on the command line: send events, follow them live, list them, read metrics.")
    .addHelpText("after", EXAMPLES)
    .helpCommand("help [command]", "explain a command");
  for (
    const command of [
      sendCommand(),
      tailCommand(),
      eventsCommand(),
      metricsCommand(),
      generateCommand(),
      rollupsCommand(),
      exportCommand(),
      importCommand(),
      deadLettersCommand(),
      versionCommand(version),
    ]
  ) program.addCommand(command);
  for (const command of [program, ...descendants(program)]) adopt(command);
  for (const command of program.commands.filter((one) => MOVES.has(one.name()))) adoptMove(command);
  return program;
}

function descendants(command: Command): Command[] {
  return command.commands.flatMap((each) => [each, ...descendants(each)]);
}

/** Commands that open stores themselves, and so are run by a task with more permissions. */
const MOVES: ReadonlySet<string> = new Set(["export", "import"]);

/** They call themselves what they are run as. */
function adoptMove(command: Command): void {
  const name = `deno task transfer ${command.name()}`;
  command.configureHelp({ commandUsage: () => `${name} ${command.usage()}` })
    .showHelpAfterError(`("${name} --help" tells more)`);
}

/** Errors are thrown rather than ending the process, and nothing asks the environment about colours. */
function adopt(command: Command): void {
  command
    .exitOverride()
    .allowExcessArguments(false)
    .showHelpAfterError('("deno task cli help" shows what there is)')
    .configureOutput({
      writeOut: print,
      writeErr: (text) => note(text.trimEnd()),
      getOutHelpWidth: () => 100,
      getErrHelpWidth: () => 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
}
