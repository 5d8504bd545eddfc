/** A machine in which something fails, and what its callers say. */
import type { Result } from "neverthrow";
import * as api from "user-page";
import { expect } from "vitest";
import { boot_for_test, map_anon } from "../fixtures.js";

export const P: number = api.PAGE_SIZE;
export const LEN: number = 8 * P;
export interface World {
  readonly machine: api.Machine;
  readonly current: api.Task;
  readonly buf: api.UserAddr;
}
export function world(inject: string, options: api.MachineOptions = {}): World {
  const machine = boot_for_test({ mem: 8 << 20, ...options, inject });
  const current = api.create_task(machine);
  return { machine, current, buf: map_anon(current, LEN) };
}
export const errno = (result: unknown): unknown => {
  if (api.IS_ERR(result)) return (result as api.Errno).errno;
  return api.IS_SHORT(result) ? `${(result as api.ShortPin).partial.length} of 8` : result;
};
export const of = <T, E extends api.Errno>(result: Result<T, E>): T | string =>
  result.isOk() ? result.value : result.error.errno;
/** What struck where; and the machine's memory is all there when everybody has gone. */
export function ends(w: World): string[] {
  const struck = api.injection(w.machine).injected.map(({ called }) => called);
  const { leaks, lost_pages } = api.shutdown(w.machine);
  expect([leaks.length, lost_pages]).toEqual([0, 0]);
  return struck;
}
