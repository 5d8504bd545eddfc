/** 512 pages pinned by one call and released by one, over 1 GiB of single pages. */
import { ok, type Result } from "neverthrow";
import {
  boot,
  create_task,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  misuse_reports,
  pin_user_pages_fast,
  PTR_ERR,
  put_user_pages,
  user_ptr_add,
  type Errno,
  type GupError,
  type Task,
  type UserAddr,
} from "user-page";
import type { Workload } from "../serve.js";
import { check_pins, debug_level, GIB, populated_gib, WINDOW, word } from "./common.js";

const BYTES = WINDOW * 4096;

/** The pages that were pinned and released, or a negative number. */
function batch_number(current: Task, addr: UserAddr): number {
  const pages = pin_user_pages_fast(current, addr, WINDOW, ITER_DEST);
  if (IS_ERR(pages) || IS_SHORT(pages)) return -14;
  const nr = pages.length;
  put_user_pages(pages);
  return nr;
}
/** The same as a Result. */
function batch_result(current: Task, addr: UserAddr): Result<number, GupError | Errno<"EFAULT">> {
  const pages = pin_user_pages_fast(current, addr, WINDOW, ITER_DEST);
  if (IS_ERR(pages)) return PTR_ERR(pages);
  if (IS_SHORT(pages)) throw new Error("some pages were not pinned");
  const nr = pages.length;
  put_user_pages(pages);
  return ok(nr);
}

/** `<number|result> <debug level>` */
export function batch(args: readonly string[]): Workload {
  const form = word(args[0], "number", "result");
  const CONFIG_DEBUG_USER_PAGE_REFERENCES = debug_level(args[1]);
  const machine = boot({ mem: GIB + (8 << 20), CONFIG_DEBUG_USER_PAGE_REFERENCES });
  const current = create_task(machine);
  const start = populated_gib(current, false);
  let offset = 0;
  let total = 0;
  let windows_done = 0;
  const by_number = (windows: number): void => {
    for (let w = 0; w < windows; w++) {
      const nr = batch_number(current, user_ptr_add(start, offset));
      if (nr < 0) throw new Error(`error ${nr}`);
      total += nr;
      offset = (offset + BYTES) % GIB;
    }
    windows_done += windows;
  };
  const by_result = (windows: number): void => {
    for (let w = 0; w < windows; w++) {
      const done = batch_result(current, user_ptr_add(start, offset));
      if (done.isErr()) throw new Error(done.error.message);
      total += done.value;
      offset = (offset + BYTES) % GIB;
    }
    windows_done += windows;
  };
  return {
    chunk: form === "number" ? by_number : by_result,
    per_window: WINDOW,
    check() {
      if (total !== windows_done * WINDOW) throw new Error("pages are missing");
      if (misuse_reports(machine).length > 0) throw new Error("misuse was reported");
      check_pins(machine, true);
    },
  };
}
