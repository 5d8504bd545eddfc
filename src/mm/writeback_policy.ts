/**
 * What writeback does with a page that somebody may hold pinned (ours): Linux's answer, those that were proposed on the
 * mailing lists, and this library's.
 */

/** WB_SYNC_NONE: written some time.  WB_SYNC_ALL: somebody waits in fsync(). */
export type SyncMode = "WB_SYNC_NONE" | "WB_SYNC_ALL";
/**
 * write        as any other page
 * skip         stays dirty, until nobody holds it
 * copy         a copy is made before the checksum, and written
 * copy late    a copy is made when the dirty bit goes: the checksum was taken before
 */
export type PinnedAction = "write" | "skip" | "copy" | "copy late";

export interface WritebackPolicy {
  /** where it comes from */
  readonly about: string;
  readonly WB_SYNC_NONE: PinnedAction;
  readonly WB_SYNC_ALL: PinnedAction;
  /** A page that is written while it is pinned stays dirty and its entries writable: a block is reserved anew. */
  readonly keep_dirty: boolean;
  /** FOLL_LONGTERM with FOLL_WRITE is refused on shared mappings of files that track what is dirty. */
  readonly refuse_longterm: boolean;
  /** The last unpin makes the page dirty. */
  readonly dirty_on_unpin: boolean;
  /** A page that becomes dirty unprepared is prepared then, when it is released. */
  readonly page_mkwrite_on_put: boolean;
}
const IGNORES = {
  WB_SYNC_NONE: "write",
  WB_SYNC_ALL: "write",
  keep_dirty: false,
  refuse_longterm: false,
  dirty_on_unpin: false,
  page_mkwrite_on_put: false,
} as const;

/** The name of a policy. */
export type PolicyName =
  | "ignore"
  | "linux"
  | "skip"
  | "bounce"
  | "no mkclean"
  | "dirty on unpin"
  | "hold"
  | "mapcount"
  | "bounce late"
  | "page_mkwrite on put";
export const WRITEBACK_POLICIES: Readonly<Record<PolicyName, WritebackPolicy>> = {
  ignore: { ...IGNORES, about: "Linux before 6.5: writeback does not look at pins" },
  linux: {
    ...IGNORES,
    refuse_longterm: true,
    about: "Linux 6.12: the same, and long-term pins to write a file are refused",
  },
  skip: {
    ...IGNORES,
    WB_SYNC_NONE: "skip",
    about: "passed over, but for fsync()",
  },
  bounce: {
    ...IGNORES,
    WB_SYNC_NONE: "copy",
    WB_SYNC_ALL: "copy",
    about: "a copy is made before the checksum",
  },
  "no mkclean": {
    ...IGNORES,
    keep_dirty: true,
    about: "written in place, and never clean while it is pinned",
  },
  "dirty on unpin": {
    ...IGNORES,
    WB_SYNC_NONE: "skip",
    WB_SYNC_ALL: "skip",
    dirty_on_unpin: true,
    about: "off the LRU and not written while it is pinned; dirty when it is unpinned",
  },
  hold: {
    ...IGNORES,
    WB_SYNC_NONE: "skip",
    WB_SYNC_ALL: "copy",
    keep_dirty: true,
    about: "this library's: passed over; fsync() writes a copy, and the page stays dirty",
  },
  mapcount: {
    ...IGNORES,
    WB_SYNC_NONE: "copy late",
    WB_SYNC_ALL: "copy late",
    about:
      "rejected: pins are found after the entries were write-protected, by more mappings than entries",
  },
  "bounce late": {
    ...IGNORES,
    WB_SYNC_NONE: "copy late",
    WB_SYNC_ALL: "copy late",
    keep_dirty: true,
    about: "rejected: a copy is made when the dirty bit goes",
  },
  "page_mkwrite on put": {
    ...IGNORES,
    page_mkwrite_on_put: true,
    about: "rejected: the file is asked when the pin is released",
  },
};
/** Keeps both objectives in every scenario, and fsync() reaches the disk. */
export const DEFAULT_POLICY: PolicyName = "hold";

/** What writeback did with pages that were pinned, in pages. */
export interface WritebackStats {
  /** written in place, whoever held them */
  written: number;
  /** written while they were pinned, in place */
  written_pinned: number;
  copied: number;
  /** passed over, and still dirty */
  skipped: number;
  /** became dirty with no block reserved */
  unprepared: number;
  /** what was stored is lost: no block was left, or nobody could be asked */
  lost: number;
}
