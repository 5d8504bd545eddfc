/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Scopes for handles that are numbers, which `using` does not take.  Models __free() and no_free_ptr() of
 * linux/cleanup.h.
 */

import type { HeldArray } from "../handle/affine.js";
import type { BvecListPinnedFor, OwnedBvecList } from "../handle/bvec.js";
import { IS_ERR, type AnyErrno, type Errno } from "../handle/errno.js";
import type {
  BorrowedFolio,
  BorrowedPage,
  Dir,
  Folio,
  HeldFolio,
  HeldPage,
  HeldUserPage,
  LentUserPage,
  OwnedUserPage,
  OwnedUserPages,
  Page,
  Term,
  user_pages,
} from "../handle/page.js";
import { is_of_running_machine, throw_misuse } from "../machine/machine.js";
import { ended } from "../machine/misuse.js";
import { UserBvecList } from "./bvec_state.js";
import { UserPages } from "./user_pages.js";

/** What a scope shows of the handle it owns: usable, not releasable. */
export type LentOf<H> =
  H extends OwnedUserPage<infer D, infer T>
    ? LentUserPage<D, T>
    : H extends Page
      ? BorrowedPage
      : H extends Folio
        ? BorrowedFolio
        : never;
/** Owns a handle until the end of the block. */
export interface Scope<H> extends Disposable {
  /** the handle, lent */
  readonly page: LentOf<H>;
  /** moves the handle out; no_free_ptr() calls it */
  take(): H;
}

class ScopeOf<H> {
  #handle: H | null;
  readonly #free: (handle: H) => void;
  constructor(free: (handle: H) => void, handle: H) {
    this.#free = free;
    this.#handle = handle;
  }
  get page(): H {
    return this.#held(".page");
  }
  take(): H {
    const handle = this.#held("no_free_ptr()");
    this.#handle = null;
    return handle;
  }
  #held(called: string): H {
    if (this.#handle === null) {
      throw_misuse("use-after-release", called, "scope", ended("moved out or released"));
    }
    return this.#handle;
  }
  [Symbol.dispose](): void {
    const handle = this.#handle;
    this.#handle = null;
    if (handle !== null && is_of_running_machine(Number(handle))) this.#free(handle);
  }
}
/**
 * Gives a page, pin or folio to the block: what was not moved out by no_free_ptr() is released at its end.  Pass the
 * acquiring call itself, so that no other name for the handle exists.  Models `p __free(put_page) = alloc_page()`.
 *
 * @param free - the function that releases this kind: put_page, put_user_page, folio_put
 * @param handle - the handle, or the error, which is returned as it is
 * @example
 * using zero = __free(put_page, alloc_page(current));
 * if (IS_ERR(zero)) return zero;
 * console.log(page_ref_count(zero.page));
 */
export function __free<P extends HeldPage | HeldUserPage | HeldFolio, H extends P | AnyErrno>(
  free: (handle: P) => void,
  handle: H,
): Scope<Exclude<H, Errno>> | Extract<H, Errno> {
  if (typeof free !== "function") throw new RangeError("__free(): free is no function");
  if (IS_ERR(handle)) return handle;
  const scope: Disposable = new ScopeOf<P>(free, handle as P & H);
  return scope as Scope<Exclude<H, Errno>>;
}
/**
 * Moves the handle out of its scope: the caller owns it.  Of a list or an array of pins, which are scopes themselves, what is
 * left moves into a new one; the old one is empty then, and the end of its block releases nothing.  Models no_free_ptr().
 *
 * @example
 * using scope = __free(put_page, alloc_page(current));
 * if (IS_ERR(scope)) return scope;
 * const page = no_free_ptr(scope); // the end of the block releases nothing now
 * put_page(page);
 * using bvecs = get_user_bvec(current, buf, 8192, ITER_SOURCE);
 * if (IS_ERR(bvecs)) return bvecs;
 * const registered = no_free_ptr(bvecs); // after the last thing that can fail
 * console.log(bvecs.count, registered.count); // -> 0 8192
 * put_user_bvec(registered);
 */
export function no_free_ptr<H>(scope: Scope<H>): H;
export function no_free_ptr<D extends Dir, T extends Term>(
  bvecs: BvecListPinnedFor<D, T>,
): OwnedBvecList<D, T>;
export function no_free_ptr<D extends Dir, T extends Term>(
  pages: HeldArray<user_pages<D, T>>,
): OwnedUserPages<D, T>;
export function no_free_ptr(owner: object): unknown {
  if (owner instanceof UserBvecList) {
    owner.assert_held("no_free_ptr()");
    return owner.take();
  }
  if (owner instanceof UserPages) return owner.take();
  if (!(owner instanceof ScopeOf)) throw_misuse("not-a-handle", "no_free_ptr()", "no scope");
  const taken: unknown = owner.take();
  return taken;
}
