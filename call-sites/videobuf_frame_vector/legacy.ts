// A frame in user memory as videobuf had it: a short pin stays in the struct, and the release has two phases.
import {
  ERRNO,
  FOLL_FORCE,
  FOLL_WRITE,
  get_user_pages,
  gup_flags,
  mmap_read_lock,
  mmap_read_unlock,
  page_to_pfn,
  PAGE_SIZE,
  put_page,
  set_page_dirty_lock,
  type Page,
  type Pfn,
  type ProcessContext,
  type Task,
  type UserAddr,
} from "user-page";

/** What the camera or the display is given. */
export interface DmaSegment {
  readonly pfn: Pfn;
  readonly offset: number;
  readonly len: number;
}
export class FrameVector {
  readonly #from_device: boolean;
  pages: Page[] = [];
  /** how many of them are ours: after an error, too */
  nr_pages = 0;
  /** whether there is anything to put */
  got_ref = false;
  #offset = 0;
  #size = 0;

  /** @param from_device - whether a camera writes the frame; else a display reads it */
  constructor(from_device: boolean) {
    this.#from_device = from_device;
  }
  /** Takes the pages of a frame; 0 or -errno.  The caller calls free() in either case. */
  init_user(current: Task, addr: UserAddr, size: number): number {
    const nr = Math.ceil(((addr % PAGE_SIZE) + size) / PAGE_SIZE);
    const flags = this.#from_device ? gup_flags(FOLL_FORCE, FOLL_WRITE) : FOLL_FORCE;
    const lock = mmap_read_lock(current, current.mm);
    const got = get_user_pages(lock, addr, nr, flags, this.pages);
    mmap_read_unlock(lock);
    this.nr_pages = Math.max(got, 0);
    this.got_ref = this.nr_pages > 0;
    this.#offset = addr % PAGE_SIZE;
    this.#size = size;
    if (got < 0) return got;
    return got < nr ? -ERRNO.EINVAL : 0;
  }
  get sg(): DmaSegment[] {
    let left = this.#size;
    return this.pages.map((page, i) => {
      const offset = i === 0 ? this.#offset : 0;
      const len = Math.min(PAGE_SIZE - offset, left);
      left -= len;
      return { pfn: page_to_pfn(page), offset, len };
    });
  }
  /** First phase: what the device wrote is dirty. */
  mark_dirty(current: ProcessContext): void {
    if (!this.#from_device) return;
    for (let i = 0; i < this.nr_pages; i++) set_page_dirty_lock(this.pages[i]!, current);
  }
  /** Second phase: the references end. */
  put_vaddr_frames(): void {
    if (!this.got_ref) return;
    this.got_ref = false;
    for (let i = 0; i < this.nr_pages; i++) put_page(this.pages[i]!);
    this.nr_pages = 0;
  }
  /** Both, in the order that is right. */
  free(current: ProcessContext): void {
    this.mark_dirty(current);
    this.put_vaddr_frames();
  }
  /** The hazard of two phases: nothing says which is first. */
  free_puts_first(current: ProcessContext): void {
    const { nr_pages } = this;
    this.put_vaddr_frames();
    this.nr_pages = nr_pages;
    this.mark_dirty(current);
    this.nr_pages = 0;
  }
}
/** The hazard of a short pin that stays in the struct: an error is taken for "nothing is held". */
export function start_streaming_forgets_to_free(
  current: Task,
  frame: FrameVector,
  addr: UserAddr,
  size: number,
): number {
  const error = frame.init_user(current, addr, size);
  if (error < 0) return error;
  frame.free(current);
  return 0;
}
/** The hazard of the number asked for: it is released, not the number that is held. */
export function free_what_was_asked_for(frame: FrameVector, nr_pages: number): void {
  for (let i = 0; i < nr_pages; i++) put_page(frame.pages[i]!);
  frame.nr_pages = 0;
  frame.got_ref = false;
}
