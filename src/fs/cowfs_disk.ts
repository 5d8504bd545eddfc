/** Blocks of cowfs on their way to the disk and back (ours). */

import type { BlockDeviceState } from "../block/bdev.js";
import { bio_add_page, bio_alloc } from "../block/bio.js";
import { bio_error, bio_set_end_io } from "../block/bio_end_io.js";
import { bio_put } from "../block/bio_pages.js";
import { blk_flush_plug, submit_bio } from "../block/blk-core.js";
import { lend_page, raw, to_bdev } from "../handle/cast.js";
import { ERR_PTR, type BlkError } from "../handle/errno.js";
import type { BorrowedPage } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { raise_softirq, wait_for_completion } from "../machine/context.js";
import { PAGE_SIZE, SECTOR_SIZE } from "../machine/limits.js";
import type { MachineState } from "../machine/machine.js";
import { ref_add, ref_sub } from "../mm/page_ref.js";

export const BLOCK_SIZE: number = PAGE_SIZE;
const SECTORS_PER_BLOCK = BLOCK_SIZE / SECTOR_SIZE;
export type BlockOp = "REQ_OP_READ" | "REQ_OP_WRITE";
/** Runs once, in softirq context. */
export type BlockDone = (error: BlkError | null) => void;

/** What was submitted and has not ended. */
const under_way = new WeakMap<BlockDeviceState, Set<BlockDone>>();
function under_way_on(bdev: BlockDeviceState): Set<BlockDone> {
  let found = under_way.get(bdev);
  if (!found) under_way.set(bdev, (found = new Set()));
  return found;
}
/** The machine ends: nothing that is under way will come back, and its pages are free. */
export function cut_power(bdev: BlockDeviceState): void {
  for (const end of under_way_on(bdev)) end(ERR_PTR("EIO", "the machine ended"));
}

/** Sends one block; a disk that was closed is an error as any other.  What throws sent nothing, and `done` never runs. */
export function submit_block(
  bdev: BlockDeviceState,
  op: BlockOp,
  block: number,
  page: BorrowedPage,
  done: BlockDone,
): void {
  const flying = under_way_on(bdev);
  const end: BlockDone = (error) => {
    if (flying.delete(end)) done(error);
  };
  flying.add(end);
  if (!bdev.open) {
    raise_softirq(bdev.machine, () => {
      end(ERR_PTR("EIO", `${bdev.name} was closed`));
    });
    return;
  }
  try {
    const bio = bio_alloc(to_bdev(bdev), 1, op, block * SECTORS_PER_BLOCK);
    bio_add_page(bio, page, BLOCK_SIZE, 0);
    bio_set_end_io(bio, (ended) => {
      const error = bio_error(ended);
      bio_put(ended);
      end(error);
    });
    submit_bio(bio);
  } catch (reason) {
    flying.delete(end);
    throw reason;
  }
  // Whoever sent it waits for it somewhere that knows no block layer.
  if (bdev.machine.in_softirq === 0) blk_flush_plug(bdev.machine);
}
/** Reads one block into a page, and waits. */
export function read_block(
  bdev: BlockDeviceState,
  block: number,
  page: BorrowedPage,
): BlkError | null {
  let ended = false;
  let error: BlkError | null = null;
  const pfn = raw(page) >>> PAGE_HANDLE_SHIFT;
  // Should the wait end before the transfer, the device still has its page.
  ref_add(pfn, 1);
  const end: BlockDone = (why) => {
    ended = true;
    error = why;
    ref_sub(pfn, 1);
  };
  try {
    submit_block(bdev, "REQ_OP_READ", block, page, end);
  } catch (reason) {
    if (!ended) ref_sub(pfn, 1);
    throw reason;
  }
  wait_for_completion(bdev.machine, () => ended, "submit_bio_wait()");
  return error;
}
/** A page of the kernel's for I/O, as the block layer wants it. */
export const page_for_io = ({ page_tags }: MachineState, pfn: number): BorrowedPage =>
  lend_page((pfn << PAGE_HANDLE_SHIFT) | page_tags);
