/** From a method and a path to a route; from a path to its methods. */
import type { Route } from "./route.ts";

/** The routes of one path. */
interface Place<Found extends Route> {
  readonly pattern: RegExp;
  readonly routes: Map<string, Found>;
}

/**
 * Finds routes. A path without variable parts beats one with them, whatever the method: so `GET /events/batch` is a
 * wrong method and not an event named `batch`. GET answers HEAD.
 */
export class Router<Found extends Route = Route> {
  /** By path, where it has no variable parts. */
  readonly #fixed = new Map<string, Place<Found>>();
  readonly #variable: Place<Found>[] = [];

  constructor(routes: readonly Found[]) {
    for (const route of routes) this.#add(route);
  }

  /** The route of a request; `null` when its path is unknown or does not have the method. */
  find(method: string, path: string): Found | null {
    const routes = this.#place(path)?.routes;
    return routes?.get(method) ?? (method === "HEAD" ? routes?.get("GET") : undefined) ?? null;
  }

  /** The methods of a path, for `Allow`; `null` when the path is unknown. */
  methods(path: string): readonly string[] | null {
    const place = this.#place(path);
    if (place === undefined) return null;
    const methods = [...place.routes.keys()].flatMap((method) => method === "GET" ? ["GET", "HEAD"] : [method]);
    return [...methods, "OPTIONS"];
  }

  #place(path: string): Place<Found> | undefined {
    return this.#fixed.get(path) ?? this.#variable.find(({ pattern }) => pattern.test(path));
  }

  #add(route: Found): void {
    const { path, method } = route;
    const source = path.replaceAll(/[.+*?^$()|[\]\\]/g, "\\$&").replaceAll(/\{\w+\}/g, "[^/]+");
    const pattern = new RegExp(`^${source}$`);
    const known = this.#fixed.get(path) ?? this.#variable.find((place) => place.pattern.source === pattern.source);
    if (known !== undefined) return void known.routes.set(method, route);
    const place: Place<Found> = { pattern, routes: new Map([[method, route]]) };
    if (path.includes("{")) this.#variable.push(place);
    else this.#fixed.set(path, place);
  }
}
