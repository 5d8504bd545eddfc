/**
 * skb_gro_receive() of net/core/gro.c moved fragments that are plain references into a packet whose fragments go back to a
 * page pool: "skb: Do mix page pool and page referenced frags in GRO".  One flag of the packet decides how all of them are
 * released.  Pool pages are modelled by pins, the other kind that is counted differently; a packet's type says which kind
 * it holds, and the merge does not take another.
 */
import {
  get_user_page,
  get_user_pages_fast,
  IS_ERR,
  ITER_SOURCE,
  PAGE_SIZE,
  put_page,
  put_user_page,
  user_ptr_add,
  type Page,
  type UserPage,
} from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

interface Skb<Frag> {
  readonly frags: Frag[];
}
function pool_skb({ current, buf }: Bench): Skb<UserPage> {
  const page = get_user_page(current, buf, ITER_SOURCE);
  return { frags: IS_ERR(page) ? [] : [page] };
}
function plain_skb({ current, buf }: Bench): Skb<Page> {
  const frags: Page[] = [];
  get_user_pages_fast(current, user_ptr_add(buf, PAGE_SIZE), 1, 0, frags);
  return { frags };
}
function free_pool_skb({ frags }: Skb<UserPage>) {
  for (let frag = frags.pop(); frag; frag = frags.pop()) put_user_page(frag);
}
function free_plain_skb({ frags }: Skb<Page>) {
  for (let frag = frags.pop(); frag; frag = frags.pop()) put_page(frag);
}
export function wrong(bench: Bench) {
  const p = pool_skb(bench);
  const skb = plain_skb(bench);
  // @ts-expect-error the packet returns its fragments to the pool
  p.frags.push(...skb.frags.splice(0));
  free_pool_skb(p);
}

/** Merges, if both are released the same way. */
function skb_gro_receive<Frag>(p: Skb<Frag>, skb: Skb<Frag>) {
  p.frags.push(...skb.frags.splice(0));
}
export function right(bench: Bench) {
  const p = pool_skb(bench);
  const same = pool_skb(bench);
  const other = plain_skb(bench);
  skb_gro_receive(p, same);
  for (const frag of p.frags.slice(0, 1)) dma_to_device(bench.device, frag);
  free_pool_skb(p);
  free_plain_skb(other); // goes up the stack by itself
}
