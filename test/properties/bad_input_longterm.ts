/** Rows of long-term pins: contiguous memory, files of devices, limits on locked memory. */
import * as api from "user-page";
import { must } from "../fixtures.js";
import type { Bench } from "./bad_input.js";

const pin = (b: Bench) => must(api.get_user_page(b.current, b.buf, "dest", api.FOLL_LONGTERM));
const pins = (b: Bench) =>
  must(api.all_or_none(api.pin_user_pages_fast(b.current, b.buf, 2, "dest", api.FOLL_LONGTERM)));

export const BAD_LONGTERM: Readonly<Record<string, (b: Bench) => unknown[]>> = {
  page_count: () => [NaN, -1, 1.5, Infinity, 2 ** 60, "8", {}, null],
  resource: () => [NaN, -1, 7, "8", null, {}],
  rlimit: () => [NaN, -1, 1.5, "8", null, {}],
  capabilities: () => [null, undefined, "text", 14, {}, [13], [NaN], ["14"]],
  no_set: () => [null, undefined, "text", {}, [], new Map()],
};
export const LONGTERM_ROWS: Readonly<
  Record<string, readonly [args: (b: Bench) => unknown[], ...kinds: string[]]>
> = {
  cma_alloc: [(b) => [b.current, 1], "context", "count"],
  cma_page: [(b) => [must(api.cma_alloc(b.current, 2)), 0], "object", "count"],
  cma_release: [(b) => [must(api.cma_alloc(b.current, 2))], "object"],
  dax_file: [(b) => [b.current, 4096], "context", "count"],
  folio_is_longterm_pinnable: [(b) => [api.page_folio(pin(b))], "handle"],
  account_locked_vm: [
    (b) => [b.current.mm, 1, true, b.current],
    "object",
    "page_count",
    "any",
    "task",
  ],
  account_pinned_vm: [(b) => [b.current, 1], "task", "page_count"],
  io_account_mem: [(b) => [b.current, 1], "task", "page_count"],
  io_buffer_account_pin: [(b) => [b.current, pins(b), new Set()], "task", "array", "no_set"],
  xdp_umem_account_pages: [(b) => [b.current, 1], "task", "page_count"],
  unaccount_mem: [(b) => [must(api.io_account_mem(b.current, 1))], "object"],
  locked_memory: [(b) => [b.current], "task"],
  setrlimit: [(b) => [b.current, api.RLIMIT_MEMLOCK, 4096], "task", "resource", "rlimit"],
  capset: [(b) => [b.current, []], "task", "capabilities"],
};
