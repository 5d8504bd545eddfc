/**
 * amdgpu_hmm_range_get_pages() of amdgpu_hmm.c read the notifier's sequence anew for each chunk, so that the last look could
 * not see that the first chunk had been invalidated: CVE-2026-63879.  Such pages carry no reference; a number says that they
 * are valid.  Notifiers are not modelled, and the driver's side below is a prototype.  Nothing here knows what the number
 * stands for: the device writes into a frame that somebody else has by then.
 */
import {
  alloc_page,
  get_page_unless_zero,
  IS_ERR,
  madvise,
  MADV_DONTNEED,
  MADV_POPULATE_WRITE,
  memcpy_from_page,
  munmap,
  on_preemption,
  page_to_pfn,
  PAGE_SIZE,
  pfn_to_page,
  put_page,
  user_ptr_add,
  type Page,
  type Pfn,
} from "user-page";
import { Device, dma_from_device, frame_at, map_pages, wrong_pages, type Bench } from "./bench.js";

interface Range {
  pfns: Array<Pfn | null>;
  notifier_seq: number;
}
type GetPages = (notifier: { seq: number }, fault: (chunk: number) => Pfn | null) => Range;

const CHUNKS = [0, 1, 2];
/** Three chunks of a page.  While the second is looked for, another CPU unmaps the first, whose frame goes to somebody else. */
function device_writes({ machine, current }: Bench, get_pages: GetPages) {
  const addr = map_pages(current, 3);
  madvise(current, addr, 3 * PAGE_SIZE, MADV_POPULATE_WRITE)._unsafeUnwrap();
  const second = frame_at(current, user_ptr_add(addr, PAGE_SIZE));
  const notifier = { seq: 0 };
  const owned: Page[] = [];
  using _ = on_preemption(machine, (point, pfn) => {
    if (point !== "gup_fast: entry read" || pfn !== second || owned.length > 0) return;
    notifier.seq++;
    const first = frame_at(current, addr);
    madvise(current, addr, PAGE_SIZE, MADV_DONTNEED)._unsafeUnwrap();
    const page = alloc_page(current);
    if (IS_ERR(page) || page_to_pfn(page) !== first)
      throw new Error("not the frame that was freed");
    owned.push(page);
  });
  let range: Range;
  do
    range = get_pages(notifier, (chunk) =>
      frame_at(current, user_ptr_add(addr, chunk * PAGE_SIZE)),
    );
  while (range.notifier_seq !== notifier.seq);
  const gpu = new Device();
  for (const pfn of range.pfns) {
    const found = pfn === null ? null : pfn_to_page(machine, pfn);
    const page = found === null || IS_ERR(found) ? null : get_page_unless_zero(found);
    if (!page) continue;
    dma_from_device(gpu, page);
    put_page(page);
  }
  const theirs = new Uint8Array(PAGE_SIZE);
  for (const page of owned) {
    memcpy_from_page(theirs, page, 0);
    put_page(page);
  }
  munmap(current, addr, 3 * PAGE_SIZE)._unsafeUnwrap();
  return wrong_pages(theirs, new Uint8Array(PAGE_SIZE));
}
export function wrong(bench: Bench) {
  return device_writes(bench, (notifier, fault) => {
    const range: Range = { pfns: [], notifier_seq: 0 };
    for (const chunk of CHUNKS) {
      range.notifier_seq = notifier.seq; // mmu_interval_read_begin()
      range.pfns.push(fault(chunk));
    }
    return range;
  });
}

export function right(bench: Bench) {
  return device_writes(bench, (notifier, fault) => {
    const notifier_seq = notifier.seq;
    return { notifier_seq, pfns: CHUNKS.map(fault) };
  });
}
