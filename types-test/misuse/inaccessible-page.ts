import {
  brd_alloc,
  get_user_pages,
  IS_ERR,
  make_accessible,
  mmap_read_lock,
  put_page,
  secure_rw_page,
  setup_uv,
  gmap_convert_to_secure,
  type Page,
} from "user-page";
import type { Bench } from "./bench.js";

/** FOLL_GET, as splice() and sendto() take their pages: nobody makes them accessible. */
export function wrong({ machine, current, buf }: Bench) {
  setup_uv(machine);
  const disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  using lock = mmap_read_lock(current, current.mm);
  gmap_convert_to_secure(lock, buf)._unsafeUnwrap();
  const pages: Page[] = [];
  get_user_pages(lock, buf, 1, 0, pages);
  for (const page of pages) {
    // @ts-expect-error it may be secure
    secure_rw_page(disk, "REQ_OP_WRITE", 0, page, current);
    put_page(page);
  }
}
export function right({ machine, current, buf }: Bench) {
  setup_uv(machine);
  using disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  using lock = mmap_read_lock(current, current.mm);
  gmap_convert_to_secure(lock, buf)._unsafeUnwrap();
  const pages: Page[] = [];
  get_user_pages(lock, buf, 1, 0, pages);
  for (const page of pages) {
    if (make_accessible(page, current)) {
      const error = secure_rw_page(disk, "REQ_OP_WRITE", 0, page, current);
      if (error) return error;
    }
    put_page(page);
  }
}
