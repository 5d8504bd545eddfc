/// <reference lib="esnext.disposable" preserve="true" />
/** Where code runs, as a value: what may sleep asks for a context that may. */

import type { Borrowed, Held, Owned, Ref, SpentOwned, SpentRef } from "./affine.js";
import type { Is } from "./kinds.js";

declare const kind: unique symbol;

/** A booted machine (ours).  `using machine = boot(…)` shuts it down at the end of the block. */
export interface Machine extends Disposable {
  readonly [kind]: "machine";
}
/** An address space.  Models `struct mm_struct`. */
export interface Mm {
  readonly [kind]: "mm";
}
/** A file in memory, as memfd_create() opens it.  The end of a `using` block closes it; mappings of it stay. */
export interface Memfd extends Disposable {
  readonly [kind]: "memfd";
}
/** A file of a file system, as filp_open() opens it.  The end of a `using` block closes it; mappings of it stay. */
export interface File extends Disposable {
  readonly [kind]: "file";
}
/** A mounted file system.  The end of a `using` block writes everything and unmounts. */
export interface Filesystem extends Disposable {
  readonly [kind]: "file system";
}
/** A file whose pages are memory of its device, as dax_file() opens it.  The end of a `using` block closes it. */
export interface DaxFile extends Disposable {
  readonly [kind]: "dax file";
}
/** What can be mapped. */
export type MappableFile = DaxFile | Memfd | File;
/** May sleep: a task, a kworker.  `mm` is null in a kworker. */
export interface ProcessContext {
  readonly [kind]: "process context (may sleep)";
  readonly mm: Mm | null;
}
/** Process context with a user address space: `current` in a system call.  Models `struct task_struct`. */
export interface Task extends ProcessContext {
  readonly mm: Mm;
  readonly pid: number;
}
/** A child of fork().  The end of a `using` block is exit_task(). */
export interface ForkedTask extends Task, Disposable {}
// mm is there so that TypeScript 7 reports the wrong context and not a missing property.
/** bi_end_io and timers: must not sleep. */
export interface SoftirqContext {
  readonly [kind]: "softirq context (must not sleep)";
  readonly mm: null;
}
export type AnyContext = ProcessContext | SoftirqContext;

interface mmap_lock extends Disposable {
  readonly [kind]: Is<"mmap_lock">;
  readonly mm: Mm;
}
// A spent shape must fit the live one, else messages print an intersection instead of the name.
interface spent_mmap_lock extends Disposable {
  readonly [kind]: Is<"mmap_lock">;
  readonly mm: never;
}
/** The mmap_lock of one address space, held for reading. */
export type MmapLock = Ref<mmap_lock>;
export type OwnedMmapLock = Owned<mmap_lock>;
export type LockedMm = Borrowed<mmap_lock>;
export type HeldMmapLock = Held<mmap_lock>;
export type SpentMmapLock<By> = SpentOwned<spent_mmap_lock, By> | SpentRef<spent_mmap_lock, By>;
