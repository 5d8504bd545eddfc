/// <reference lib="esnext.disposable" preserve="true" />
/** The array of pinned pages that acquirers return, and the short one (ours). */

import { raw, to_short_pin, to_user_pages } from "../handle/cast.js";
import { ERR_PTR, IS_ERR, type GupError } from "../handle/errno.js";
import { ENDS, type EndedBy } from "../handle/kinds.js";
import type {
  Dir,
  HeldUserPages,
  OwnedDestPages,
  OwnedUserPage,
  OwnedUserPages,
  PinResult,
  ShortPin,
  Term,
} from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { is_of_running_machine, machine_of_pfn, throw_misuse } from "../machine/machine.js";
import { ended_with } from "../machine/misuse.js";
import { unpin_each } from "./unpin.js";

/** Who pins by a token of its own; vaddr_pin.ts has it. */
export interface PinOwner {
  readonly name: string;
  released(nr_pages: number): void;
}
/** An array that knows whether it was released as a whole.  What map() and its kind return is a plain array. */
export class UserPages extends Array<OwnedUserPage> {
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }
  #ended: EndedBy | null = null;
  /** of vaddr_pin_pages() */
  owner: PinOwner | null = null;
  /** of iov_iter_extract_pages(): where its bytes begin in the first page, and how many there are */
  offset = 0;
  bytes = 0;
  #refuse(id: "double-release" | "use-after-release", called: string, how: EndedBy): never {
    const first = this.length === 0 ? undefined : raw(this[0]!);
    const machine = first === undefined ? undefined : machine_of_pfn(first >>> PAGE_HANDLE_SHIFT);
    const evidence = ended_with(machine, first, ENDS[how]);
    throw_misuse(id, called, `array of ${this.length} pinned pages`, evidence, machine);
  }
  /** The array is released as a whole now; a second time is misuse. */
  end(by: EndedBy): void {
    if (this.#ended !== null) this.#refuse("double-release", `${by}()`, this.#ended);
    this.#ended = by;
  }
  /** What is left, in an array of its own. */
  take(): UserPages {
    if (this.#ended !== null) this.#refuse("use-after-release", "no_free_ptr()", this.#ended);
    const left = new UserPages();
    for (const page of this) left.push(page);
    left.owner = this.owner;
    left.offset = this.offset;
    left.bytes = this.bytes;
    this.length = 0;
    return left;
  }
  [Symbol.dispose](): void {
    if (this.#ended !== null) return;
    this.#ended = "put_user_pages";
    const first = this[0];
    if (first !== undefined && !is_of_running_machine(raw(first))) return;
    unpin_each(this, "put_user_pages()", this.owner ?? undefined);
    this.owner?.released(this.length);
  }
}

/** Arrays users made themselves have no state; those of acquirers end here. */
export function end_array(pages: HeldUserPages, by: EndedBy): void {
  if (pages instanceof UserPages) pages.end(by);
}

class ShortPinOf {
  readonly asked: number;
  readonly partial: UserPages;
  constructor(asked: number, partial: UserPages) {
    this.asked = asked;
    this.partial = partial;
  }
  [Symbol.dispose](): void {
    this.partial[Symbol.dispose]();
  }
}
/** The result of an acquiring call: all, some or none. */
export function pin_result<D extends Dir, T extends Term>(
  pages: UserPages,
  asked: number,
  error: GupError | null,
): PinResult<D, T> {
  if (pages.length === asked) return to_user_pages(pages);
  return pages.length === 0 && error ? error : to_short_pin(new ShortPinOf(asked, pages));
}

/**
 * Whether fewer pages were pinned than asked for (ours).  Those that were are in `.partial`.
 *
 * @example
 * using pinned = pin_user_pages_fast(current, buf, 17, ITER_SOURCE); // buf has 16
 * if (IS_SHORT(pinned)) console.log(pinned.partial.length, "of", pinned.asked); // -> 16 of 17
 */
export function IS_SHORT<T>(pinned: T): pinned is Extract<T, ShortPin> {
  return pinned instanceof ShortPinOf;
}
/**
 * Puts a short pin back and makes it EFAULT (ours): all pages or none.
 *
 * @example
 * using pages = all_or_none(pin_user_pages_fast(current, buf, 8, ITER_DEST));
 * if (IS_ERR(pages)) return pages;
 */
export function all_or_none<D extends Dir, T extends Term>(
  pinned: PinResult<D, T>,
): OwnedUserPages<D, T> | GupError {
  if (IS_ERR(pinned)) return pinned;
  const short: object = pinned;
  if (short instanceof UserPages) return to_user_pages(short);
  if (!(short instanceof ShortPinOf)) {
    throw_misuse("not-a-handle", "all_or_none()", "no result of a pinning call");
  }
  const message = `${short.partial.length} of ${short.asked} pages could be pinned`;
  short[Symbol.dispose]();
  return ERR_PTR("EFAULT", message);
}
/**
 * Whether pages whose direction is known at run time only may be written (ours): page numbers do not carry it, so the
 * caller says it.
 */
export function pages_are_dest(pages: HeldUserPages, dir: Dir): pages is OwnedDestPages {
  void pages;
  return dir === "dest";
}

/** Bytes of a range, as pages it touches. */
export function pages_of(addr: number, len: number): number {
  return len === 0
    ? 0
    : Math.floor((addr + len - 1) / PAGE_SIZE) - Math.floor(addr / PAGE_SIZE) + 1;
}
