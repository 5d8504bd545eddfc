import {
  brd_alloc,
  get_page_unless_zero,
  get_user_page,
  IS_ERR,
  ITER_SOURCE,
  make_accessible,
  page_to_pfn,
  pfn_to_page,
  put_page,
  put_user_page,
  secure_rw_page,
  setup_uv,
} from "user-page";
import type { Bench } from "./bench.js";

/** Between the two steps another CPU may make the page secure again. */
export function wrong({ machine, current, buf }: Bench) {
  setup_uv(machine);
  using disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  const pin = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(pin)) return pin;
  const found = pfn_to_page(machine, page_to_pfn(pin));
  put_user_page(pin);
  if (IS_ERR(found)) return found;
  // @ts-expect-error nobody holds it for us
  make_accessible(found, current);
  const page = get_page_unless_zero(found);
  if (page) put_page(page);
}
export function right({ machine, current, buf }: Bench) {
  setup_uv(machine);
  using disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  const pin = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(pin)) return pin;
  const found = pfn_to_page(machine, page_to_pfn(pin));
  put_user_page(pin);
  if (IS_ERR(found)) return found;
  const page = get_page_unless_zero(found);
  if (!page) return;
  const error = make_accessible(page, current)
    ? secure_rw_page(disk, "REQ_OP_WRITE", 0, page, current)
    : null;
  put_page(page);
  if (error) return error;
}
