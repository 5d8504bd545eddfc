/**
 * The trace events: what a machine tells who traces it.  Names, systems and fields are those of include/trace/events of
 * Linux where there is such an event; system "user_page" is ours, its events are named after functions.  A field called
 * bio, part, request, file, mm, iocb or work is a number that tells objects of one machine apart (ours; the kernel prints addresses).
 * `fields` are words: a name, and after a colon what it is, if it is no number.
 */

export const TRACE_EVENTS = {
  // --- page_ref: references of pages
  page_ref_set: {
    system: "page_ref",
    is: "a count was set: a page was allocated",
    fields: "pfn count val",
  },
  page_ref_mod: { system: "page_ref", is: "a count was changed by val", fields: "pfn count val" },
  page_ref_mod_and_test: {
    system: "page_ref",
    is: "a count was changed by val; ret: it is 0, the page is freed",
    fields: "pfn count val ret:boolean",
  },
  page_ref_freeze: {
    system: "page_ref",
    is: "a count was set to 0 if it was val; ret: it was",
    fields: "pfn count val ret:boolean",
  },
  page_ref_unfreeze: {
    system: "page_ref",
    is: "a frozen page got the count val",
    fields: "pfn count val",
  },
  // --- kmem, filemap, migrate
  mm_page_alloc: {
    system: "kmem",
    is: "a block of 2^order pages was allocated; migratetype 1: for a user, who lets it move",
    fields: "pfn order migratetype",
  },
  mm_page_free: {
    system: "kmem",
    is: "the last reference went and the block is free",
    fields: "pfn order",
  },
  mm_filemap_add_to_page_cache: {
    system: "filemap",
    is: "a page entered the page cache of a file",
    fields: "pfn index file",
  },
  mm_filemap_delete_from_page_cache: {
    system: "filemap",
    is: "a page left the page cache of its file",
    fields: "pfn index file",
  },
  mm_migrate_pages: {
    system: "migrate",
    is: "folios were moved; those that failed are pinned or referenced",
    fields: "succeeded failed",
  },
  // --- writeback
  writeback_dirty_folio: {
    system: "writeback",
    is: "a page of a file is dirty now",
    fields: "pfn index file",
  },
  folio_wait_writeback: {
    system: "writeback",
    is: "somebody waits until a page is not under writeback any more",
    fields: "pfn index file",
  },
  // --- block
  block_bio_queue: {
    system: "block",
    is: "a bio was submitted",
    fields: "dev:string sector nr_sector rwbs:string bio",
  },
  block_split: {
    system: "block",
    is: "a bio was divided before new_sector; part: the front, which ends first",
    fields: "dev:string sector new_sector rwbs:string bio part",
  },
  block_bio_backmerge: {
    system: "block",
    is: "a bio was appended to a request that waits in a plug",
    fields: "dev:string sector nr_sector rwbs:string bio request",
  },
  block_bio_frontmerge: {
    system: "block",
    is: "a bio was put before a request that waits in a plug",
    fields: "dev:string sector nr_sector rwbs:string bio request",
  },
  block_getrq: {
    system: "block",
    is: "a request was made for a bio",
    fields: "dev:string sector nr_sector rwbs:string bio request",
  },
  block_plug: { system: "block", is: "requests wait in a plug from now on", fields: "" },
  block_unplug: {
    system: "block",
    is: "the requests of a plug go to their disks",
    fields: "nr_rq",
  },
  block_rq_issue: {
    system: "block",
    is: "a request was handed to its disk",
    fields: "dev:string sector nr_sector bytes rwbs:string nr_bios request",
  },
  block_rq_complete: {
    system: "block",
    is: "a disk is done with some bytes of a request; error: 0, or below 0",
    fields: "dev:string sector nr_sector bytes rwbs:string nr_bios request error",
  },
  block_bio_complete: {
    system: "block",
    is: "a bio ended; error: 0, or below 0",
    fields: "dev:string sector nr_sector rwbs:string bio error",
  },
  // --- iomap
  iomap_dio_rw_begin: {
    system: "iomap",
    is: "a direct read or write begins",
    fields: "dev:string pos count rwbs:string aio:boolean iocb",
  },
  iomap_dio_complete: {
    system: "iomap",
    is: "a direct read or write is done; ret: bytes, or below 0",
    fields: "dev:string pos count rwbs:string aio:boolean iocb ret",
  },
  // --- sched, irq, workqueue
  sched_process_fork: {
    system: "sched",
    is: "a task got a child",
    fields: "parent_pid child_pid",
  },
  sched_process_exit: { system: "sched", is: "a task ends", fields: "pid" },
  softirq_entry: { system: "irq", is: "a completion begins to run", fields: "vec" },
  softirq_exit: { system: "irq", is: "a completion has run", fields: "vec" },
  workqueue_queue_work: { system: "workqueue", is: "a work was scheduled", fields: "work" },
  workqueue_execute_start: { system: "workqueue", is: "a kworker begins a work", fields: "work" },
  workqueue_execute_end: { system: "workqueue", is: "a kworker has done a work", fields: "work" },
  // --- exceptions, mmap_lock
  page_fault_user: {
    system: "exceptions",
    is: "a program touched what is not there, or not writable; error_code: 2 for a write, 1 if a page is present, 4 always",
    fields: "address error_code",
  },
  mmap_lock_start_locking: {
    system: "mmap_lock",
    is: "somebody asks for the mmap_lock",
    fields: "mm write:boolean",
  },
  mmap_lock_acquire_returned: {
    system: "mmap_lock",
    is: "the mmap_lock is held",
    fields: "mm write:boolean success:boolean",
  },
  mmap_lock_released: {
    system: "mmap_lock",
    is: "the mmap_lock was released",
    fields: "mm write:boolean",
  },
  // --- ours: what has no event in Linux
  get_page: {
    system: "user_page",
    is: "a plain reference was taken, by this call",
    fields: "pfn kind:string serial by:string",
  },
  put_page: {
    system: "user_page",
    is: "a plain reference was released",
    fields: "pfn kind:string serial by:string",
  },
  pin_user_page: {
    system: "user_page",
    is: "a page was pinned",
    fields: "pfn kind:string serial by:string",
  },
  unpin_user_page: {
    system: "user_page",
    is: "a pin was released",
    fields: "pfn kind:string serial by:string",
  },
  get_user_bvec: {
    system: "user_page",
    is: "an extent was pinned",
    fields: "pfn kind:string serial by:string",
  },
  split_user_bvec: {
    system: "user_page",
    is: "an extent was divided: this is the reference of the rest",
    fields: "pfn kind:string serial by:string",
  },
  put_user_bvec: {
    system: "user_page",
    is: "an extent was released",
    fields: "pfn kind:string serial by:string",
  },
  bio_add_user_page: {
    system: "user_page",
    is: "a pin moved into a bio",
    fields: "pfn kind:string serial by:string bio",
  },
  bio_add_user_bvec: {
    system: "user_page",
    is: "an extent moved into a bio",
    fields: "pfn kind:string serial by:string bio",
  },
  handle_mm_fault: {
    system: "user_page",
    is: "a fault was handled, of a program or of a call that pins; fault: 0, or a VM_FAULT_ code",
    fields: "address write:boolean fault",
  },
  bad_page: {
    system: "user_page",
    is: "a block was found bad when it was freed, and is lost",
    fields: "pfn order reason:string",
  },
  page_mkwrite: {
    system: "user_page",
    is: "the file system was asked before a store",
    fields: "pfn index file",
  },
  folio_clear_dirty_for_io: {
    system: "user_page",
    is: "writeback took the dirty bit of a page",
    fields: "pfn index file",
  },
  folio_start_writeback: {
    system: "user_page",
    is: "a page, or a copy of it, is on its way to the disk",
    fields: "pfn index file",
  },
  folio_end_writeback: { system: "user_page", is: "the disk has it", fields: "pfn index file" },
  misuse: {
    system: "user_page",
    is: "debug mode reports a misuse",
    fields: "id:string called:string handle:string",
  },
} as const;

export type TraceEventName = keyof typeof TRACE_EVENTS;
/** What a field can be. */
interface Values {
  string: string;
  boolean: boolean;
}
type Words<S extends string> = S extends `${infer Word} ${infer Rest}`
  ? Word | Words<Rest>
  : S extends ""
    ? never
    : S;
/** The fields of one event: a name is that of a number, unless it says otherwise. */
export type TraceFields<N extends TraceEventName> = {
  readonly [
    Word in Words<(typeof TRACE_EVENTS)[N]["fields"]> as Word extends `${infer Name}:${string}`
      ? Name
      : Word
  ]: Word extends `${string}:${infer Type extends keyof Values}` ? Values[Type] : number;
};
