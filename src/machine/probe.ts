/**
 * The observer interface of a machine (ours).  Nothing listens by default; debug mode does.  A probe sees every
 * acquisition, move and release; it gives acquisitions their identity and reports misuse.
 */

import type { Kind } from "../handle/kinds.js";

export interface Probe {
  /** Each acquisition has an identity.  Without one, a handle whose tags are right needs no closer look. */
  readonly records: boolean;
  /**
   * A reference was taken on the page at `addr`; returns the handle to give out.  A call that acquires several passes
   * the same `site` and facts.
   */
  acquired(kind: Kind, addr: number, by: string, site: Site, facts?: Facts): number;
  /** Throws a RangeError if `nr` more acquisitions have no room: asked before anything is counted. */
  reserve(nr: number): void;
  /** Where the running call was made. */
  site(): Site;
  /**
   * The handle is released; a misuse is thrown, or recorded if the machine goes on after one.  A call that releases
   * several passes the same `site`.
   */
  released(kind: Kind, handle: number, by: string, owner?: object, site?: Site): void;
  /** The reference belongs to `owner` from now on: a bio. */
  moved(kind: Kind, handle: number, by: string, owner: object): void;
  /** The handle is used, not ended; `write` if its bytes are written. */
  used(kind: Kind, handle: number, by: string, write?: boolean): void;
  /**
   * A release by address, of calls that carry no handle: one acquisition among these pages ends, the one with serial number
   * `likely` if it is of them.  Whether there was one; if not, that is reported.
   */
  released_among(kind: Kind, addr: number, nr_pages: number, by: string, likely?: number): boolean;
  /** Who acquired this handle where, and how it ended: a line each, for a misuse that was seen elsewhere. */
  history(handle: number): readonly string[];
  /** What is still held. */
  leaks(): readonly HeldReference[];
}
/** What is known of an acquisition beside its kind. */
export interface Facts {
  /** the token without which it may not be released */
  readonly owner?: object;
  /** pinned to be written */
  readonly dest?: boolean;
}
/** Where a call was made; formatted only when a report is printed. */
export interface Site {
  readonly stack?: string;
}
/** One reference that is held, as a leak report lists it. */
export interface HeldReference {
  readonly kind: Kind;
  readonly handle: number;
  readonly acquired_by: string;
  /** the caller's line, where debug mode records it */
  readonly acquired_at: string;
}
