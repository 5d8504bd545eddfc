/** How a report says to get there again. */

import type { MachineState } from "./machine.js";

/** What to run to see the same again. */
export function reproduce_of({ reproduce, booted, faults }: MachineState): string {
  if (reproduce !== null) return reproduce;
  if (faults === null || faults.injected.length === 0) return `the same calls on ${booted()}`;
  const { inject, drawn } = faults.again;
  return `the same calls on ${booted(inject)}${drawn}`;
}
