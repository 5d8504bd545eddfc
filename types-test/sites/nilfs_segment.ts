/**
 * Mistakes at one call site, the segment buffers of nilfs: each refused where it is made.  The site itself is
 * call-sites/nilfs_segment.
 */
import {
  bio_add_page,
  bio_add_user_page,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  put_page,
  submit_bio,
  type AnyBio,
  type BorrowedPage,
  type EndedBio,
  type HeldPage,
  type Narrows,
  type Page,
  type PlainBio,
  type SpentPage,
  type UserPage,
} from "user-page";

interface WriteInfo {
  bio: PlainBio | null;
}
declare const nilfs_segbuf_add_page: Narrows<
  HeldPage,
  { is: SpentPage<"moved into the segment by nilfs_segbuf_add_page()"> },
  [segbuf: WriteInfo]
>;
export function a_pin_into_the_segment(wi: WriteInfo, page: UserPage) {
  // @ts-expect-error its pages go back by put_page()
  nilfs_segbuf_add_page(page, wi);
}
export function a_pin_into_a_bio_made_elsewhere(wi: WriteInfo, page: UserPage) {
  // @ts-expect-error made for plain pages: the field says so
  if (wi.bio && bio_add_user_page(wi.bio, page, 512, 0)) return;
}
export function puts_what_the_segment_has(wi: WriteInfo, page: Page) {
  nilfs_segbuf_add_page(page, wi);
  // @ts-expect-error moved
  put_page(page);
}
export function adds_it_twice(wi: WriteInfo, page: Page) {
  nilfs_segbuf_add_page(page, wi);
  // @ts-expect-error moved
  nilfs_segbuf_add_page(page, wi);
}
export function a_page_that_somebody_else_holds(wi: WriteInfo, page: BorrowedPage) {
  // @ts-expect-error the segment would put it: get_page() first
  nilfs_segbuf_add_page(page, wi);
}
export function an_end_for_the_other_kind(wi: WriteInfo) {
  if (!wi.bio) return;
  // @ts-expect-error set far from where the bio is filled, and checked all the same
  bio_set_end_io(wi.bio, (ended: EndedBio<"pinned user pages">) => {
    bio_release_pages(ended, false);
    bio_put(ended);
  });
}
export function fills_what_was_submitted(wi: WriteInfo, page: Page) {
  if (!wi.bio) return;
  submit_bio(wi.bio);
  // @ts-expect-error still in the field
  bio_add_page(wi.bio, page, 512, 0);
}
export function fills_without_knowing(bio: AnyBio, page: Page) {
  // @ts-expect-error either kind: ask, or bio_try_add_page()
  bio_add_page(bio, page, 512, 0);
}
