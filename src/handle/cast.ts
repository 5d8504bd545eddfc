/**
 * The only place where a handle is made or opened (ours).  A handle is a number at run time and opaque in the
 * types, so each function here is one cast with its reason; everybody else calls these.
 */

import type { Pfn, UserAddr } from "./addr.js";
import type {
  BlockDevice,
  EndedBio,
  FlakeyDisk,
  Holds,
  OwnedAnyBio,
  OwnedBorrowingBio,
  OwnedPinnedBio,
  OwnedPlainBio,
  OwnPages,
  Segment,
} from "./bio.js";
import type { LentBvec, OwnedBvec, OwnedBvecList } from "./bvec.js";
import type { LockedCharge, OwnedCmaPages } from "./cma.js";
import type {
  DaxFile,
  ForkedTask,
  Machine,
  File,
  Filesystem,
  Memfd,
  Mm,
  OwnedMmapLock,
  ProcessContext,
  SoftirqContext,
  Task,
} from "./context.js";
import type { GupFlag, GupFlagBits, GupFlags, IllegalTogether } from "./gup_flags.js";
import type {
  Extracted,
  ExtractedPages,
  IovIter,
  IterKind,
  OwnedIterPages,
  OwnedPipe,
  OwnedVmArea,
} from "./iov_iter.js";
import type {
  BorrowedFolio,
  BorrowedPage,
  BorrowedUserPage,
  Dir,
  OwnedFolio,
  OwnedPage,
  OwnedUserPage,
  OwnedUserPages,
  LentUserPage,
  ShortPin,
  Term,
  UnreferencedPage,
} from "./page.js";

/** Any handle that is a number at run time; spent ones too, since releasing one is what must be noticed. */
type NumberHandle = BorrowedPage | BorrowedUserPage | BorrowedFolio | UnreferencedPage;

/** Opens a handle: it is a number, which its brand hides. */
export const raw = (handle: NumberHandle): number => handle as unknown as number;

/** The caller has just taken a reference that the new owner must put. */
export const to_page = (handle: number): OwnedPage => handle as unknown as OwnedPage;
export const to_folio = (handle: number): OwnedFolio => handle as unknown as OwnedFolio;
/** The caller has just pinned the page for this direction and term. */
export const to_user_page = <D extends Dir, T extends Term>(handle: number): OwnedUserPage<D, T> =>
  handle as unknown as OwnedUserPage<D, T>;
/** Somebody else holds the reference; the result may be used, not released. */
export const lend_page = (handle: number): BorrowedPage => handle as unknown as BorrowedPage;
export const lend_user_page = (handle: number): LentUserPage => handle as unknown as LentUserPage;
export const lend_folio = (handle: number): BorrowedFolio => handle as unknown as BorrowedFolio;
/** No reference is held: the result fits only what tries to take one. */
export const to_unreferenced = (handle: number): UnreferencedPage =>
  handle as unknown as UnreferencedPage;

/** What owns its pages and knows whether they were released. */
export const to_user_pages = <D extends Dir, T extends Term>(pages: object): OwnedUserPages<D, T> =>
  pages as unknown as OwnedUserPages<D, T>;
export const to_short_pin = <D extends Dir, T extends Term>(short: object): ShortPin<D, T> =>
  short as unknown as ShortPin<D, T>;
export const to_bvec = <D extends Dir, T extends Term>(bvec: object): OwnedBvec<D, T> =>
  bvec as unknown as OwnedBvec<D, T>;
export const lend_bvec = <D extends Dir, T extends Term>(bvec: object): LentBvec<D, T> =>
  bvec as unknown as LentBvec<D, T>;
export const to_bvec_list = <D extends Dir, T extends Term>(list: object): OwnedBvecList<D, T> =>
  list as unknown as OwnedBvecList<D, T>;

export const to_bdev = (bdev: Disposable): BlockDevice => bdev as unknown as BlockDevice;
export const to_flakey = (bdev: Disposable): FlakeyDisk => bdev as unknown as FlakeyDisk;
export const to_plain_bio = <D extends Dir>(bio: object): OwnedPlainBio<D> =>
  bio as unknown as OwnedPlainBio<D>;
export const to_any_bio = <D extends Dir>(bio: object): OwnedAnyBio<D> =>
  bio as unknown as OwnedAnyBio<D>;
export const to_pinned_bio = <D extends Dir>(bio: object): OwnedPinnedBio<D> =>
  bio as unknown as OwnedPinnedBio<D>;
/**
 * A pinned bio owns what it carries: without a serial number, which stands above bit 31, the handle can be used, not
 * released.  The pages of a plain bio are still whoever's they were.
 */
export const segment_page = <H extends OwnPages>(
  handle: number,
  lent: boolean,
): Segment<H>["page"] => (lent ? handle | 0 : handle) as unknown as Segment<H>["page"];
/** It uses pages that somebody else keeps. */
export const to_borrowing_bio = <D extends Dir>(bio: object): OwnedBorrowingBio<D> =>
  bio as unknown as OwnedBorrowingBio<D>;
/** The device gave it back: end_io owns it now. */
export const to_ended_bio = <H extends Holds>(bio: object): EndedBio<H> =>
  bio as unknown as EndedBio<H>;

/** Numbers that were checked to be what the brand says. */
export const to_user_addr = (address: number): UserAddr => address as UserAddr;
export const to_pfn = (pfn: number): Pfn => pfn as Pfn;

// The classes behind these lack only the symbol that names their kind, which exists in the types alone.
export const to_machine = (state: Disposable): Machine => state as Machine;
export const to_task = (context: object): Task => context as Task;
export const to_forked_task = (context: Disposable): ForkedTask => context as ForkedTask;
export const to_kworker = (context: object): ProcessContext => context as ProcessContext;
export const to_softirq = (context: object): SoftirqContext => context as SoftirqContext;
export const to_mm = (state: object): Mm => state as Mm;
export const to_memfd = (file: Disposable): Memfd => file as Memfd;
export const to_file = (file: Disposable): File => file as File;
export const to_filesystem = (fs: Disposable): Filesystem => fs as Filesystem;
export const to_mmap_lock = (lock: Disposable): OwnedMmapLock => lock as OwnedMmapLock;

/** FOLL_ flags are bits at run time; 0 stands for none. */
export const raw_flags = (flags: GupFlags | GupFlagBits | IllegalTogether<string> | 0): number =>
  flags as unknown as number;
export const to_flags = <F extends GupFlag, T extends Term>(bits: number): GupFlags<F, T> =>
  bits as unknown as GupFlags<F, T>;
export const to_flag_bits = (bits: number): GupFlagBits => bits as unknown as GupFlagBits;

/** The iterator is of this direction and kind. */
export const to_iov_iter = <D extends Dir, K extends IterKind>(iter: object): IovIter<D, K> =>
  iter as unknown as IovIter<D, K>;
/** What the iterator of kind K gives: pins for 'user', lent pages for 'kernel'; the caller looked which. */
export const to_extracted_pages = <D extends Dir, K extends IterKind>(
  pages: object,
): ExtractedPages<D, K> => pages as unknown as ExtractedPages<D, K>;
export const to_extracted = <D extends Dir, K extends IterKind>(bvecs: object): Extracted<D, K> =>
  bvecs as unknown as Extracted<D, K>;
/** The caller has just taken what these own. */
export const to_iter_pages = (pages: object): OwnedIterPages => pages as unknown as OwnedIterPages;
export const to_cma_pages = (pages: object): OwnedCmaPages => pages as unknown as OwnedCmaPages;
export const to_locked_charge = (charge: Disposable): LockedCharge => charge as LockedCharge;
export const to_dax_file = (file: Disposable): DaxFile => file as DaxFile;
export const to_vm_area = (area: object): OwnedVmArea => area as unknown as OwnedVmArea;
export const to_pipe = (pipe: object): OwnedPipe => pipe as unknown as OwnedPipe;
