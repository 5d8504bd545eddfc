/// <reference lib="esnext.disposable" preserve="true" />
/** Types of bios: kind and direction are chosen at allocation and stand in the type wherever the bio is. */

import type { Held, Owned, Ref, SpentOwned, SpentRef } from "./affine.js";
import type { BvecPinnedFor } from "./bvec.js";
import type { SoftirqContext } from "./context.js";
import type { Dir, LentUserPage, Page, UserPagePinnedFor } from "./page.js";

declare const kind: unique symbol;
declare const holds: unique symbol;
declare const accepts: unique symbol;
declare const ended: unique symbol; // came back from the device
declare const emptied: unique symbol; // its pages are released

/** A disk.  `using bdev = …` closes it. */
export interface BlockDevice extends Disposable {
  readonly [kind]: "block device";
  readonly name: string;
  /** bytes */
  readonly size: number;
}
export type Op = "REQ_OP_READ" | "REQ_OP_WRITE";
/** A READ bio writes into the pages. */
export interface DirOf {
  REQ_OP_READ: "dest";
  REQ_OP_WRITE: "source";
}
/**
 * Pins a bio of direction D takes: data may be read out of a 'dest' pin too; a bio whose direction is
 * known at run time only takes no other.
 */
export type PinFor<D extends Dir> = [D] extends ["source"] ? Dir : "dest";

export type Holds = "plain pages" | "pinned user pages";
interface bio<H extends Holds, D extends Dir = Dir> extends Disposable {
  readonly [kind]: "bio";
  readonly [holds]: H;
  readonly [accepts]: D;
}
interface ended_bio<H extends Holds> extends bio<H> {
  readonly [ended]: true;
}
interface emptied_bio extends bio<"pinned user pages", any> {
  readonly [emptied]: true;
}
/** Neither ended nor emptied. */
interface Fresh {
  readonly [ended]?: never;
  readonly [emptied]?: never;
}
interface Full {
  readonly [emptied]?: never;
}

// what variables hold
export type OwnedPlainBio = Owned<bio<"plain pages">>;
export type OwnedPinnedBio<D extends Dir = Dir> = Owned<bio<"pinned user pages", D>>;
// [ended] is mutable here and readonly in SpentBioRef: a join keeps both, as affine.ts says of Ref.
export type EmptiedBio = Owned<emptied_bio, any> & { [ended]: any };
export type SpentBioRef<By> = SpentRef<
  bio<never, never> & { readonly [ended]: never; readonly [emptied]: never },
  By
>;
export type SpentBio<By> =
  | SpentOwned<bio<any, any> & { readonly [ended]: any; readonly [emptied]: any }, By>
  | SpentBioRef<By>;
// what people write: parameters and fields
export type PlainBio = Ref<bio<"plain pages">>;
export type PinnedBio<D extends Dir = Dir> = Ref<bio<"pinned user pages", D>>;
export type AnyBio = PlainBio | PinnedBio;
/** What bi_end_io receives. */
export type EndedBio<H extends Holds> = Ref<ended_bio<H>>;
// what the library asks for
export type HeldPlainBio = Held<bio<"plain pages"> & Fresh>;
export type PinnedBioFor<D extends Dir> = Held<bio<"pinned user pages", D> & Fresh>;
export type FreshBio<H extends Holds> = Held<bio<H> & Fresh>;
export type HeldBio = Held<bio<Holds> & Fresh>;
export type BioOf<H extends Holds> = Held<bio<H>>;
export type BioWithPins = Held<bio<"pinned user pages"> & Full>;
export type BioBackFromDevice = Held<ended_bio<Holds>>;
export type BioWithoutPins = Held<emptied_bio> | Held<bio<"plain pages">>;
export type PinnedOf<T> = Extract<
  T,
  Owned<bio<"pinned user pages">> | Ref<bio<"pinned user pages">>
>;

export type EndIo<H extends Holds> = (bio: EndedBio<H>, softirq: SoftirqContext) => void;
/**
 * What the submitter added.  The page of a pinned bio is lent: the bio releases it.  What end_io does
 * with a plain one is its own affair.
 */
export interface Segment<H extends Holds> {
  readonly page: H extends "plain pages" ? Page : LentUserPage;
  readonly offset: number;
  readonly len: number;
}

// A predicate reaches its type through To['is'], as in Narrows; D ties the direction of the pages to the bio's.
export type AddUserPage<To extends { is: any }> = <D extends Dir>(
  bio: PinnedBioFor<D>,
  page: UserPagePinnedFor<PinFor<NoInfer<D>>>,
  len: number,
  offset: number,
) => page is To["is"];
export type AddUserBvec<To extends { is: any }> = <D extends Dir>(
  bio: PinnedBioFor<D>,
  bvec: BvecPinnedFor<PinFor<NoInfer<D>>>,
) => bvec is To["is"];
