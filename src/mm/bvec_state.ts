/// <reference lib="esnext.disposable" preserve="true" />
/** Extents and lists of them at run time: what they hold, whether they still do, and how they ended (ours). */

import type { LentBvec } from "../handle/bvec.js";
import { lend_bvec, lend_user_page } from "../handle/cast.js";
import { ENDS, type EndedBy } from "../handle/kinds.js";
import type { Dir, LentUserPage } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { throw_misuse, type MachineState } from "../machine/machine.js";
import { ended, ended_with, fact, NO_EVIDENCE, type Evidence } from "../machine/misuse.js";
import { set_folio_dirty } from "./page-writeback.js";
import { pin_sub } from "./page_ref.js";

export const pfn_of = (handle: number): number => handle >>> PAGE_HANDLE_SHIFT;

/** What an extent and a list share: whether they are still held, and how they ended. */
abstract class Extents {
  readonly machine: MachineState;
  readonly dir: Dir;
  ended: EndedBy | null = null;
  constructor(machine: MachineState, dir: Dir) {
    this.machine = machine;
    this.dir = dir;
  }
  abstract describe(): string;
  /** The handle of an extent, for its history; 0 if there is none. */
  abstract get first(): number;
  /** What debug mode knows of it, and how it ended. */
  evidence(): Evidence {
    if (!this.machine.alive) return ended("its machine was shut down");
    if (this.ended === null) return NO_EVIDENCE;
    return ended_with(this.machine, this.first || undefined, ENDS[this.ended]);
  }
  /** Drops the reference of each extent that is left. */
  protected abstract drop(by: string): void;
  assert_held(called: string): void {
    if (this.ended === null && this.machine.alive) return;
    throw_misuse("use-after-release", called, this.describe(), this.evidence(), this.machine);
  }
  /** The handle's life ends here; a second time is misuse. */
  end(by: EndedBy): void {
    if (this.ended !== null) {
      throw_misuse("double-release", `${by}()`, this.describe(), this.evidence(), this.machine);
    }
    this.assert_held(`${by}()`);
    this.ended = by;
  }
  release(by: EndedBy): void {
    this.end(by);
    this.drop(`${by}()`);
  }
  [Symbol.dispose](): void {
    if (this.ended === null && this.machine.alive) this.release("put_user_bvec");
  }
}
function drop_extent(machine: MachineState, page: number, by: string): void {
  machine.probe?.released("bvec", page, by);
  machine.nr_user_bvec_released++;
  pin_sub(pfn_of(page), 1);
}
/** The handle of an extent: its first page, and in debug mode the identity of its one reference. */
export function acquired_extent(
  machine: MachineState,
  addr: number,
  dir: Dir,
  by: string,
  nr_pages = 1,
): number {
  machine.nr_user_bvec_acquired++;
  const { probe } = machine;
  return probe
    ? probe.acquired("bvec", addr, by, probe.site(), { dest: dir === "dest", nr_pages })
    : addr;
}

/** One extent.  Those a list lends have an owner. */
export class UserBvec extends Extents {
  readonly handle: number;
  readonly offset: number;
  len: number;
  readonly owner: UserBvecList | null;
  /** where it stands in its owner */
  readonly index: number;
  override [Symbol.dispose](): void {
    if (!this.owner) super[Symbol.dispose]();
  }
  constructor(
    machine: MachineState,
    dir: Dir,
    handle: number,
    offset: number,
    len: number,
    owner: UserBvecList | null,
    index = 0,
  ) {
    super(machine, dir);
    this.index = index;
    this.handle = handle;
    this.offset = offset;
    this.len = len;
    this.owner = owner;
    if (!owner) machine.probe?.held_by(handle, this);
  }
  override get first(): number {
    return this.handle;
  }
  get page(): LentUserPage {
    return lend_user_page(this.handle);
  }
  override assert_held(called: string): void {
    this.owner?.assert_has(this, called);
    super.assert_held(called);
  }
  override end(by: EndedBy): void {
    if (this.owner)
      throw_misuse(
        "release-lent",
        `${by}()`,
        this.describe(),
        fact("owner", this.owner.describe()),
      );
    super.end(by);
  }
  protected override drop(by: string): void {
    drop_extent(this.machine, this.handle, by);
  }
  override describe(): string {
    return `extent of ${this.len} bytes at pfn ${pfn_of(this.handle)}`;
  }
}

/** Without an object for each; false to stop before this one. */
export type TakeExtent = (handle: number, offset: number, len: number) => boolean;
/** A queue of extents; three numbers each: page, offset, length. */
export class UserBvecList extends Extents {
  readonly #extents: number[];
  #first = 0;
  #count: number;
  constructor(machine: MachineState, dir: Dir, extents: number[], count: number) {
    super(machine, dir);
    this.#extents = extents;
    this.#count = count;
    const { probe } = machine;
    if (probe) for (let i = 0; i < extents.length; i += 3) probe.held_by(extents[i]!, this);
  }
  override get first(): number {
    return this.#extents[0] ?? 0;
  }
  get count(): number {
    return this.#count;
  }
  get nr_segs(): number {
    return (this.#extents.length - this.#first) / 3;
  }
  /** A lent extent may be used while the list is held and has it still. */
  assert_has(lent: UserBvec, called: string): void {
    this.assert_held(called);
    if (lent.index >= this.#first) return;
    const what = `extent at pfn ${pfn_of(lent.handle)}`;
    throw_misuse("use-after-release", called, what, ended("moved out of its list"));
  }
  /** Moves the front out, if there is one: the caller owns its reference then. */
  shift(): UserBvec | null {
    const bvec = this.#at(this.#first, null);
    if (bvec) {
      this.#first += 3;
      this.#count -= bvec.len;
    }
    return bvec;
  }
  /** Moves extents out of the front as long as `take` takes them: their references are the taker's then. */
  move_out(take: TakeExtent): void {
    const e = this.#extents;
    for (; this.#first < e.length; this.#first += 3) {
      const len = e[this.#first + 2]!;
      if (!take(e[this.#first]!, e[this.#first + 1]!, len)) return;
      this.#count -= len;
    }
  }
  /** Puts back to the front what was moved out, or a part of it: the reference is the list's again. */
  unshift({ handle, offset, len }: UserBvec): void {
    this.#first -= 3;
    this.#extents.splice(this.#first, 3, handle, offset, len);
    this.machine.probe?.held_by(handle, this);
    this.#count += len;
  }
  /** What is left, in a list of its own. */
  take(): UserBvecList {
    const left = new UserBvecList(
      this.machine,
      this.dir,
      this.#extents.slice(this.#first),
      this.#count,
    );
    this.#first = this.#extents.length;
    this.#count = 0;
    return left;
  }
  #at(index: number, owner: UserBvecList | null): UserBvec | null {
    const e = this.#extents;
    if (index >= e.length) return null;
    const [handle, offset, len] = [e[index]!, e[index + 1]!, e[index + 2]!];
    return new UserBvec(this.machine, this.dir, handle, offset, len, owner, index);
  }
  protected override drop(by: string): void {
    const e = this.#extents;
    const { machine } = this;
    const { probe } = machine;
    const site = probe?.site();
    for (let i = this.#first; i < e.length; i += 3) {
      probe?.released("bvec", e[i]!, by, undefined, site);
      pin_sub(pfn_of(e[i]!), 1);
    }
    machine.nr_user_bvec_released += this.nr_segs;
    this.#first = e.length;
    this.#count = 0;
  }
  /** Looks at one extent after the other as long as `look` wants more. */
  look(look: TakeExtent): void {
    const e = this.#extents;
    for (let i = this.#first; i < e.length; i += 3) if (!look(e[i]!, e[i + 1]!, e[i + 2]!)) return;
  }
  set_dirty(): void {
    const e = this.#extents;
    for (let i = this.#first; i < e.length; i += 3) set_folio_dirty(pfn_of(e[i]!));
  }
  override describe(): string {
    return `list of ${this.nr_segs} extents, ${this.count} bytes`;
  }
  *[Symbol.iterator](): Iterator<LentBvec> {
    this.assert_held("iteration");
    for (let i = this.#first; i < this.#extents.length; i = Math.max(i + 3, this.#first)) {
      this.assert_held("iteration");
      yield lend_bvec(this.#at(i, this)!);
    }
  }
}

/** An extent as the library sees it, held. */
export function bvec_state(bvec: object, called: string): UserBvec {
  if (!(bvec instanceof UserBvec)) throw_misuse("not-a-handle", called, "no extent");
  bvec.assert_held(called);
  return bvec;
}
/** The same of a list. */
export function bvec_list_state(bvecs: object, called: string): UserBvecList {
  if (!(bvecs instanceof UserBvecList)) throw_misuse("not-a-handle", called, "no list of extents");
  bvecs.assert_held(called);
  return bvecs;
}
