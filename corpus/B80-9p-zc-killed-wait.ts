/**
 * p9_virtio_zc_request() of net/9p/trans_virtio.c gives the caller's pages to the host, and puts them when a signal ends the
 * wait; the host still has their addresses (read in 6.12.117; suspected, no repair was found).  A queue of addresses holds
 * nothing for the compiler.  Where the queue takes the pins over, and its completion releases them, nothing is left to put.
 */
import {
  alloc_page,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  memcpy_from_page,
  munmap,
  PAGE_SIZE,
  pin_user_pages_fast,
  put_page,
  put_user_pages,
  put_user_pages_dirty_lock,
  type HeldDestPage,
  type HeldDestPages,
  type Narrows,
  type ProcessContext,
  type SpentUserPages,
  type UserAddr,
} from "user-page";
import { Device, dma_from_device, map_pages, wrong_pages, type Bench } from "./bench.js";

/** What the host was told, and has not answered yet. */
class Virtqueue {
  readonly #host = new Device();
  readonly #queued: HeldDestPage[] = [];
  add(pages: readonly HeldDestPage[]) {
    this.#queued.push(...pages);
  }
  /** The host answers. */
  interrupt() {
    for (const page of this.#queued) dma_from_device(this.#host, page);
    return this.#queued.splice(0);
  }
}
function pin({ current }: Bench, addr: UserAddr) {
  const pinned = pin_user_pages_fast(current, addr, 1, ITER_DEST);
  return IS_SHORT(pinned) ? pinned.partial : pinned;
}
/** The caller is killed: its memory goes to somebody else.  Pages of theirs that the host's answer changes. */
function killed({ current }: Bench, addr: UserAddr, answer: () => void) {
  munmap(current, addr, PAGE_SIZE)._unsafeUnwrap();
  const other = alloc_page(current);
  if (IS_ERR(other)) return other;
  const [before, after] = [new Uint8Array(PAGE_SIZE), new Uint8Array(PAGE_SIZE)];
  memcpy_from_page(before, other, 0);
  answer();
  memcpy_from_page(after, other, 0);
  put_page(other);
  return wrong_pages(after, before);
}
export function wrong(bench: Bench) {
  const addr = map_pages(bench.current, 1);
  const pages = pin(bench, addr);
  if (IS_ERR(pages)) return pages;
  const queue = new Virtqueue();
  queue.add(pages);
  if (!bench.fails) queue.interrupt(); // else wait_event_killable() was ended by a signal
  put_user_pages(pages);
  return killed(bench, addr, () => queue.interrupt());
}

const virtqueue_add: Narrows<
  HeldDestPages,
  { is: SpentUserPages<"moved by virtqueue_add()"> },
  [queue: Virtqueue]
> = (pages, queue) => {
  queue.add(pages);
};
function complete(queue: Virtqueue, kworker: ProcessContext) {
  put_user_pages_dirty_lock(queue.interrupt(), kworker);
}
/** The same bug, with a queue that owns what it has. */
export function stricter(bench: Bench) {
  const addr = map_pages(bench.current, 1);
  const pages = pin(bench, addr);
  if (IS_ERR(pages)) return;
  const queue = new Virtqueue();
  virtqueue_add(pages, queue);
  // @ts-expect-error moved by virtqueue_add()
  put_user_pages(pages);
  complete(queue, bench.current);
}
export function right(bench: Bench) {
  const { current, fails } = bench;
  const addr = map_pages(current, 1);
  const pages = pin(bench, addr);
  if (IS_ERR(pages)) return pages;
  const queue = new Virtqueue();
  virtqueue_add(pages, queue);
  if (!fails) complete(queue, current);
  return killed(bench, addr, () => {
    if (fails) complete(queue, current);
  });
}
