/**
 * rds_message_zcopy_from_user() of net/rds/message.c puts the pages of its message when one cannot be had, and leaves the
 * message's count as it was, so that the purge puts them again: "net/rds: reset op_nents when zerocopy page pin fails".
 * In C nobody empties a container by releasing what is in it.  A loop over an array of handles leaves them in the array
 * here too, and debug mode reports the second round; taking them out one by one cannot be done twice.
 */
import {
  iov_iter_get_pages2,
  iov_iter_init,
  IS_ERR,
  ITER_SOURCE,
  PAGE_SIZE,
  pop_iter_page,
  put_page,
  type Page,
} from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

interface RdsMessage {
  readonly sg: Page[];
}
/** The user's memory; a part of it is not mapped, if something fails. */
function user_iter({ buf, hole, fails }: Bench) {
  const second = { iov_base: hole, iov_len: PAGE_SIZE };
  return iov_iter_init(ITER_SOURCE, [
    { iov_base: buf, iov_len: 2 * PAGE_SIZE },
    ...(fails ? [second] : []),
  ]);
}
function zcopy_from_user(bench: Bench, rm: RdsMessage) {
  const from = user_iter(bench);
  while (from.count > 0) {
    const pages = iov_iter_get_pages2(from, PAGE_SIZE, 1, bench.current);
    if (IS_ERR(pages)) {
      for (const page of rm.sg) put_page(page);
      return pages;
    }
    const page = pop_iter_page(pages);
    if (page) rm.sg.push(page);
  }
}
function rds_message_purge(rm: RdsMessage) {
  for (const page of rm.sg) put_page(page);
}
export function wrong(bench: Bench) {
  const rm: RdsMessage = { sg: [] };
  const error = zcopy_from_user(bench, rm);
  rds_message_purge(rm);
  return error;
}

/** Takes out what it puts. */
function purge(rm: RdsMessage) {
  for (let page = rm.sg.pop(); page; page = rm.sg.pop()) put_page(page);
}
export function right(bench: Bench) {
  const rm: RdsMessage = { sg: [] };
  const from = user_iter(bench);
  while (from.count > 0) {
    using pages = iov_iter_get_pages2(from, PAGE_SIZE, 1, bench.current);
    if (IS_ERR(pages)) {
      purge(rm);
      return pages;
    }
    const page = pop_iter_page(pages);
    if (page) rm.sg.push(page);
  }
  for (const page of rm.sg) dma_to_device(bench.device, page);
  purge(rm);
}
