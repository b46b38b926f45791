/** What tests of dead letters over REST have in common. */
import { assertEquals } from "@std/assert";
import type { DeadLetter } from "../../../src/dead_letters.ts";
import { type Answered, EVENT, type TestRest } from "./rest_harness.ts";

/** The name of an inbound entry. */
export const NAME = "in:m4rk:1752580800000-0";

const { amount: _amount, ...incomplete } = EVENT;
/** An event that lacks its amount. */
export const INCOMPLETE: Readonly<Record<string, unknown>> = incomplete;

/** A letter of an event as the inbound stream keeps it. */
export function letter(id: string, event: unknown, more: Partial<DeadLetter> = {}): DeadLetter {
  return {
    id,
    tenant: "default",
    failedAt: Date.UTC(2025, 6, 15, 12),
    code: "invalid_argument",
    detail: "/amount: amount is required",
    errors: [{ pointer: "/amount", code: "required", detail: "amount is required" }],
    payload: JSON.stringify(event),
    userId: null,
    ...more,
  };
}

/** Where a letter is. */
export const pathOf = (id: string): string => `/dead-letters/${encodeURIComponent(id)}`;

/** Redrives a letter, with a corrected event or without. */
export function redrive(test: TestRest, id: string, body?: unknown): Promise<Answered> {
  return test.ask(`${pathOf(id)}/redrive`, body === undefined ? { method: "POST" } : { body });
}

/** The ids of a page of letters. */
export const idsOf = ({ json }: Answered): string[] => json.dead_letters.map(({ id }: { id: string }) => id);

/** The ids of all stored events, sorted. */
export async function stored(test: TestRest): Promise<string[]> {
  return (await test.ask("/events?limit=1000")).json.events.map(({ id }: { id: string }) => id).sort();
}

/** Fails when the letter is gone. */
export async function assertKept(test: TestRest, id: string): Promise<void> {
  assertEquals((await test.ask(pathOf(id))).status, 200, `${id} is gone`);
}
