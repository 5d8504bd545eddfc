/**
 * Mistakes at one call site, NFS over a block layout: each refused where it is made.  The site itself is
 * call-sites/nfs_blocklayout.
 */
import {
  bio_add_page,
  bio_for_each_segment_all,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  get_page,
  iov_iter_extract_pages,
  iov_iter_get_pages2,
  iov_iter_put_pages,
  IS_ERR,
  page_folio,
  folio_page,
  pop_iter_page,
  put_page,
  put_user_page,
  put_user_pages,
  put_user_pages_dirty_lock,
  type IovIter,
  type Page,
  type PlainBio,
  type Task,
  type UserPage,
} from "user-page";

interface LegacyRequest {
  readonly wb_page: Page;
}
interface NfsPage {
  readonly wb_page: UserPage;
}
type Iter = IovIter<"source", "user">;
export function takes_no_reference_of_its_own(current: Task, iter: Iter, reqs: LegacyRequest[]) {
  using pagevec = iov_iter_get_pages2(iter, 8192, 2, current);
  if (IS_ERR(pagevec)) return;
  for (const page of pagevec) {
    // @ts-expect-error lent by the array, which ends with the block
    reqs.push({ wb_page: page });
    reqs.push({ wb_page: get_page(page) });
  }
}
export function uses_the_array_after_its_end(current: Task, iter: Iter, reqs: LegacyRequest[]) {
  const pagevec = iov_iter_get_pages2(iter, 8192, 2, current);
  if (IS_ERR(pagevec)) return;
  iov_iter_put_pages(pagevec);
  // @ts-expect-error released
  const page = pop_iter_page(pagevec);
  if (page) reqs.push({ wb_page: page });
}
export function puts_the_array_of_what_requests_have(current: Task, iter: Iter, reqs: NfsPage[]) {
  const pagevec = iov_iter_extract_pages(iter, 8192, 2, current);
  if (IS_ERR(pagevec)) return;
  for (let page = pagevec.shift(); page; page = pagevec.shift()) reqs.push({ wb_page: page });
  put_user_pages(pagevec);
  // @ts-expect-error once
  put_user_pages(pagevec);
}
export function gives_the_pin_to_a_bio_that_releases_nothing(bio: PlainBio, req: NfsPage) {
  // @ts-expect-error its end puts the bio only: lend the page instead
  bio_add_page(bio, req.wb_page, 512, 0);
  bio_add_page(bio, folio_page(page_folio(req.wb_page), 0), 512, 0);
}
export function end_io_releases_pages_of_the_request(bio: PlainBio) {
  bio_set_end_io(bio, (ended) => {
    // @ts-expect-error a bio of plain pages
    bio_release_pages(ended, false);
    for (const { page } of bio_for_each_segment_all(ended)) {
      // @ts-expect-error no pin of the bio's
      put_user_page(page);
    }
    bio_put(ended);
  });
}
export function clears_a_request_as_before(req: NfsPage) {
  // @ts-expect-error it holds a pin now
  put_page(req.wb_page);
}
export function dirties_without_the_direction(reqs: NfsPage[], current: Task) {
  const pages = reqs.map(({ wb_page }) => wb_page);
  // @ts-expect-error pages_are_dest() is told
  put_user_pages_dirty_lock(pages, current);
}
