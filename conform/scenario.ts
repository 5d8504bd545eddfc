// What a row asks for, as data: memory, a disk, and calls in order.  Nothing here knows what a row expects.
import type { ErrnoName, Op } from "user-page";

/** What happens to memory after it was touched. */
export type Afterwards =
  | "PROT_READ"
  | "PROT_NONE"
  | "PROT_READ | PROT_WRITE"
  | "MADV_FREE"
  | "MADV_DONTNEED";
export interface Memory {
  readonly backing:
    | "anonymous"
    | "huge pages"
    | "folios of 64 KiB"
    | "memfd"
    | "huge memfd"
    | "one memfd page"
    | "file";
  readonly shared: boolean;
  readonly prot: "PROT_READ" | "PROT_WRITE" | "PROT_READ | PROT_WRITE" | "PROT_READ | PROT_EXEC";
  readonly touched: "written" | "read" | "no";
  readonly then: readonly Afterwards[];
  /** a file whose pages a file system writes back; a memfd stands for it where only short pins are taken */
  readonly file_system: boolean;
  /** pages of the file, if fewer than are mapped */
  readonly file_pages: number | null;
}
/** Pages in a row that are alike; null for a hole. */
export interface Piece {
  readonly pages: number;
  readonly memory: Memory | null;
}
/** A range of user memory made of pieces, or an address where nothing can be mapped. */
export interface Buffer {
  readonly pieces: readonly Piece[];
  readonly at: "somewhere" | "NULL" | "kernel";
}
/** Parts of a buffer: `count` times `bytes`, each `stride` bytes after the one before. */
export interface Iov {
  readonly buffer: number;
  readonly offset: number;
  readonly count: number;
  readonly bytes: number;
  readonly stride: number;
}
export interface Extent {
  readonly bytes: number;
  readonly state: "written" | "unwritten" | "hole";
}
/** A file as its file system laid it out. */
export interface FileLayout {
  readonly size: number;
  readonly extents: readonly Extent[];
}
export type Target = "block device" | "file" | "tmpfs" | FileLayout;

/** What pins nothing: copies, faults and plain references. */
export type UnpinnedCall =
  /** Through the page cache of the file, or to where all is lost. */
  | {
      readonly call: "buffered io";
      readonly op: Op;
      readonly iov: Iov;
      readonly position: number;
      readonly target: Exclude<Target, "block device"> | "/dev/null" | "/dev/zero";
    }
  /** Of the file to another one, in the kernel; the answer is "ok". */
  | { readonly call: "copy file"; readonly bytes: number }
  /** Drops the descriptor of the file. */
  | { readonly call: "close" }
  /** Pages of memory into the pipe; bytes into it; out of it, one packet or as many bytes as there are; pages of the file into it. */
  | { readonly call: "vmsplice" | "write pipe"; readonly iov: Iov }
  | { readonly call: "read pipe"; readonly iov: Iov; readonly packet: boolean }
  | { readonly call: "splice"; readonly bytes: number }
  /** Of an empty queue. */
  | { readonly call: "futex wake"; readonly buffer: number; readonly shared: boolean }
  /** Reads the first buffer of the task itself through /proc/self/mem, into the second. */
  | { readonly call: "read mem"; readonly from: number; readonly to: number }
  | { readonly call: "mlock" | "move_pages"; readonly buffer: number }
  | { readonly call: "mmap populate"; readonly bytes: number };

export type Call =
  | UnpinnedCall
  | {
      readonly call: "direct io";
      readonly op: Op;
      readonly iov: Iov;
      readonly position: number;
      readonly target: Target;
      /** one call for all parts, or one for each */
      readonly each: boolean;
    }
  /** Submits; the answer is the number of requests. */
  | {
      readonly call: "submit";
      readonly op: Op;
      readonly iov: Iov;
      /** one request of several parts, or one for each */
      readonly each: boolean;
      /** io_submit() answers the number of requests, the others nothing yet */
      readonly answer: "requests" | "nothing";
    }
  /** Lets the disk end what was submitted; the answer is bytes of one request, or the number of requests, or nothing. */
  | { readonly call: "complete"; readonly answer: "bytes" | "requests" | "nothing" }
  | { readonly call: "nothing" }
  | { readonly call: "munmap"; readonly buffer: number }
  | { readonly call: "exit" | "kill" }
  /** The task that goes on has the memory of the other one too, until one of them writes. */
  | {
      readonly call: "fork";
      readonly of: "current" | "remote";
      readonly child: "lives" | "exits";
      readonly goes_on: "parent" | "child";
    }
  /** Writes a byte into each page. */
  | { readonly call: "touch"; readonly buffer: number }
  /** A request to a FUSE server, which holds it until it answers. */
  | { readonly call: "hold"; readonly op: Op; readonly iov: Iov }
  | { readonly call: "answer" }
  | {
      readonly call: "madvise";
      readonly buffer: number;
      readonly advice: "MADV_DONTNEED" | "MADV_POPULATE_READ" | "MADV_POPULATE_WRITE";
      readonly touch: boolean;
    }
  /** Takes CAP_IPC_LOCK from the task and limits what it may lock. */
  | { readonly call: "limit locked memory"; readonly pages: number }
  /** The smallest such limit with which a ring and one buffer can be had; each trial runs on a machine of its own. */
  | { readonly call: "smallest limit"; readonly iov: Iov }
  | { readonly call: "register"; readonly ring: string; readonly iovs: readonly Iov[] }
  | { readonly call: "unregister"; readonly ring: string }
  | {
      readonly call: "update";
      readonly ring: string;
      readonly slot: number;
      readonly iov: Iov | null;
    }
  | { readonly call: "clone"; readonly from: string; readonly to: string }
  | { readonly call: "fixed io"; readonly op: Op; readonly ring: string; readonly iov: Iov }
  | { readonly call: "pin region"; readonly region: string; readonly iov: Iov }
  | { readonly call: "unpin region"; readonly region: string }
  | { readonly call: "register umem"; readonly iov: Iov }
  | { readonly call: "close umem" }
  | {
      readonly call: "process_vm";
      readonly write: boolean;
      readonly remote: Iov;
      readonly local: number;
    };

/** What was measured together. */
export interface Step {
  readonly name: string;
  readonly calls: readonly Call[];
  /** whose answer counts */
  readonly answer: "first" | "last";
}
export interface Scenario {
  readonly buffers: readonly Buffer[];
  /** bytes of the disk */
  readonly disk: number;
  /** whose way of direct I/O it is; that of ext4 and xfs is one, and the default */
  readonly file_system?: "btrfs";
  readonly steps: readonly Step[];
}
export type Answer = number | ErrnoName;
/** A scenario, and the step and the spelling of the answer that a row is about. */
export interface Reading {
  readonly scenario: Scenario;
  readonly step: string;
  readonly spelling:
    | "system call"
    | "node"
    | "node promise"
    | "nothing"
    | "exit status"
    | "pending";
  /** what it depends on and the row does not record, unless the transfer goes through the page cache */
  readonly doubt?: string;
}
export interface OutOfScope {
  readonly reason: string;
}
export const out = (reason: string): OutOfScope => ({ reason });
