/** What the refused line of each bug of the corpus means; a hint where the table of misuses has no word for it. */
import type { MisuseId } from "user-page";

type Hint = typeof FAILED | typeof NOTHING | typeof NOT_ASKED | typeof FOR_LONG;
const FAILED = "the call may have failed: ask IS_ERR() before the value is used";
const NOTHING = "nothing may be there: the index may lie behind the end of what was got";
const NOT_ASKED = 'only a page that is pinned with "dest" may be written: its file was asked first';
const FOR_LONG = "what is kept for long is pinned with FOLL_LONGTERM";

export const OF_CORPUS: Readonly<Record<string, MisuseId | Hint | null>> = {
  "B01-rds-mr-pinned-then-put": "pin-to-put_page",
  "B02-gup-itself-puts-pins": "pin-to-put_page",
  "B04-pin-or-get-fallback-array": "page-to-put_user_page",
  "B05-rds-mr-double-after-put_user": "double-release",
  "B14-release-label-before-acquire": NOTHING,
  "B28-vmci-errno-as-u64-count": "short-pin",
  "B29-rio-partial-count-not-kept": NOTHING,
  "B31-pvr2fb-signed-unsigned-compare": FAILED,
  "B34-atomisp-releases-requested-not-got": NOTHING,
  "B35-privcmd-partial-pin-continues": "short-pin",
  "B37-bio-integrity-short-pin": NOTHING,
  "B44-dio-zero-page-inside-user-bio": "mixed-bio",
  "B47-cfg80211-ref-on-tail": "release-lent",
  "B49-iov_iter-bvec-folio-computed-once": "release-lent",
  "B56-gro-mixes-pool-and-ref-frags": "page-to-put_user_page",
  "B58-i915-userptr-unlocked-dirty": NOT_ASKED,
  "B59-vmci-dirty-without-lock": NOT_ASKED,
  "B62-xen-write-pins-never-dirtied": NOT_ASKED,
  "B64-fuse-dio-dirties-kernel-pages": "page-to-put_user_page",
  "B65-bio-integrity-dirty-in-end_io": "sleep-in-atomic",
  "B67-nitro-gup-without-mmap-lock": "lock-not-held",
  "B68-atomisp-pin-after-unlock": "lock-not-held",
  "B70-smc-splice-ref-after-publish": "use-after-release",
  "B71-s390-accessible-before-ref": "accessible-before-reference",
  "B76-sev-flush-after-unlock": "use-after-release",
  "B77-s390-wait-writeback-no-ref": "no-reference",
  "B79-khugepaged-trace-after-put": "use-after-release",
  "B80-9p-zc-killed-wait": "double-release",
  "B82-xdp-umem-gup-not-longterm": FOR_LONG,
  "B85-bool-passed-as-gup-flags": "illegal-flags",
  "B88-dirty-cow": "wrong-direction",
  "B91-fork-cows-a-pinned-page": NOT_ASKED,
  "B95-kvm-ref-on-unrefcounted-pfn": "no-reference",
  "B97-memfd-pin-puts-err-ptr": FAILED,
  // A reference that is held is asked for once more: no rule of the table is broken.
  "B98-try_get_page-is-not-speculative-get": null,
};
