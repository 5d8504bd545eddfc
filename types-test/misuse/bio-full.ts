import {
  __bio_add_page,
  bio_add_page,
  bio_alloc,
  bio_put,
  brd_alloc,
  IS_ERR,
  put_page,
} from "user-page";
import { alloc_page, submit_bio_wait } from "user-page";
import type { Bench } from "./bench.js";

/** How many segments a bio has is in no type: two pieces with a gap between them, and room for one. */
export function wrong({ machine, current }: Bench) {
  const disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  const bio = bio_alloc(disk, 1, "REQ_OP_READ");
  __bio_add_page(bio, page, 512, 0);
  __bio_add_page(bio, page, 512, 1024);
}
export function right({ machine, current }: Bench) {
  const disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  for (let offset = 0; offset < 4096;) {
    const bio = bio_alloc(disk, 1, "REQ_OP_READ");
    while (offset < 4096 && bio_add_page(bio, page, 512, offset) > 0) offset += 1024;
    submit_bio_wait(bio, current);
    bio_put(bio);
  }
  put_page(page);
}
