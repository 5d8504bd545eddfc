/**
 * batch_clear_carry() of drivers/iommu/iommufd/pages.c keeps the last entry of a batch as its first one and said that the
 * batch ends before it: "iommufd: Set end correctly when doing batch carry".  The next add overwrote the entry and with it
 * its pins.  An index beside an array is arithmetic, which no type checks; debug mode lists the pins.  An array's own
 * length has no such second truth.
 */
import {
  FOLL_LONGTERM,
  get_user_bvec,
  IS_ERR,
  ITER_DEST,
  PAGE_SIZE,
  pop_user_bvec,
  put_user_bvec,
  user_ptr_add,
  type LongtermBvec,
} from "user-page";
import { dma_bvec_from_device, type Bench } from "./bench.js";

/** One extent of one page. */
function pin_next({ current, buf }: Bench, nth: number) {
  const addr = user_ptr_add(buf, nth * PAGE_SIZE);
  using list = get_user_bvec(current, addr, PAGE_SIZE, ITER_DEST, FOLL_LONGTERM);
  return IS_ERR(list) ? null : pop_user_bvec(list);
}
type Entry = LongtermBvec<"dest">;
interface PfnBatch {
  readonly entries: Entry[];
  end: number;
}
function batch_add(batch: PfnBatch, entry: Entry | null) {
  if (entry) batch.entries[batch.end++] = entry;
}
function batch_unpin(batch: PfnBatch) {
  for (const entry of batch.entries.slice(0, batch.end)) put_user_bvec(entry);
}
export function wrong(bench: Bench) {
  const batch: PfnBatch = { entries: [], end: 0 };
  batch_add(batch, pin_next(bench, 0));
  batch.end = 0; // keeps entry 0, which is beyond the end now
  batch_add(batch, pin_next(bench, 1));
  batch_unpin(batch);
}

export function right(bench: Bench) {
  const batch: Entry[] = [];
  const add = (entry: Entry | null): void => {
    if (entry) batch.push(entry);
  };
  add(pin_next(bench, 0));
  batch.splice(0, batch.length - 1); // what is kept counts
  add(pin_next(bench, 1));
  for (const entry of batch) dma_bvec_from_device(bench.device, entry);
  for (let entry = batch.pop(); entry; entry = batch.pop()) put_user_bvec(entry);
}
