/**
 * The observer interface of a machine (ours).  Nothing listens by default; debug mode does.  A probe sees every
 * acquisition, move and release; it gives acquisitions their identity and reports misuse.
 */

import type { Kind } from "../handle/kinds.js";
import type { Evidence, Step } from "./misuse.js";
import type { Site } from "./site.js";

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
  /** Where the running call was made; `who` made it, if the call was told. */
  site(who?: string): Site;
  /**
   * The handle is released; a misuse is thrown, or recorded if the machine goes on after one.  A call that releases
   * several passes the same `site`.
   */
  released(kind: Kind, handle: number, by: string, owner?: object, site?: Site): void;
  /** The reference belongs to `owner` from now on: a bio. */
  moved(kind: Kind, handle: number, by: string, owner: object): void;
  /** What happened to all that was moved into `owner`. */
  owner_is(owner: object, what: "submitted" | "completed", by: string): void;
  /** `holder` alone knows the handle, so it is lost with it, and of `kind` with it; null: somebody else knows it too. */
  held_by(handle: number, holder: object | null, kind?: Kind): void;
  /** The extent spans this many pages from now on. */
  resized(handle: number, nr_pages: number): void;
  /** The handle is used, not ended; `write` if its bytes are written. */
  used(kind: Kind, handle: number, by: string, write?: boolean): void;
  /**
   * A release by address, of calls that carry no handle: `nr` acquisitions among these pages end, the one with serial number
   * `likely` if it is of them.  If there are not as many, that is reported, and none ends before.
   * The serial numbers of those that ended.
   */
  released_among(
    kind: Kind,
    addr: number,
    nr_pages: number,
    by: string,
    nr: number,
    likely?: number,
  ): readonly number[];
  /** What is known of this handle, for a misuse that was seen elsewhere. */
  evidence(handle: number): Evidence;
  /** What is still held, oldest first; with `who`, what it acquired and nobody was given since. */
  leaks(who?: string): readonly HeldReference[];
}
/** What is known of an acquisition beside its kind. */
export interface Facts {
  /** the token without which it may not be released */
  readonly owner?: object;
  /** pinned to be written */
  readonly dest?: boolean;
  /** that the reference is for; 1 if it is not given */
  readonly nr_pages?: number;
}
/** One reference that is held. */
export interface HeldReference {
  readonly kind: Kind;
  /** what it is and how it ends, from the table */
  readonly is: string;
  readonly handle: number;
  readonly pfn: number;
  /** the serial number of its acquisition */
  readonly acquisition: number;
  readonly acquired_by: string;
  /** the caller's line, where debug mode records it */
  readonly acquired_at: string;
  /** "task 1", "process", "softirq" or "kworker" */
  readonly acquired_in: string;
  /** bytes that it keeps */
  readonly bytes: number;
  /** acquisitions of the machine since */
  readonly age: number;
  /** acquired, and what happened to it since */
  readonly history: readonly Step[];
  /** the object that had it was dropped and collected: nobody can release it any more */
  readonly dropped: boolean;
}
