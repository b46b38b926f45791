/** Pages for people: plain text in memory, so that serving them needs no permission to read. */

/** A page or an asset. */
export interface WebPage {
  /** What it is, in a few words. */
  readonly title: string;
  /** Its Content-Type. */
  readonly type: string;
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Everything from this hub, nothing from elsewhere; Swagger UI styles its elements in place. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
  "font-src data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/** An HTML page. `body` is HTML; `style` the address of a style sheet. */
export function htmlPage(page: { title: string; body: string; style?: string }): WebPage {
  const { title, body, style } = page;
  const link = style === undefined ? "" : `<link rel="stylesheet" href="${style}">\n`;
  return {
    title,
    type: "text/html; charset=utf-8",
    text: `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
${link}${body}
</html>
`,
    headers: { "content-security-policy": POLICY, "referrer-policy": "no-referrer" },
  };
}
