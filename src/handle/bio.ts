/// <reference lib="esnext.disposable" preserve="true" />
/** Types of bios: kind and direction are chosen at allocation and stand in the type wherever the bio is. */

import type { Borrowed, Held, Owned, Ref, SpentOwned, SpentRef } from "./affine.js";
import type { BvecPinnedFor } from "./bvec.js";
import type { SoftirqContext } from "./context.js";
import type { Dir, LentUserPage, Page, UserPagePinnedFor } from "./page.js";

declare const kind: unique symbol;
declare const holds: unique symbol;
declare const accepts: unique symbol;
declare const ended: unique symbol; // came back from the device
declare const back: unique symbol;
declare const emptied: unique symbol; // its pages are released

/** A disk.  `using bdev = …` closes it. */
export interface BlockDevice extends Disposable {
  readonly [kind]: "block device";
  readonly name: string;
  /** bytes */
  readonly size: number;
}
/** What a disk takes at once.  Models struct queue_limits. */
export interface QueueLimits {
  /** bytes of the smallest unit it transfers: 512 to 4096 */
  readonly logical_block_size: number;
  /** bytes to which memory is aligned, 1 to 4096; a segment inside one page need not be */
  readonly dma_alignment: number;
  /** sectors of 512 bytes in one request; Infinity for no bound */
  readonly max_sectors: number;
  /** segments in one request */
  readonly max_segments: number;
}
/** A request on a disk of dm_flakey() that has not ended. */
export interface FlakeyIo {
  /** its number, from 0, in the order of submission */
  readonly nr: number;
  readonly op: Op;
  /** first sector of 512 bytes */
  readonly sector: number;
  /** bytes that were not transferred yet */
  readonly bytes_left: number;
}
/** What becomes of a request; nothing given: it passes. */
export interface FlakeyOutcome {
  /** it stays with the disk until complete(), or until somebody waits */
  readonly hold?: boolean;
  /** that many others that are under way end before it */
  readonly delay?: number;
  /** what goes before the error or, without one, in a first step: whole blocks, not more than it has */
  readonly bytes?: number;
  readonly error?: "EIO" | "ENOSPC";
}
export type FlakeyPlan = (io: FlakeyIo) => FlakeyOutcome | null;
/** A disk that fails on demand: dm_flakey(). */
export interface FlakeyDisk extends BlockDevice {
  readonly in_flight: readonly FlakeyIo[];
  /** Lets a request go that is held; false if there is none of that number.  It ends at the next run_softirqs(). */
  complete(nr: number): boolean;
}
/** Models a line of /proc/diskstats; times are not modelled. */
export interface DiskStats {
  /** requests that were read */
  readonly reads: number;
  /** bios that joined a request */
  readonly reads_merged: number;
  /** of 512 bytes */
  readonly sectors_read: number;
  readonly writes: number;
  readonly writes_merged: number;
  readonly sectors_written: number;
  /** requests the disk has now */
  readonly in_flight: number;
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

/** What a bio carries, and so what has to be released.  Of borrowed pages nothing: those of another bio, or an iterator's. */
export type Holds = "plain pages" | "pinned user pages" | "borrowed pages";
/** What its submitter can put into a bio. */
export type OwnPages = Exclude<Holds, "borrowed pages">;
interface bio<H extends Holds, D extends Dir = Dir> extends Disposable {
  readonly [kind]: "bio";
  readonly [holds]: H;
  readonly [accepts]: D;
}
interface ended_bio<H extends Holds> extends bio<H> {
  readonly [ended]: true;
  readonly [back]: true;
}
interface emptied_bio extends bio<"pinned user pages", any> {
  readonly [emptied]: true;
}
/** Neither ended nor emptied. */
interface Fresh {
  readonly [ended]?: never;
  readonly [emptied]?: never;
}
interface NotBack {
  readonly [back]?: undefined;
}
interface Full {
  readonly [emptied]?: never;
}

// what variables hold
export type OwnedPlainBio<D extends Dir = Dir> = Owned<bio<"plain pages", D>>;
export type OwnedPinnedBio<D extends Dir = Dir> = Owned<bio<"pinned user pages", D>>;
/** Of one kind or the other: its first page decided. */
export type OwnedAnyBio<D extends Dir = Dir> = OwnedPlainBio<D> | OwnedPinnedBio<D>;
/** Uses pages that somebody else keeps: a clone those of its original, others those of a kernel iterator. */
export type OwnedBorrowingBio<D extends Dir = Dir> = Owned<bio<"borrowed pages", D>>;
// [ended] is mutable here and readonly in SpentBioRef: a join keeps both, as affine.ts says of Ref.
export type EmptiedBio = Owned<emptied_bio, any> & { [ended]: any; readonly [back]: any };
export type SpentBioRef<By> = SpentRef<
  bio<never, never> & {
    readonly [ended]: never;
    readonly [emptied]: never;
    readonly [back]: never;
  },
  By
>;
export type SpentBio<By> =
  | SpentOwned<
      bio<any, any> & { readonly [ended]: any; readonly [emptied]: any; readonly [back]: any },
      By
    >
  | SpentBioRef<By>;
// what people write: parameters and fields
export type PlainBio = Ref<bio<"plain pages"> & NotBack>;
export type PinnedBio<D extends Dir = Dir> = Ref<bio<"pinned user pages", D> & NotBack>;
export type AnyBio = PlainBio | PinnedBio;
export type BorrowingBio<D extends Dir = Dir> = Ref<bio<"borrowed pages", D> & NotBack>;
/** What bi_end_io receives. */
export type EndedBio<H extends Holds> = Ref<ended_bio<H>>;
// what the library asks for
export type HeldPlainBio = Held<bio<"plain pages"> & Fresh>;
export type PinnedBioFor<D extends Dir> = Held<bio<"pinned user pages", D> & Fresh>;
export type FreshBio<H extends Holds> = Held<bio<H> & Fresh>;
export type HeldBio = Held<bio<Holds> & Fresh>;
/** It has its pages still. */
export type BioOf<H extends Holds> = Held<bio<H> & Full>;
/** Something can be added, if it has the right kind. */
export type OwnBioFor<D extends Dir> = Held<bio<OwnPages, D> & Fresh>;
export type BorrowingBioFor<D extends Dir> = Held<bio<"borrowed pages", D> & Fresh>;
export type FreshBioFor<D extends Dir> = Held<bio<Holds, D> & Fresh>;
/** A bio that is not chained to another: its end is its own. */
export type BorrowedBio = Borrowed<bio<Holds> & Fresh>;
export type BioWithPins = Held<bio<"pinned user pages"> & Full>;
export type BioBackFromDevice = Borrowed<ended_bio<Holds>>;
export type BioWithoutPins =
  | Held<emptied_bio>
  | Held<bio<"plain pages">>
  | Held<bio<"borrowed pages">>;
type Pinned = bio<"pinned user pages">;
export type PinnedOf<T> = [Extract<T, Pinned>] extends [never] ? T & Pinned : Extract<T, Pinned>;

/** For a bio of either kind the parameter is a union, which bio_is_pinned() divides. */
export type EndIo<H extends Holds> = (
  bio: H extends Holds ? EndedBio<H> : never,
  softirq: SoftirqContext,
) => void;
/** The two completions of one kind of I/O. */
export interface EndIoPair {
  readonly normal: EndIo<"plain pages">;
  readonly user_page: EndIo<"pinned user pages">;
}
/**
 * What the submitter added.  The page of a pinned bio is lent: the bio releases it.  What end_io does
 * with a plain one is its own affair.
 */
export interface Segment<H extends OwnPages> {
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
/** The same for a bio whose kind its first page decides: false may also mean that it holds the other kind. */
export type TryAddUserPage<To extends { is: any }> = <D extends Dir>(
  bio: OwnBioFor<D>,
  page: UserPagePinnedFor<PinFor<NoInfer<D>>>,
  len: number,
  offset: number,
) => page is To["is"];
export type TryAddUserBvec<To extends { is: any }> = <D extends Dir>(
  bio: OwnBioFor<D>,
  bvec: BvecPinnedFor<PinFor<NoInfer<D>>>,
) => bvec is To["is"];
