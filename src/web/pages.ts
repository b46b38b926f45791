/** Everything the hub shows to people, by path. */
import { docsPages } from "./docs.ts";
import { homePages } from "./home.ts";
import type { WebPage } from "./page.ts";

/** Pages and their assets. */
export const pages: Readonly<Record<string, WebPage>> = { ...homePages, ...docsPages };
