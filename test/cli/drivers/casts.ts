// Three bugs that casts and a captured task hide from the compiler.
import {
  all_or_none,
  bio_add_user_page,
  bio_alloc_pinned,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  get_user_page,
  IS_ERR,
  ITER_DEST,
  pin_user_pages_fast,
  put_page,
  put_user_page,
  submit_bio,
  type DriverWorld,
  type Page,
} from "user-page";

export default function driver({ current, disk, buf }: DriverWorld) {
  const probe = get_user_page(current, buf, ITER_DEST);
  if (IS_ERR(probe)) return probe;
  put_page(probe as unknown as Page); // BUG pin-to-put_page

  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_DEST)); // BUG leak
  if (IS_ERR(pages)) return pages;
  const second = get_user_page(current, buf, ITER_DEST);
  if (IS_ERR(second)) return second;
  put_user_page(second);

  const bio = bio_alloc_pinned(disk, 4, "REQ_OP_READ");
  for (let page = pages.pop(); page; page = pages.pop()) bio_add_user_page(bio, page, 4096, 0);
  bio_set_end_io(bio, (ended) => {
    bio_release_pages(ended, true, current); // BUG sleep-in-atomic
    bio_put(ended);
  });
  submit_bio(bio);
}
