/** What is no handle at all, at each place that looks; the twin passes what an acquirer returned. */
import * as api from "user-page";
import { forced, must } from "../../fixtures.js";
import { extent, list, page, type Trigger, type Triggers, type World } from "../world.js";

const none = (wrong: Trigger["wrong"], right: Trigger["right"]): Trigger => ({
  id: "not-a-handle",
  seen: "always",
  wrong,
  right,
});
const with_page = (w: World, body: (held: api.OwnedPage) => void): void => {
  const held = page(w);
  body(held);
  forced(api.put_page)(held);
};
function unmount(fs: api.Filesystem, ...files: api.File[]): void {
  for (const file of files) file[Symbol.dispose]();
  fs[Symbol.dispose]();
}
function mounted(w: World): api.Filesystem {
  api.mkfs_cowfs(w.current, w.disk);
  return must(api.mount_cowfs(w.current, w.disk));
}

export const NO_OBJECTS: Triggers = {
  "a number that is no page": none(
    () => forced(api.put_page)(0x1000),
    (w) => {
      api.put_page(page(w));
    },
  ),
  "a disk that is none": none(
    () => forced(api.disk_stats)({}),
    (w) => {
      api.disk_stats(w.disk);
    },
  ),
  "a file system that is none": none(
    (w) => forced(api.sync_filesystem)(w.current, {}),
    (w) => {
      const fs = mounted(w);
      api.sync_filesystem(w.current, fs);
      unmount(fs);
    },
  ),
  "a file that was closed": none(
    (w) => {
      const file = must(api.filp_open(w.current, mounted(w), "a", api.O_CREAT));
      file[Symbol.dispose]();
      api.vfs_fsync(w.current, file);
    },
    (w) => {
      const fs = mounted(w);
      const file = must(api.filp_open(w.current, fs, "a", api.O_CREAT));
      api.vfs_fsync(w.current, file);
      unmount(fs, file);
    },
  ),
  "pages of an iterator that are none": none(
    () => forced(api.iov_iter_put_pages)({}),
    (w) => {
      const iter = api.iov_iter_ubuf("dest", w.buf, 8192);
      api.iov_iter_put_pages(must(api.iov_iter_get_pages2(iter, 8192, 2, w.current)));
    },
  ),
  "an iterator that is none": none(
    () => forced(api.iov_iter_count)({}),
    (w) => {
      api.iov_iter_count(api.iov_iter_ubuf("dest", w.buf, 8192));
    },
  ),
  "a pipe that is none, read": none(
    () => forced(api.pipe_read)({}, new Uint8Array(4)),
    (w) => {
      using pipe = must(api.alloc_pipe_info(w.current));
      api.pipe_read(pipe, new Uint8Array(4));
    },
  ),
  "a pipe that is none, freed": none(
    () => forced(api.free_pipe_info)({}),
    (w) => {
      api.free_pipe_info(must(api.alloc_pipe_info(w.current)));
    },
  ),
  "a page of another machine spliced": none(
    (w) => {
      const pipe = must(api.alloc_pipe_info(w.current));
      api.splice_folio_into_pipe(pipe, page(w.elsewhere()), 8, 0);
    },
    (w) => {
      using pipe = must(api.alloc_pipe_info(w.current));
      with_page(w, (held) => api.splice_folio_into_pipe(pipe, held, 8, 0));
    },
  ),
  "kernel memory that is none, looked at": none(
    () => forced(api.vmalloc_to_page)({}, 0),
    (w) => {
      using area = must(api.vmalloc(w.current, 8192));
      api.vmalloc_to_page(area, 0);
    },
  ),
  "kernel memory that is none, freed": none(
    () => forced(api.vfree)({}),
    (w) => {
      api.vfree(must(api.vmalloc(w.current, 8192)));
    },
  ),
  "a context that is none": none(
    () => forced(api.alloc_page)({}),
    (w) => {
      api.put_page(page(w));
    },
  ),
  "a page of another machine made accessible": none(
    (w) => api.make_accessible(page(w.elsewhere()), w.current),
    (w) => {
      with_page(w, (held) => void api.make_accessible(held, w.current));
    },
  ),
  "an extent that is none": none(
    () => forced(api.memcpy_from_bvec)(new Uint8Array(8), {}),
    (w) => {
      api.put_user_bvec(extent(w, "dest"));
    },
  ),
  "a list of extents that is none": none(
    () => forced(api.pop_user_bvec)({}),
    (w) => {
      const bvecs = list(w, "dest");
      api.put_user_bvec(api.pop_user_bvec(bvecs)!);
      api.put_user_bvec(bvecs);
    },
  ),
  "an extent or a list that is none": none(
    () => forced(api.put_user_bvec)({}),
    (w) => {
      api.put_user_bvec(list(w, "source"));
    },
  ),
  "a scope that is none": none(
    () => forced(api.no_free_ptr)({}),
    (w) => {
      using scope = must(api.__free(api.put_page, api.alloc_page(w.current)));
      api.put_page(api.no_free_ptr(scope));
    },
  ),
};
