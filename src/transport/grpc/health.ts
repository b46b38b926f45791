/** grpc.health.v1.Health: whether the hub can take calls, asked once or watched. */
import type { Server } from "@grpc/grpc-js";
import { getLogger } from "@logtape/logtape";
import type { Buffer } from "node:buffer";
import { HubError } from "../../errors.ts";
import * as v1 from "../../gen/grpc/health/v1/health.ts";
import type { HubApi } from "../../hub.ts";
import { SUBSCRIBERS_MAX } from "../../limits.ts";
import { addServerStream, addUnary, type OpenCalls, type Timing } from "./calls.ts";
import { strictly } from "./decode.ts";
import { frames, type Outlet } from "./outlet.ts";

const log = getLogger(["eventhub", "grpc"]);
const readHealthCheckRequest = strictly("grpc.health.v1.HealthCheckRequest", v1.HealthCheckRequest);
const readHealthListRequest = strictly("grpc.health.v1.HealthListRequest", v1.HealthListRequest);

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = v1.HealthCheckResponse_ServingStatus;
type State = v1.HealthCheckResponse_ServingStatus;

/** Answers the health service; looks at the store by itself only while somebody watches. */
export class Health {
  readonly #hub: Pick<HubApi, "health">;
  readonly #services: ReadonlySet<string>;
  readonly #timing: Timing;
  #looking: Promise<State> | null = null;
  #watchers = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Resolved when watchers are to look again. */
  #round = Promise.withResolvers<void>();
  #stopped = false;

  /** `services` are the full names that exist; the empty one, the whole server, is always known. */
  constructor(hub: Pick<HubApi, "health">, options: { services: readonly string[]; timing: Timing }) {
    this.#hub = hub;
    this.#services = new Set(["", ...options.services]);
    this.#timing = options.timing;
  }

  /** Adds the methods. */
  addTo(server: Server, calls: OpenCalls): void {
    const methods = v1.HealthService;
    addUnary(server, {
      method: methods.check,
      decode: readHealthCheckRequest,
      handle: async ({ service }) => {
        if (this.#services.has(service)) return { status: await this.#state() };
        throw new HubError("not_found", `There is no service of the name ${JSON.stringify(service.slice(0, 100))}`);
      },
    });
    addUnary(server, {
      method: methods.list,
      decode: readHealthListRequest,
      handle: async () => {
        const status = await this.#state();
        return { statuses: new Map([...this.#services].map((service) => [service, { status }])) };
      },
    });
    addServerStream(server, {
      timing: this.#timing,
      path: methods.watch.path,
      decode: readHealthCheckRequest,
      handle: ({ service }, outlet) => this.#watch(service, { outlet, calls }),
    });
  }

  /** From now on nothing is served. */
  stop(): void {
    this.#stopped = true;
  }

  async #state(): Promise<State> {
    if (this.#stopped) return NOT_SERVING;
    this.#looking ??= this.#look().finally(() => this.#looking = null);
    return await this.#looking;
  }

  async #look(): Promise<State> {
    try {
      const { ok } = await this.#hub.health();
      return ok && !this.#stopped ? SERVING : NOT_SERVING;
    } catch (cause) {
      log.warn("The health of the store could not be asked for", { cause });
      return NOT_SERVING;
    }
  }

  async #watch(service: string, options: { outlet: Outlet; calls: OpenCalls }): Promise<void> {
    const { outlet, calls } = options;
    const { over } = outlet;
    if (this.#watchers >= SUBSCRIBERS_MAX) throw new HubError("overloaded", "Too many are watching already");
    calls.addStream(outlet, () => {
      void outlet.write(frameOf(NOT_SERVING));
      outlet.fail(new HubError("unavailable", "The hub is shutting down"));
    });
    if (over.aborted) return;
    this.#watchers += 1;
    this.#timer ??= setInterval(() => this.#again(), this.#timing.healthIntervalMs);
    over.addEventListener("abort", () => {
      this.#watchers -= 1;
      if (this.#watchers > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.#again();
    });
    outlet.open();
    let told: State | null = null;
    while (!over.aborted) {
      const { promise } = this.#round;
      const state = this.#services.has(service) ? await this.#state() : SERVICE_UNKNOWN;
      if (state !== told) await outlet.write(frameOf(state));
      told = state;
      await promise;
    }
  }

  #again(): void {
    this.#round.resolve();
    this.#round = Promise.withResolvers();
  }
}

function frameOf(status: State): Buffer {
  return frames([v1.HealthCheckResponse.encode({ status }).finish()]);
}
