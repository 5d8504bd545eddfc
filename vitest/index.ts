/**
 * user-page/vitest: tests with a machine that is shut down after each, and fail on what was misused, leaked or lost.
 * @packageDocumentation
 */
import type { MisuseId } from "user-page";
import { expect } from "vitest";
import { matchers } from "./matchers.js";

expect.extend(matchers);

export { expect };
export { test, test as it, type UserPageFixtures } from "./fixtures.js";

/** What `expect()` has beside the matchers of vitest. */
export interface UserPageMatchers<R = unknown> {
  /**
   * The function misuses the API in this way: it throws the report, or the machine of the test records one while it runs.
   * Of a machine: such a report was recorded; it is taken off the list, and the test does not fail for it.
   */
  toReport(id: MisuseId): R;
  /** The machine holds nothing now: every reference was released. */
  toBeBalanced(): R;
  /** So many pins are held: on a machine all of them; on a page or a folio those on its folio; on an extent those on its pages. */
  toHavePins(nr: number): R;
}
declare module "vitest" {
  // The parameter has to be declared as vitest does.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any, @typescript-eslint/no-empty-object-type
  interface Matchers<T = any> extends UserPageMatchers<T> {}
}
