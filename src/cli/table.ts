/** Plain tables for a terminal. */
import { shown } from "./terminal.ts";

/** A column: its heading, and whether its cells stand at the right edge (numbers). */
export interface Column {
  readonly heading: string;
  readonly right?: boolean;
}

/** Lays rows out under their headings, two spaces apart, no trailing spaces. Ends with a line feed. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(shown));
  const widths = columns.map((column, index) =>
    Math.max(column.heading.length, ...cells.map((row) => (row[index] ?? "").length))
  );
  const line = (row: readonly string[]) =>
    columns.map((column, index) => {
      const cell = row[index] ?? "";
      return column.right ? cell.padStart(widths[index]!) : cell.padEnd(widths[index]!);
    }).join("  ").trimEnd();
  return [columns.map((column) => column.heading), ...cells].map((row) => line(row) + "\n").join("");
}
