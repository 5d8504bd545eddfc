/**
 * Mistakes at one call site, the log of gfs2: each refused where it is made.  The site itself is call-sites/gfs2_log.
 */
import {
  bio_add_page,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  bio_set_end_io_pair,
  bio_try_add_page,
  bio_try_add_user_page,
  end_io_pair,
  put_page,
  put_user_page,
  submit_bio,
  type HeldPage,
  type Narrows,
  type OwnedAnyBio,
  type Page,
  type SpentPage,
  type UserPage,
} from "user-page";

type LogBio = OwnedAnyBio<"source">;
declare const mempool_free: Narrows<
  HeldPage,
  { is: SpentPage<"moved into the pool by mempool_free()"> }
>;
export function a_pin_into_the_pool(page: UserPage) {
  // @ts-expect-error the pool hands it out as the log's own
  mempool_free(page);
}
export function a_pin_as_a_plain_page(bio: LogBio, page: UserPage) {
  // @ts-expect-error bio_try_add_user_page()
  bio_try_add_page(bio, page, 512, 0);
}
export function a_plain_page_as_a_pin(bio: LogBio, page: Page) {
  // @ts-expect-error bio_try_add_page()
  if (bio_try_add_user_page(bio, page, 512, 0)) return;
}
export function takes_the_kind_for_granted(bio: LogBio, page: Page) {
  // @ts-expect-error its first page decides
  bio_add_page(bio, page, 512, 0);
}
export function puts_what_the_bio_took(bio: LogBio, page: UserPage) {
  if (bio_try_add_user_page(bio, page, 512, 0)) {
    // @ts-expect-error moved
    put_user_page(page);
    return;
  }
  put_user_page(page);
}
export function frees_into_the_pool_twice(page: Page) {
  mempool_free(page);
  // @ts-expect-error the pool would hand it out twice
  mempool_free(page);
}
export function one_end_for_both(bio: LogBio) {
  bio_set_end_io(bio, (ended) => {
    // @ts-expect-error of one kind or the other
    bio_release_pages(ended, false);
  });
}
export function an_end_that_releases_before_the_pair_does() {
  return end_io_pair((ended) => {
    // @ts-expect-error it only looks
    bio_put(ended);
  });
}
export function adds_after_the_log_was_sent(bio: LogBio, page: Page) {
  bio_set_end_io_pair(
    bio,
    end_io_pair(() => undefined, put_page),
  );
  submit_bio(bio);
  // @ts-expect-error
  bio_try_add_page(bio, page, 512, 0);
}
