// Zero-copy send of net/core/skbuff.c, converted: a fragment is an extent with one reference, so nothing is left over.
import {
  ERR_PTR,
  iov_iter_extract_bvecs,
  iov_iter_revert,
  IS_ERR,
  page_to_pfn,
  pop_user_bvec,
  put_user_bvec,
  type Errno,
  type GupError,
  type IovIter,
  type Pfn,
  type PinnedBvec,
  type Task,
} from "user-page";

export const MAX_SKB_FRAGS = 17;
/** What the network card is given. */
export interface DmaSegment {
  readonly pfn: Pfn;
  readonly offset: number;
  readonly len: number;
}
type SkbFrag = PinnedBvec<"source">;
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
  #shinfo: SkbSharedInfo | null;
  constructor(shinfo: SkbSharedInfo) {
    this.#shinfo = shinfo;
  }
  get frags(): readonly SkbFrag[] {
    return this.#shinfo?.frags ?? [];
  }
  get len(): number {
    return this.frags.reduce((sum, { len }) => sum + len, 0);
  }
  get shinfo(): SkbSharedInfo | null {
    return this.#shinfo;
  }
  /** Moves the memory out; a packet that was consumed has none. */
  take(): SkbSharedInfo | null {
    const shinfo = this.#shinfo;
    this.#shinfo = null;
    return shinfo;
  }
}

export const alloc_skb = (uarg: () => void): SkBuff => new SkBuff(new SkbSharedInfo(uarg));
/** Adds user memory as fragments until the packet is full or the iterator empty; bytes, or the error if it is none. */
export function zerocopy_fill_skb_from_iter(
  skb: SkBuff,
  from: IovIter<"source", "user">,
  length: number,
  current: Task,
): number | GupError | Errno<"EOVERFLOW"> {
  const { shinfo } = skb;
  if (!shinfo || shinfo.frags.length === MAX_SKB_FRAGS) {
    return ERR_PTR("EOVERFLOW", "the packet has no room");
  }
  using bvecs = iov_iter_extract_bvecs(from, length, current);
  if (IS_ERR(bvecs)) return bvecs;
  let done = 0;
  while (shinfo.frags.length < MAX_SKB_FRAGS) {
    const frag = pop_user_bvec(bvecs);
    if (!frag) break;
    shinfo.frags.push(frag);
    done += frag.len;
  }
  iov_iter_revert(from, bvecs.count);
  return done;
}
/** Another packet over the same memory, for a second card; null if there is none left. */
export function skb_clone({ shinfo }: SkBuff): SkBuff | null {
  if (!shinfo) return null;
  shinfo.dataref++;
  return new SkBuff(shinfo);
}
/** Sent, or dropped; in a softirq as a rule. */
export function consume_skb(skb: SkBuff): void {
  const shinfo = skb.take();
  if (!shinfo || --shinfo.dataref > 0) return;
  for (let frag = shinfo.frags.pop(); frag; frag = shinfo.frags.pop()) put_user_bvec(frag);
  shinfo.uarg();
}
export const skb_dma = ({ frags }: SkBuff): DmaSegment[] =>
  frags.map(({ page, offset, len }) => ({ pfn: page_to_pfn(page), offset, len }));
/** Takes a packet back that was not sent: the iterator is where it was. */
export function skb_unfill(skb: SkBuff, from: IovIter, bytes: number): void {
  iov_iter_revert(from, bytes);
  consume_skb(skb);
}
