import type { Machine, Task, UserAddr } from "user-page";

/** What every pair of this folder works on. */
export interface Bench {
  readonly machine: Machine;
  readonly current: Task;
  /** 64 KiB of anonymous memory, writable and populated */
  readonly buf: UserAddr;
}
