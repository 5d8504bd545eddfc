/** A program in which every trace event happens, on a machine that knows its references. */
import * as api from "user-page";
import { PAGE_SIZE as P } from "user-page";
import { forced, map_anon, must } from "../fixtures.js";

const RW = api.PROT_READ | api.PROT_WRITE;

export function boot_traced(options: api.MachineOptions = {}): api.Machine {
  return api.boot({
    mem: 8 << 20,
    CONFIG_DEBUG_USER_PAGE_REFERENCES: true,
    panic_on_warn: false,
    ...options,
  });
}
function references(current: api.Task, buf: api.UserAddr): void {
  const page = must(api.alloc_page(current));
  const again = api.get_page(page);
  api.put_page(again);
  if (api.page_ref_freeze(page, 2)) throw new Error("frozen with another count");
  if (api.page_ref_freeze(page, 1)) api.page_ref_unfreeze(page, 1);
  api.put_page(page);
  api.put_user_page(must(api.get_user_page(current, buf, api.ITER_DEST)));
  const bvecs = must(api.get_user_bvec(current, buf, P, api.ITER_DEST));
  const bvec = api.pop_user_bvec(bvecs)!;
  const rest = must(api.split_user_bvec(bvec, 512));
  api.put_user_bvec(rest);
  api.put_user_bvec(bvec);
  api.put_user_bvec(bvecs);
}
function bios(current: api.Task, buf: api.UserAddr, disk: api.BlockDevice): void {
  {
    using plug = api.blk_start_plug(current);
    for (const sector of [8, 16, 0]) {
      const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_WRITE", sector);
      const pin = must(api.get_user_page(current, buf, api.ITER_SOURCE));
      if (!api.bio_add_user_page(bio, pin, P, 0)) throw new Error("no room");
      api.bio_set_end_io(bio, (ended, softirq) => {
        api.bio_release_pages(ended, false);
        api.bio_put(ended);
        api.schedule_work(softirq, () => undefined);
      });
      api.submit_bio(bio);
    }
    void plug;
  }
  const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_WRITE");
  const bvecs = must(api.get_user_bvec(current, buf, P, api.ITER_SOURCE));
  api.bio_add_user_bvecs(bio, bvecs);
  api.submit_bio_wait(bio, current);
  api.bio_release_pages(bio, false);
  api.bio_put(bio);
  api.put_user_bvec(bvecs);
  api.queue_limits_set(disk, { max_sectors: 8 });
  api.direct_io_pages(current, disk, "REQ_OP_READ", buf, 2 * P, 0)._unsafeUnwrap();
  api.flush_work(current_machine(disk));
}
const machines = new WeakMap<object, api.Machine>();
const current_machine = (disk: api.BlockDevice): api.Machine => machines.get(disk)!;

function files(current: api.Task, fs: api.Filesystem): void {
  using file = must(api.filp_open(current, fs, "a", api.O_CREAT));
  const bytes = new Uint8Array(2 * P).fill(7);
  api.kernel_write(current, file, bytes, 0)._unsafeUnwrap();
  const at = api.mmap(current, null, 2 * P, RW, api.MAP_SHARED, file)._unsafeUnwrap();
  api.copy_to_user(current, at, bytes)._unsafeUnwrap();
  api.filemap_flush(current, file);
  api.copy_to_user(current, at, bytes)._unsafeUnwrap(); // waits for the disk
  api.vfs_fsync(current, file);
  api.munmap(current, at, 2 * P)._unsafeUnwrap();
  api.vfs_truncate(current, file, P);
}
/** Runs it; what it ends with: the disk, and pages that are lost. */
export function everything(machine: api.Machine): void {
  const current = api.create_task(machine);
  const buf = map_anon(current, 16 * P);
  api.copy_to_user(current, buf, new Uint8Array(16 * P).fill(1))._unsafeUnwrap();
  references(current, buf);
  const disk = must(api.brd_alloc(machine, 1 << 20));
  machines.set(disk, machine);
  bios(current, buf, disk);
  const store = must(api.brd_alloc(machine, 1 << 20));
  if (api.mkfs_cowfs(current, store)) throw new Error("no file system");
  files(current, must(api.mount_cowfs(current, store)));
  {
    using lock = api.mmap_read_lock(current, current.mm);
    void lock;
  }
  // Pages of users lie in the CMA area.
  using cma = must(api.cma_alloc(current, 256));
  void cma;
  using child = must(api.fork(current));
  void child;
  const folio = must(api.folio_alloc(current, 2));
  // A pin that is taken with no reference left behind it: the folio is bad when it is freed.
  api.folio_add_pin(folio);
  forced(api.folio_put)(folio);
  forced(api.folio_put)(folio);
}
/** All events of it. */
export function traced_events(): api.TraceEvent[] {
  using machine = boot_traced({ cma: 1 << 20 });
  const events: api.TraceEvent[] = [];
  using tracing = api.trace_machine(machine, (event) => events.push(event));
  everything(machine);
  void tracing;
  return events;
}
