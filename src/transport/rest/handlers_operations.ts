/** For whoever runs the hub: is it alive, is it ready, what is it, how is it doing. */
import { HubError } from "../../errors.ts";
import { formatTimestamp } from "../../timestamp.ts";
import { answerError } from "./errors.ts";
import { JSON_TYPE, PROBLEM_TYPE } from "./exchange.ts";
import { readQuery } from "./query.ts";
import type { Operation, RestContext, Route } from "./route.ts";

/** What Prometheus expects of a scrape. */
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
const NO_STORE = { headers: { "cache-control": "no-store" } };

/** The routes of operations. */
export function operationRoutes(context: RestContext): Route[] {
  const { operations, config, parameters } = context;
  return [
    {
      method: "GET",
      path: "/livez",
      operation: operation("isAlive", "Whether the process answers", "Alive"),
      handle: (exchange) => exchange.answer('{"status":"ok"}', NO_STORE),
    },
    readyRoute(context),
    {
      method: "GET",
      path: "/version",
      operation: operation("getVersion", "What is running", "Version"),
      handle: (exchange) => {
        const { version, startedAt } = operations;
        return exchange.answer(
          JSON.stringify({ name: "eventhub", version, started_at: formatTimestamp(startedAt) }),
          NO_STORE,
        );
      },
    },
    {
      method: "GET",
      path: "/metrics",
      operation: {
        id: "getMetrics",
        tag: "operations",
        summary: "Metrics of the process in Prometheus' text format",
        answers: { 200: { description: "The metrics", content: { "text/plain": null } } },
        errors: ["not_found", "permission_denied", "invalid_argument"],
      },
      handle: async (exchange) => {
        readQuery(exchange.query, parameters.none);
        if (config.metrics === "off") throw new HubError("not_found", "Metrics are switched off (EVENTHUB_METRICS)");
        if (config.metrics === "admin") throw new HubError("permission_denied", "Metrics need the scope admin");
        return exchange.answer(await operations.metrics(), { type: METRICS_TYPE, ...NO_STORE });
      },
    },
  ];
}

function readyRoute({ operations, parameters }: RestContext): Route {
  return {
    method: "GET",
    path: "/readyz",
    operation: {
      id: "isReady",
      tag: "operations",
      summary: "Whether requests can be served",
      query: parameters.ready,
      answers: {
        200: { description: "Ready", content: { [JSON_TYPE]: "Ready" } },
        503: { description: "Not ready", content: { [PROBLEM_TYPE]: "NotReady" } },
      },
      errors: ["invalid_argument"],
    },
    handle: async (exchange) => {
      const { verbose = false } = readQuery(exchange.query, parameters.ready);
      const { ok, checks } = await operations.ready();
      const members = verbose ? { checks } : {};
      if (ok) return exchange.answer(JSON.stringify({ status: "ready", ...members }), NO_STORE);
      const failing = Object.entries(checks).filter(([, check]) => !check.ok).map(([name]) => name);
      const error = new HubError("unavailable", `Not ready: ${failing.join(", ")}`);
      return answerError(exchange, error, { members });
    },
  };
}

function operation(id: string, summary: string, schema: "Alive" | "Version"): Operation {
  return {
    id,
    tag: "operations",
    summary,
    answers: { 200: { description: summary, content: { [JSON_TYPE]: schema } } },
    errors: [],
  };
}
