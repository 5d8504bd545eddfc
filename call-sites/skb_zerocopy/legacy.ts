// Zero-copy send of net/core/skbuff.c: a plain reference for each page, joined by folio into fragments; surplus references are dropped by number.
import {
  ERRNO,
  folio_put,
  iov_iter_get_pages2,
  iov_iter_revert,
  IS_ERR,
  page_folio,
  page_to_pfn,
  PAGE_SIZE,
  pop_iter_page,
  put_page,
  type Folio,
  type IovIter,
  type Page,
  type Pfn,
  type Task,
} from "user-page";

export const MAX_SKB_FRAGS = 17;
/** What the network card is given. */
export interface DmaSegment {
  readonly pfn: Pfn;
  readonly offset: number;
  readonly len: number;
}
interface SkbFrag {
  /** the page of the one reference that stands for all of its folio */
  readonly page: Page;
  readonly offset: number;
  len: number;
}
/** Shared by the clones of a packet. */
class SkbSharedInfo {
  dataref = 1;
  readonly frags: SkbFrag[] = [];
  /** the sender, to be told when its memory is its own again */
  readonly uarg: () => void;
  constructor(uarg: () => void) {
    this.uarg = uarg;
  }
}
export class SkBuff {
  readonly shinfo: SkbSharedInfo;
  constructor(shinfo: SkbSharedInfo) {
    this.shinfo = shinfo;
  }
  get len(): number {
    return this.shinfo.frags.reduce((sum, { len }) => sum + len, 0);
  }
}
/** The mistakes: what was joined keeps its reference; the surplus is dropped once more; a clone counts for itself. */
export type Hazard = "surplus kept" | "surplus dropped twice" | "clone not counted";

export const alloc_skb = (uarg: () => void): SkBuff => new SkBuff(new SkbSharedInfo(uarg));
/** Adds user memory as fragments until the packet is full or the iterator empty; bytes, or -errno if it is none. */
export function zerocopy_fill_skb_from_iter(
  skb: SkBuff,
  from: IovIter,
  length: number,
  current: Task,
  hazard: Hazard | null = null,
): number {
  const { frags } = skb.shinfo;
  let done = 0;
  while (done < length && from.count > 0) {
    if (frags.length === MAX_SKB_FRAGS) return done > 0 ? done : -ERRNO.EOVERFLOW;
    const room = MAX_SKB_FRAGS - frags.length;
    const pages = iov_iter_get_pages2(from, length - done, room, current);
    if (IS_ERR(pages)) return done > 0 ? done : -ERRNO[pages.errno];
    let { offset } = pages;
    let left = pages.bytes;
    done += left;
    for (let page = pop_iter_page(pages); page; page = pop_iter_page(pages)) {
      const size = Math.min(PAGE_SIZE - offset, left);
      const last = frags.at(-1);
      if (last && joins(last, page, offset)) {
        last.len += size;
        // One reference is enough for the folio.
        const folio = page_folio(page);
        if (hazard !== "surplus kept") put_page(page);
        if (hazard === "surplus dropped twice") folio_put(folio as Folio);
      } else frags.push({ page, offset, len: size });
      left -= size;
      offset = 0;
    }
  }
  return done;
}
/** Follows in memory, and inside the folio. */
function joins(last: SkbFrag, page: Page, offset: number): boolean {
  const end = page_to_pfn(last.page) * PAGE_SIZE + last.offset + last.len;
  const same = page_folio(last.page) === page_folio(page);
  return same && end === page_to_pfn(page) * PAGE_SIZE + offset;
}
/** Another packet over the same memory, for a second card. */
export function skb_clone({ shinfo }: SkBuff, hazard: Hazard | null = null): SkBuff {
  if (hazard !== "clone not counted") shinfo.dataref++;
  return new SkBuff(shinfo);
}
/** Sent, or dropped; in a softirq as a rule. */
export function consume_skb({ shinfo }: SkBuff): void {
  if (--shinfo.dataref > 0) return;
  for (const { page } of shinfo.frags) put_page(page);
  shinfo.uarg();
}
export const skb_dma = ({ shinfo }: SkBuff): DmaSegment[] =>
  shinfo.frags.map(({ page, offset, len }) => ({ pfn: page_to_pfn(page), offset, len }));
/** Takes a packet back that was not sent: the iterator is where it was. */
export function skb_unfill(skb: SkBuff, from: IovIter, bytes: number): void {
  iov_iter_revert(from, bytes);
  consume_skb(skb);
}
