/** A driver with one mistake or none, and what is found in it. */
import * as api from "user-page";
import {
  inject_each,
  type Driver,
  type DriverWorld,
  type InjectionOptions,
  type InjectionRun,
} from "user-page";
import { expect } from "vitest";
import { forced, pattern_of } from "../fixtures.js";

export const P: number = api.PAGE_SIZE;
export const FILE: Uint8Array = pattern_of(8 * P, 5);
export const LEN: number = FILE.length;
export const world: { readonly file: Uint8Array } = { file: FILE };
export const arrived = ({ current, buf }: DriverWorld): boolean => {
  const bytes = new Uint8Array(LEN);
  api.copy_from_user(current, bytes, buf)._unsafeUnwrap();
  return Buffer.compare(bytes, FILE) === 0;
};
export const faulty = (runs: readonly InjectionRun[]): InjectionRun[] =>
  runs.filter(({ findings }) => findings.length > 0);
/** The specifications that show something, each with the kinds of what it shows. */
export const found = (driver: Driver, options: InjectionOptions = {}): Record<string, string[]> => {
  const report = inject_each(driver, { world, ...options });
  expect(report.clean.findings).toEqual([]);
  expect(report.skipped).toEqual([]);
  return Object.fromEntries(
    faulty(report.runs).map(({ spec, findings }) => [spec, findings.map(({ kind }) => kind)]),
  );
};
export const ALL_FINE: RegExp = /^\d+ failures injected, one in each run: all fine$/;

/** A right driver but for `mistake`. */
export function reads(
  mistake: "none" | "short pin" | "double release" | "data lost" | "throws",
): Driver {
  return ({ current, disk, buf, len }) => {
    const pages = api.pin_user_pages_fast(current, buf, len / P, api.ITER_DEST);
    if (api.IS_ERR(pages)) {
      if (mistake === "throws") throw new Error(`no pages: ${pages.message}`);
      return pages;
    }
    if (api.IS_SHORT(pages)) {
      if (mistake === "short pin") return pages.partial.length - len / P;
      api.put_user_pages(pages.partial);
      return false;
    }
    const bio = api.bio_alloc_pinned(disk, len / P, "REQ_OP_READ");
    for (const page of [...pages]) api.bio_add_user_page(bio, page, P, 0);
    const error = api.submit_bio_wait(bio, current);
    if (error && mistake === "double release") forced(api.put_user_pages)(pages);
    api.bio_release_pages(bio, !error, current);
    api.bio_put(bio);
    return mistake === "data lost" ? len : (error ?? len);
  };
}
export const PAGE_FAULTS: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8, 9];
