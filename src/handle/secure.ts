/**
 * Pages that no secure guest can claim while they are held (ours): what I/O asks for on a machine with secure pages.  A
 * handle is accessible from make_accessible() to its release; another reference on the same page says nothing of it.
 */

import type { HeldWith, Owned, RefWith } from "./affine.js";
import type { HeldPlainBio } from "./bio.js";
import type { page } from "./page.js";

interface Accessible {
  readonly accessible: true;
}
/** A reference on a page that was made accessible after the reference was taken; `put_page()` ends both. */
export type AccessiblePage = RefWith<page, Accessible>;
export type OwnedAccessiblePage = Owned<page, Accessible>;
/** What I/O asks for. */
export type HeldAccessiblePage = HeldWith<page, Accessible>;
// A predicate reaches its type through To['is'], as in Narrows.
export type SecureBioAddPage<To extends { is: any }> = (
  bio: HeldPlainBio,
  page: HeldAccessiblePage,
  len: number,
  offset: number,
) => page is To["is"];
