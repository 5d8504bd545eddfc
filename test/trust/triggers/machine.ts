/** Misuse of files, contexts and the machine itself, and what is right instead. */
import * as api from "user-page";
import { forced, must } from "../../fixtures.js";
import { in_softirq, interrupting, plain_bio, type Triggers, type World } from "../world.js";

function mounted(w: World) {
  const failed = api.mkfs_cowfs(w.current, w.disk);
  if (failed) throw new Error(failed.message);
  const fs = must(api.mount_cowfs(w.current, w.disk));
  const file = must(api.filp_open(w.current, fs, "a", api.O_CREAT));
  api.kernel_write(w.current, file, new Uint8Array(100), 0)._unsafeUnwrap();
  return { fs, file };
}
function unmount({ fs, file }: ReturnType<typeof mounted>): void {
  file[Symbol.dispose]();
  fs[Symbol.dispose]();
}
function in_kworker(w: World, body: (kworker: api.ProcessContext) => void): void {
  api.schedule_work(w.current, body);
  api.flush_work(w.machine);
}
function on_disk(w: World): api.IomapFile {
  return {
    bdev: w.disk,
    i_size: 8192,
    i_blocksize: 4096,
    iomap_begin: () => ({ type: "IOMAP_MAPPED", offset: 0, length: 8192, addr: 65536 }),
  };
}

export const MACHINE: Triggers = {
  "a file system unmounted in softirq context": {
    id: "sleep-in-atomic",
    seen: "always",
    wrong: (w) => {
      const it = mounted(w);
      in_softirq({ ...w, disk: must(api.brd_alloc(w.machine, 1 << 16)) }, () => {
        it.fs[Symbol.dispose]();
      });
    },
    right: (w) => {
      unmount(mounted(w));
    },
  },
  "a file system of another machine": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => api.sync_filesystem(w.elsewhere().current, mounted(w).fs),
    right: (w) => {
      const it = mounted(w);
      api.sync_filesystem(w.current, it.fs);
      unmount(it);
    },
  },
  "a disk of another machine made a file system": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => api.mkfs_cowfs(w.elsewhere().current, w.disk),
    right: (w) => {
      unmount(mounted(w));
    },
  },
  "a file of another machine": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => api.vfs_fsync(w.elsewhere().current, mounted(w).file),
    right: (w) => {
      const it = mounted(w);
      api.vfs_fsync(w.current, it.file);
      unmount(it);
    },
  },
  "a file of another machine mapped": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      const { current } = w.elsewhere();
      api.mmap(current, null, 4096, api.PROT_READ, api.MAP_SHARED, mounted(w).file);
    },
    right: (w) => {
      const it = mounted(w);
      const at = api.mmap(w.current, null, 4096, api.PROT_READ, api.MAP_SHARED, it.file);
      api.munmap(w.current, at._unsafeUnwrap(), 4096)._unsafeUnwrap();
      unmount(it);
    },
  },
  "direct I/O on a disk of another machine": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      const there = w.elsewhere();
      const iter = api.iov_iter_ubuf("dest", there.buf, 4096);
      api.iomap_dio_rw(there.current, { ki_pos: 0 }, iter, on_disk(w));
    },
    right: (w) => {
      api
        .iomap_dio_rw(w.current, { ki_pos: 0 }, api.iov_iter_ubuf("dest", w.buf, 4096), on_disk(w))
        ._unsafeUnwrap();
    },
  },
  "flush_work() in softirq context": {
    id: "sleep-in-atomic",
    seen: "always",
    wrong: (w) => {
      in_softirq(w, () => api.flush_work(w.machine));
    },
    right: (w) => {
      in_softirq(w, (softirq) => api.schedule_work(softirq, () => undefined));
      api.flush_work(w.machine);
    },
  },
  "memory allocated in softirq context": {
    id: "sleep-in-atomic",
    seen: "always",
    wrong: (w) => {
      in_softirq(w, (softirq) => void forced(api.alloc_page)(softirq));
    },
    right: (w) => {
      in_kworker(w, (kworker) => api.put_page(must(api.alloc_page(kworker))));
    },
  },
  "a kworker where a task is asked for": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      in_kworker(w, (kworker) => void forced(api.get_user_page)(kworker, w.buf, "source"));
    },
    right: (w) => {
      in_kworker(w, () => api.put_user_page(must(api.get_user_page(w.current, w.buf, "source"))));
    },
  },
  "what was injected into no machine": {
    id: "not-a-handle",
    seen: "always",
    wrong: () => forced(api.injection)({}),
    right: (w) => {
      api.injection(w.machine);
    },
  },
  "shutdown() in softirq context": {
    id: "sleep-in-atomic",
    seen: "always",
    wrong: (w) => {
      in_softirq(w, () => api.shutdown(w.machine));
    },
    right: (w) => {
      in_softirq(w, () => undefined);
      api.shutdown(w.elsewhere().machine);
    },
  },
  "shutdown() in a kworker": {
    id: "hung-task",
    seen: "always",
    wrong: (w) => {
      in_kworker(w, () => api.shutdown(w.machine));
    },
    right: (w) => {
      in_kworker(w, () => api.shutdown(w.elsewhere().machine));
    },
  },
  "shutdown() by another CPU, in the middle of a call": {
    id: "hung-task",
    seen: "always",
    wrong: (w) => {
      interrupting(
        w,
        "gup_fast: entry read",
        () => api.shutdown(w.machine),
        () => api.put_user_page(must(api.get_user_page(w.current, w.buf, "source"))),
      );
    },
    right: (w) => {
      interrupting(
        w,
        "gup_fast: entry read",
        () => undefined,
        () => api.put_user_page(must(api.get_user_page(w.current, w.buf, "source"))),
      );
    },
  },
  "a machine that was shut down": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      const { machine } = w.elsewhere();
      api.shutdown(machine);
      api.vmstat(machine);
    },
    right: (w) => {
      api.vmstat(w.machine);
    },
  },
  "a bio of a machine that was shut down": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      const bio = plain_bio(w.elsewhere());
      api.shutdown(w.elsewhere().machine);
      api.submit_bio(bio);
    },
    right: (w) => {
      const bio = plain_bio(w);
      api.submit_bio_wait(bio, w.current);
      api.bio_put(bio);
    },
  },
};
