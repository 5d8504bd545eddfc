/** get_page() and put_page() of handles that are kept, as on machines that are observed they must be. */
import { boot, create_task, get_page, misuse_reports, put_page, type OwnedPage } from "user-page";
import type { Workload } from "../serve.js";
import { check_counts, debug_level, kept_pages, WINDOW } from "./common.js";

const NR = 2 ** 14;

/** `<debug level>` */
export function single(args: readonly string[]): Workload {
  const CONFIG_DEBUG_USER_PAGE_REFERENCES = debug_level(args[0]);
  const machine = boot({ mem: 2 * NR * 4096, CONFIG_DEBUG_USER_PAGE_REFERENCES });
  const pages = kept_pages(create_task(machine), NR);
  const held: OwnedPage[] = pages.slice(0, WINDOW);
  let position = 0;
  return {
    chunk(windows) {
      for (let w = 0; w < windows; w++) {
        const from = position | 0;
        for (let j = 0; j < WINDOW; j++) held[j] = get_page(pages[from + j]!);
        for (let j = 0; j < WINDOW; j++) put_page(held[j]!);
        position = (position + WINDOW) & (NR - 1);
      }
    },
    per_window: WINDOW,
    check() {
      check_counts(pages);
      if (misuse_reports(machine).length > 0) throw new Error("misuse was reported");
    },
  };
}
