/**
 * Mistakes at one call site, direct I/O of iomap: each refused where it is made.  The site itself is call-sites/iomap_dio.
 */
import {
  bio_add_page,
  bio_alloc,
  bio_alloc_pinned,
  bio_check_pages_dirty,
  bio_iov_iter_get_pages,
  bio_is_pinned,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  bio_set_pages_dirty,
  set_page_dirty_lock,
  submit_bio,
  ZERO_PAGE,
  type BlockDevice,
  type EndedBio,
  type IovIter,
  type PinnedBio,
  type SoftirqContext,
  type Task,
} from "user-page";

declare const bdev: BlockDevice;
type Ended = EndedBio<"plain pages"> | EndedBio<"pinned user pages">;
export function ends_both_alike(bio: Ended) {
  // @ts-expect-error the padding has nothing to release
  bio_release_pages(bio, false);
}
export function puts_both_alike(bio: Ended) {
  // @ts-expect-error the other has
  bio_put(bio);
}
export function asks(bio: Ended) {
  if (bio_is_pinned(bio)) bio_check_pages_dirty(bio);
  else bio_put(bio);
}
export function asks_and_confuses(bio: Ended) {
  // @ts-expect-error the branch of the padding
  if (!bio_is_pinned(bio)) bio_check_pages_dirty(bio);
}
export function pads_in_the_same_bio(current: Task, bio: PinnedBio<"source">) {
  // @ts-expect-error a page without a pin among pins
  bio_add_page(bio, ZERO_PAGE(current), 512, 0);
}
export function puts_the_bio_after_the_check(bio: EndedBio<"pinned user pages">) {
  bio_check_pages_dirty(bio);
  // @ts-expect-error taken
  bio_put(bio);
}
export function dirties_at_the_end(bio: PinnedBio<"dest">) {
  bio_set_end_io(bio, (ended, softirq) => {
    // @ts-expect-error locks each folio
    bio_release_pages(ended, true, softirq);
  });
}
export function dirties_page_by_page_at_the_end(current: Task, softirq: SoftirqContext) {
  // @ts-expect-error may sleep
  set_page_dirty_lock(ZERO_PAGE(current), softirq);
}
export function dirties_after_the_disk_has_it(current: Task, bio: PinnedBio<"dest">) {
  submit_bio(bio);
  // @ts-expect-error before
  bio_set_pages_dirty(bio, current);
}
export function reads_into_memory_of_a_write(current: Task, iter: IovIter<"source", "user">) {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  // @ts-expect-error pinned to be read
  return bio_iov_iter_get_pages(bio, iter, current);
}
export function pins_into_a_plain_bio(current: Task, iter: IovIter<"source", "user">) {
  const bio = bio_alloc(bdev, 1, "REQ_OP_WRITE");
  // @ts-expect-error nobody would unpin them
  return bio_iov_iter_get_pages(bio, iter, current);
}
