/**
 * A fleet: processes of single roles on one MongoDB and one Redis, together one hub. Each can be killed or stopped and
 * started again at its own address, so that clients find it again.
 */
import type { HubAddress } from "./follow.ts";
import { type Exit, type HubProcess, startHub } from "./process.ts";

/** What a process of a fleet does. */
export type Role = "http" | "grpc" | "rollup";

/** What a fleet is made of. */
export interface FleetOptions {
  /** One process each. */
  readonly roles: readonly Role[];
  /** Where MongoDB and Redis are, and other settings of all processes. */
  readonly env: Record<string, string>;
  /** Entry module of the processes of a role, in place of the hub's own. */
  readonly mains?: Partial<Record<Role, string>>;
}

/** The kernel gives ports from here on to outgoing connections, which could take that of a process that is down. */
const EPHEMERAL_PORT_FIRST = 32_768;
const PORT_FIRST = 10_000;
/** A process that cannot reach a server at its start ends; whoever runs it starts it again. In all its lives so often. */
const FAILED_STARTS_MAX = 5;

/** The processes of one hub. Disposing kills those that run. */
export class Fleet implements AsyncDisposable {
  readonly members: readonly Member[];

  private constructor(members: readonly Member[]) {
    this.members = members;
  }

  /** Resolves when all are ready. */
  static async start({ roles, env, mains = {} }: FleetOptions): Promise<Fleet> {
    const members = roles.map((role, index) => {
      const number = roles.slice(0, index).filter((other) => other === role).length;
      return new Member(role, { name: `${role}#${number}`, env, main: mains[role] });
    });
    const fleet = new Fleet(members);
    try {
      await Promise.all(members.map((member) => member.start()));
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The processes of a role. */
  of(role: Role): readonly Member[] {
    return this.members.filter((member) => member.role === role);
  }

  /** One of them, at random. */
  any(role?: Role): Member {
    const members = role === undefined ? this.members : this.of(role);
    return members[Math.floor(Math.random() * members.length)]!;
  }

  /** Which processes ended although nobody ended them, and what they wrote last. */
  get surprises(): readonly string[] {
    return this.members.flatMap((member) => member.surprises);
  }

  /** Starts that ended before the process was ready. */
  get failedStarts(): number {
    return this.members.reduce((sum, member) => sum + member.failedStarts, 0);
  }

  /** SIGTERM to all that run; a sentence for each that did not end in order. */
  async stop(): Promise<readonly string[]> {
    const running = this.members.filter(({ isUp }) => isUp);
    const exits = await Promise.all(running.map(async (member) => ({ member, exit: await member.stop() })));
    return exits.filter(({ exit }) => exit.code !== 0)
      .map(({ member, exit }) => `${member.name} ended with ${exit.code} ${exit.signal ?? ""}:\n${member.output()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
  }
}

/** A process of a fleet, at one address for all its lives. */
export class Member {
  readonly role: Role;
  /** For example `http#1`. */
  readonly name: string;
  readonly address: HubAddress;
  /** What it wrote before each end that nobody asked for. */
  readonly surprises: string[] = [];
  /** Starts that ended before it was ready. */
  failedStarts = 0;
  readonly #settings: { env: Record<string, string>; main?: string };
  #hub: HubProcess | null = null;
  #isUp = false;

  constructor(role: Role, { name, env, main }: { name: string; env: Record<string, string>; main?: string }) {
    const [http, grpc] = [stablePort(), role === "grpc" ? stablePort() : 0];
    this.role = role;
    this.name = name;
    this.address = { httpUrl: `http://127.0.0.1:${http}`, grpcAddress: grpc === 0 ? "" : `127.0.0.1:${grpc}` };
    const own = { EVENTHUB_ROLES: role, EVENTHUB_HTTP_PORT: String(http), EVENTHUB_GRPC_PORT: String(grpc) };
    this.#settings = { env: { ...env, ...own }, main };
  }

  /** Whether it is ready and nobody has begun to end it. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** Starts it again and resolves when it is ready. One that gives up, because a server is slow, is started once more. */
  async start(): Promise<void> {
    if (this.#isUp) throw new Error(`Cannot start ${this.name}: it runs`);
    const hub = await this.#startHub();
    this.#hub = hub;
    this.#isUp = true;
    hub.exited.then(({ code, signal }) => {
      if (!this.#isUp || this.#hub !== hub) return;
      this.#isUp = false;
      this.surprises.push(`${this.name} ended by itself with ${code} ${signal ?? ""}:\n${hub.output()}`);
    });
  }

  async #startHub(): Promise<HubProcess> {
    for (;;) {
      try {
        return await startHub(this.#settings);
      } catch (error) {
        this.failedStarts += 1;
        if (this.failedStarts === FAILED_STARTS_MAX) throw error;
      }
    }
  }

  /** SIGTERM, and waits for the end. */
  stop(): Promise<Exit> {
    return this.#end((hub) => hub.stop());
  }

  /** SIGKILL, and waits for the end. Harmless when it does not run. */
  kill(): Promise<Exit> {
    return this.#end((hub) => hub.kill());
  }

  /** The last lines of its newest life. */
  output(): string {
    return this.#hub?.output() ?? "";
  }

  async #end(end: (hub: HubProcess) => Promise<Exit>): Promise<Exit> {
    this.#isUp = false;
    return this.#hub === null ? { code: 0, signal: null, tookMs: 0 } : await end(this.#hub);
  }
}

const taken = new Set<number>();

/** A port that nobody listens on, that this module gives once, and that the kernel gives to no connection. */
function stablePort(): number {
  for (;;) {
    const port = PORT_FIRST + Math.floor(Math.random() * (EPHEMERAL_PORT_FIRST - PORT_FIRST));
    if (taken.has(port)) continue;
    taken.add(port);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}
