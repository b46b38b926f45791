/** Malformed inputs: each must be refused with an error of the contract that names the field, and leave nothing behind. */
import type { Client } from "@grpc/grpc-js";
import { AssertionError } from "@std/assert";
import { FORMS, type KnownCode, Refusal } from "./clients.ts";
import type { Address } from "./served.ts";

/** A hub under attack. */
export interface Target extends Address {
  /** How many events it has stored, or at least that it has some. */
  stored(): Promise<number>;
  /** A connection over gRPC. */
  readonly connection: Client;
}

/** What came back for an input: an error of the hub; or that the server below closed or refused it by itself. */
export type Answer = Refusal | Cut;

/** The server below the hub refused what is no request: with an HTTP status, or `null` when it closed the connection. */
export class Cut {
  readonly status: number | null;

  constructor(status: number | null) {
    this.status = status;
  }
}

/** One input. */
export interface Malformed {
  /** Says what is wrong with it. */
  readonly name: string;
  /** Sends it; anything thrown beside a {@link Refusal} is a complaint. */
  readonly send: (target: Target) => Promise<Answer>;
  /**
   * The code it must be refused with, or any of several. `cut`: what reaches no handler is refused by the server below,
   * without a form.
   */
  readonly code: KnownCode | readonly KnownCode[] | "cut";
  /** A field that must be named, in the protocol's spelling, and what is wrong with it. */
  readonly field?: string;
  readonly fault?: string;
}

/** Which table of codes an input is looked up in. */
export type Wire = "rest" | "graphql" | "grpc";

/** Sends all inputs one by one; answers a sentence for each that was not refused as it should be. */
export async function findComplaints(wire: Wire, inputs: readonly Malformed[], target: Target): Promise<string[]> {
  const complaints: string[] = [];
  for (const input of inputs) {
    const complaint = await complaintOf(wire, input, target);
    if (complaint !== null) complaints.push(`${input.name}: ${complaint}`.slice(0, 1_000));
    if (await target.stored() > 0) {
      complaints.push(`${input.name}: stored an event`);
      break;
    }
  }
  return complaints;
}

async function complaintOf(wire: Wire, input: Malformed, target: Target): Promise<string | null> {
  let answer: Answer;
  try {
    answer = await input.send(target);
  } catch (error) {
    if (error instanceof AssertionError) return error.message;
    if (!(error instanceof Refusal)) return `failed: ${error}`;
    answer = error;
  }
  if (answer instanceof Cut) return complaintOfCut(answer, input);
  const { status, code, faults, message } = answer;
  const got = `got ${status} ${code} ${JSON.stringify(faults).slice(0, 400)} "${message.slice(0, 200)}"`;
  if (input.code === "cut") return `${got}, but it should not have reached a handler`;
  const codes = typeof input.code === "string" ? [input.code] : input.code;
  const fitting = codes.find((wanted) => status === FORMS[wanted][wire] && (wire === "graphql" || code === wanted));
  if (fitting === undefined) return `${got}, wanted ${codes.map((wanted) => `${FORMS[wanted][wire]} ${wanted}`)}`;
  if (input.field === undefined) return null;
  const named = faults.find(({ field, code }) => field === input.field && (input.fault ?? code) === code);
  return named === undefined ? `${got}, wanted ${input.field} to be named ${input.fault ?? ""}` : null;
}

function complaintOfCut({ status }: Cut, { code }: Malformed): string | null {
  if (code !== "cut") return `was refused below the hub with ${status}, wanted ${code}`;
  return status === null || (status >= 400 && status < 500) || status === 501 || status === 505
    ? null
    : `was answered ${status} below the hub`;
}
