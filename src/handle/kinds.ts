/**
 * THE TABLE (ours): every kind of handle, how its life may end, and each misuse with its sentence.
 * The types, the debug reports, the lint rules and the docs read it from here, so they always agree.
 */

/** What a handle is.  `is` is the brand, so the compiler prints it; `release` is what to call instead. */
export const KINDS = {
  page: { is: "plain page, put_page() releases it", release: "put_page()" },
  user_page: { is: "pinned user page, put_user_page() releases it", release: "put_user_page()" },
  folio: { is: "plain folio reference, folio_put() releases it", release: "folio_put()" },
  unreferenced_page: {
    is: "page without a reference, get_page_unless_zero() tries to take one",
    release: "nothing: it holds no reference",
  },
  bvec: { is: "pinned extent, put_user_bvec() releases it whole", release: "put_user_bvec()" },
  bvec_list: {
    is: "pinned extents of one range, put_user_bvec() releases them",
    release: "put_user_bvec()",
  },
  mmap_lock: { is: "held mmap_lock, mmap_read_unlock() ends it", release: "mmap_read_unlock()" },
  bio: { is: "bio, submit_bio() hands it to the device", release: "submit_bio() or bio_put()" },
  iter_pages: {
    is: "references an iterator gave, iov_iter_put_pages() releases them",
    release: "iov_iter_put_pages()",
  },
  vm_area: { is: "kernel memory, vfree() releases it", release: "vfree()" },
  cma: { is: "contiguous pages, cma_release() gives them back", release: "cma_release()" },
  pipe: { is: "pipe, free_pipe_info() releases it", release: "free_pipe_info()" },
  vaddr_page: {
    is: "pinned user page of an owner, vaddr_unpin_pages() releases it",
    release: "vaddr_unpin_pages()",
  },
  folio_pin: {
    is: "pin without a handle, unpin_user_folio() releases it",
    release: "unpin_user_folio()",
  },
} as const;
export type Kind = keyof typeof KINDS;
export type Is<K extends Kind> = (typeof KINDS)[K]["is"];

/** How a handle's life ends.  A spent handle's type carries the sentence, a report prints it. */
export const ENDS = {
  put_page: "released by put_page()",
  folio_put: "released by folio_put()",
  put_user_page: "released by put_user_page()",
  unpin_user_page: "released by unpin_user_page()",
  unpin_user_folio: "released by unpin_user_folio()",
  put_user_pages: "released by put_user_pages()",
  put_user_pages_dirty_lock: "released by put_user_pages_dirty_lock()",
  unpin_user_pages: "released by unpin_user_pages()",
  unpin_user_pages_dirty_lock: "released by unpin_user_pages_dirty_lock()",
  unpin_user_page_range_dirty_lock: "released by unpin_user_page_range_dirty_lock()",
  vaddr_unpin_pages: "released by vaddr_unpin_pages()",
  put_user_bvec: "released by put_user_bvec()",
  put_user_bvec_dirty_lock: "released by put_user_bvec_dirty_lock()",
  bio_add_user_page: "moved into bio by bio_add_user_page()",
  bio_add_user_bvec: "moved into bio by bio_add_user_bvec()",
  bio_try_add_user_page: "moved into bio by bio_try_add_user_page()",
  bio_try_add_user_bvec: "moved into bio by bio_try_add_user_bvec()",
  bio_release_pages: "released by bio_release_pages()",
  bio_check_pages_dirty: "taken by bio_check_pages_dirty()",
  bio_put: "released by bio_put()",
  submit_bio: "submitted by submit_bio()",
  mmap_read_unlock: "released by mmap_read_unlock()",
  iov_iter_put_pages: "released by iov_iter_put_pages()",
  vfree: "released by vfree()",
  cma_release: "given back by cma_release()",
  free_pipe_info: "released by free_pipe_info()",
  secure_bio_add_page: "moved into bio by secure_bio_add_page()",
  __free: "moved into a scope by __free()",
} as const;
export type EndedBy = keyof typeof ENDS;
/** The sentence of one ending, as a type. */
export type By<F extends EndedBy> = (typeof ENDS)[F];

/**
 * Each misuse once: the sentence a person reads, what to do instead, and what it costs in a kernel
 * that does not notice.  `seen_by` says which layers refuse or report it.
 */
export const MISUSE = {
  "pin-to-put_page": {
    sentence: "a pinned user page was released as a plain page",
    instead: "put_user_page(page), or put_user_bvec() for a range",
    otherwise:
      "put_page() drops 1 of the 1024 a pin added: the page is never freed and looks pinned forever",
    seen_by: ["types", "debug"],
  },
  "page-to-put_user_page": {
    sentence: "a plain page was released as a pinned user page",
    instead: "put_page(page)",
    otherwise:
      "1024 references are dropped where 1 was held: the count goes negative, or another holder's pin is stolen",
    seen_by: ["types", "debug"],
  },
  "double-release": {
    sentence: "a handle was released a second time",
    instead: "release once; move the handle or set the field to null where its life ends",
    otherwise: "somebody else's reference is dropped: the page is freed while it is in use",
    seen_by: ["types", "debug"],
  },
  "use-after-release": {
    sentence: "a handle was used after its reference had ended",
    instead: "use it before the release, or take a reference of your own",
    otherwise: "the memory may already belong to somebody else: their data is read or overwritten",
    seen_by: ["types", "debug"],
  },
  "release-lent": {
    sentence: "a page that belongs to another handle was released by itself",
    instead: "release the handle that owns it, as a whole; split_user_bvec() divides an extent",
    otherwise: "the owner releases it again: one reference too many is dropped",
    seen_by: ["types", "debug"],
  },
  "mixed-bio": {
    sentence: "plain pages and pinned user pages were mixed in one bio",
    instead:
      "submit this bio and start one of the other kind; page_to_user_page() for the zero page",
    otherwise: "the completion handler releases both kinds the same way: one of them wrongly",
    seen_by: ["types", "always"],
  },
  "wrong-direction": {
    sentence: "memory pinned for reading was given to something that writes into it",
    instead: 'pin it with "dest"',
    otherwise:
      "copy-on-write was never broken and page_mkwrite never ran: a shared page is overwritten",
    seen_by: ["types", "debug"],
  },
  "sleep-in-atomic": {
    sentence: "a function that may sleep was called in atomic context",
    instead: "schedule_work(), or the variant that does not dirty",
    otherwise: "dirtying locks each folio: the machine hangs in its interrupt handler",
    seen_by: ["types", "always"],
  },
  "lock-not-held": {
    sentence: "the mmap_lock is not held",
    instead: "mmap_read_lock(current, mm), and keep it until the call returned",
    otherwise: "the mapping changes under the walk: pages of somebody else are pinned",
    seen_by: ["types", "always"],
  },
  "lock-recursion": {
    sentence: "the mmap_lock is waited for while its holder cannot release it",
    instead: "use the variant that is told about the lock, or unlock first",
    otherwise: "the task waits for itself",
    seen_by: ["always"],
  },
  "bio-put-with-pins": {
    sentence: "a bio was put while its pages were still pinned",
    instead: "bio_release_pages(bio, mark_dirty), then bio_put(bio)",
    otherwise: "its pages stay pinned forever",
    seen_by: ["types", "always"],
  },
  "bio-reused": {
    sentence: "a bio was used after it had been handed over",
    instead: "start another bio",
    otherwise: "two owners complete and release it",
    seen_by: ["types", "always"],
  },
  "bio-full": {
    sentence: "a segment was added to a bio that has no room for it",
    instead: "bio_add_page(), and look at the answer: 0 means submit it and start another",
    otherwise: "the segment is written behind the end of the bio: memory of somebody else",
    seen_by: ["always"],
  },
  "clone-in-flight": {
    sentence: "the pages of a bio were released while a device still uses them through a clone",
    instead: "bio_chain(clone, bio): the bio ends after its clones",
    otherwise: "the device reads or writes pages that belong to somebody else by then",
    seen_by: ["always"],
  },
  "hung-task": {
    sentence: "a task waits for a completion that nobody is going to deliver",
    instead: "submit the bios that were chained to this one",
    otherwise: "the task sleeps forever, and its pages stay pinned",
    seen_by: ["always"],
  },
  "wrong-owner": {
    sentence: "pages were unpinned by another owner than the one that pinned them",
    instead: "vaddr_unpin_pages() with the vaddr_pin that was given to vaddr_pin_pages()",
    otherwise: "the owner's count of outstanding pins is wrong: it may be torn down under a device",
    seen_by: ["debug"],
  },
  "no-reference": {
    sentence: "a page was used through which no reference is held",
    instead: "get_page_unless_zero(page), and look at the answer",
    otherwise: "the page may be freed, frozen or reused at any moment",
    seen_by: ["types"],
  },
  "inaccessible-page": {
    sentence: "a page that may be secure was given to a device",
    instead: "make_accessible(page, current) while a reference is held, and look at the answer",
    otherwise: "the device gets an access exception: the transfer fails, or the machine stops",
    seen_by: ["types", "always"],
  },
  "accessible-before-reference": {
    sentence: "a page was made accessible before a reference was taken on it",
    instead: "get_page_unless_zero(page), then make_accessible(page, current)",
    otherwise: "it may be secure again before the I/O begins: the device gets an access exception",
    seen_by: ["types", "always"],
  },
  "not-a-handle": {
    sentence: "the value is no handle of a running machine",
    instead: "pass what an acquiring function returned, unchanged",
    otherwise: "a random word of memory is counted up or down",
    seen_by: ["types", "always"],
  },
  "page-is-free": {
    sentence: "the page has no references left: it is free or frozen",
    instead: "find out who dropped the last one; debug mode tells",
    otherwise: "the count of a free page goes wrong: the allocator hands it out twice",
    seen_by: ["always"],
  },
  leak: {
    sentence: "a reference was never released",
    instead: "release it on every way out: `using` does",
    otherwise: "the memory is lost until reboot; as a pin it also blocks migration and splitting",
    seen_by: ["debug"],
  },
  "short-pin": {
    sentence: "fewer pages were pinned than asked for, and the rest was taken for granted",
    instead: "IS_SHORT(pages) and .partial, or all_or_none(pages)",
    otherwise: "pages nobody pinned are used and released",
    seen_by: ["types"],
  },
  "illegal-flags": {
    sentence: "these FOLL_ flags may not be given together, or not to this function",
    instead: "gup_flags() accepts the combinations that are legal",
    otherwise: "the call warns and fails; pin_user_pages() even answers 0, which is no error",
    seen_by: ["types"],
  },
  "address-confusion": {
    sentence: "a user address, a page frame number and a page are different things",
    instead: "page_to_pfn(), pfn_to_page(), u64_to_user_ptr()",
    otherwise: "the wrong page is pinned, or the wrong one released",
    seen_by: ["types"],
  },
} as const;
export type MisuseId = keyof typeof MISUSE;
