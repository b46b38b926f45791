/** `version`: of the command line and of the hub it speaks to. */
import { Command } from "commander";
import { Client } from "./client.ts";
import { outputOption, urlOption } from "./options.ts";
import { print, shown } from "./terminal.ts";

/** The command. `own` is the version of the command line. */
export function versionCommand(own: string): Command {
  return new Command("version")
    .description("show the version of the command line and of the hub")
    .addOption(outputOption("table", "json"))
    .addOption(urlOption())
    .action(async ({ url, output }: { url: string; output: "table" | "json" }) => {
      const hub = await new Client(url).json<{ version: string }>("/version");
      if (output === "json") print(JSON.stringify({ cli: own, hub }) + "\n");
      else print(`cli  ${own}\nhub  ${shown(String(hub.version))} at ${url}\n`);
    });
}
