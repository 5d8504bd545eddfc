/** Numbers that must not be confused: user addresses and page frame numbers. */

import type { Brand } from "ts-brand";

/** A virtual address of user space, as `mmap()` returns it.  Models `void __user *`. */
export type UserAddr = Brand<number, "user address, mmap() gives one">;
/** A page frame number: physical address / PAGE_SIZE. */
export type Pfn = Brand<number, "page frame number, page_to_pfn() gives one">;
