// Registered buffers of io_uring and the packet memory of AF_XDP, as Linux 6.18 pins them.
import {
  all_or_none,
  blkdev_direct_IO,
  FOLL_LONGTERM,
  folio_order,
  folio_page,
  io_account_mem,
  io_buffer_account_pin,
  IS_ERR,
  iov_iter_bvec,
  ITER_DEST,
  ITER_SOURCE,
  mmap_read_lock,
  mmap_read_unlock,
  PAGE_SIZE,
  page_folio,
  page_to_pfn,
  pin_user_pages,
  pin_user_pages_fast,
  put_user_page,
  u64_to_user_ptr,
  unaccount_mem,
  type BlockDevice,
  type BorrowedPage,
  type ErrnoName,
  type KernelBvec,
  type LockedCharge,
  type LongtermUserPage,
  type Op,
  type OwnedUserPage,
  type Task,
} from "user-page";
import { outcome_of, type Outcome, type UserPart } from "./file.js";

const MAX_BUFFERS = 1 << 14;
const MAX_BUFFER_BYTES = 1024 ** 3;

type Pin = LongtermUserPage<"dest">;
/** One registered buffer: a pin for each page, or for each folio. */
interface Registered {
  readonly part: UserPart;
  readonly pins: Pin[];
  /** of each page of the buffer: which pin holds it, and which page of the folio of that pin it is */
  readonly held_by: ReadonlyArray<readonly [pin: number, index: number]>;
  /** large folios that it was charged for, and the charge */
  readonly hpages: ReadonlySet<number>;
  readonly charge: LockedCharge;
  /** rings that share it */
  rings: number;
}
const pages_of = ({ addr, len }: UserPart): number =>
  Math.floor((addr + len - 1) / PAGE_SIZE) - Math.floor(addr / PAGE_SIZE) + 1;
const index_in_folio = (page: Pin): number => {
  const head = folio_page(page_folio(page), 0);
  return page_to_pfn(page) - page_to_pfn(head);
};

/** First pages of the folios, if all are large, of one size and without gaps between their pages; else null. */
function folio_starts(pages: readonly Pin[]): number[] | null {
  const order = folio_order(page_folio(pages[0]!));
  if (order === 0) return null;
  const starts: number[] = [];
  for (const [i, page] of pages.entries()) {
    const follows = i > 0 && page_to_pfn(page) === page_to_pfn(pages[i - 1]!) + 1;
    const index = index_in_folio(page);
    if (i > 0 && index !== 0 && !follows) return null;
    if (folio_order(page_folio(page)) !== order) return null;
    // Only the first folio may begin, and only the last may end, inside.
    if (i > 0 && index === 0 && index_in_folio(pages[i - 1]!) !== 2 ** order - 1) return null;
    if (i === 0 || index === 0) starts.push(i);
  }
  return starts;
}
/** Pins, then charges what was pinned; `hpages` are large folios that the ring is charged for. */
function pin_part(
  current: Task,
  part: UserPart,
  hpages: ReadonlySet<number>,
): Registered | ErrnoName {
  if (part.len > MAX_BUFFER_BYTES) return "EFAULT";
  const found = all_or_none(
    pin_user_pages_fast(current, part.addr, pages_of(part), ITER_DEST, FOLL_LONGTERM),
  );
  if (IS_ERR(found)) return found.errno;
  const pages: Array<OwnedUserPage<"dest", "longterm">> = found.splice(0);
  const charged = new Set(hpages);
  const charge = io_buffer_account_pin(current, pages, charged);
  if (IS_ERR(charge)) {
    for (const page of pages) put_user_page(page);
    return charge.errno;
  }
  const own = { hpages: new Set([...charged].filter((head) => !hpages.has(head))), charge };
  const starts = folio_starts(pages);
  if (!starts) {
    const held_by = pages.map((page, i) => [i, index_in_folio(page)] as const);
    return { part, pins: pages, held_by, rings: 1, ...own };
  }
  let pin = -1;
  const held_by = pages.map((page, i) => {
    if (starts[pin + 1] === i) pin++;
    return [pin, index_in_folio(page)] as const;
  });
  const kept = new Set(starts);
  const pins = pages.filter((_, i) => kept.has(i));
  for (const page of pages.filter((_, i) => !kept.has(i))) put_user_page(page);
  return { part, pins, held_by, rings: 1, ...own };
}
function drop(buffer: Registered | null): void {
  if (!buffer || --buffer.rings > 0) return;
  for (const pin of buffer.pins.splice(0)) put_user_page(pin);
  unaccount_mem(buffer.charge);
}
/** Pages of a ring with one entry: one for the queues, one for what is submitted. */
const RING_PAGES = 2;
/** The buffers of one ring; a slot may be empty. */
export class BufferTable {
  #slots: Array<Registered | null> = [];
  readonly #charge: LockedCharge | null;
  /** The ring itself is charged first; a ring that cannot be had registers nothing. */
  constructor(current: Task) {
    const charge = io_account_mem(current, RING_PAGES);
    this.#charge = IS_ERR(charge) ? null : charge;
  }
  /** Large folios of its buffers. */
  get #hpages(): Set<number> {
    return new Set(this.#slots.flatMap((slot) => [...(slot?.hpages ?? [])]));
  }
  /** All or none.  0, or EFAULT, EINVAL, ENOMEM. */
  register(current: Task, parts: readonly UserPart[]): Outcome {
    if (parts.length > MAX_BUFFERS) return "EINVAL";
    if (!this.#charge) return "ENOMEM";
    const slots: Registered[] = [];
    const hpages = this.#hpages;
    for (const part of parts) {
      const buffer = pin_part(current, part, hpages);
      if (typeof buffer === "string") {
        slots.forEach(drop);
        return buffer;
      }
      slots.push(buffer);
      for (const head of buffer.hpages) hpages.add(head);
    }
    this.#slots = slots;
    return 0;
  }
  unregister(): Outcome {
    for (const buffer of this.#slots.splice(0)) drop(buffer);
    return 0;
  }
  /** Puts another buffer, or none, into a slot: the number of slots changed. */
  update(current: Task, slot: number, part: UserPart | null): Outcome {
    const buffer = part && pin_part(current, part, this.#hpages);
    if (typeof buffer === "string") return buffer;
    drop(this.#slots[slot] ?? null);
    this.#slots[slot] = buffer;
    return 1;
  }
  /** Shares the buffers of another ring. */
  clone_from(other: BufferTable): Outcome {
    this.#slots = other.#slots.slice();
    for (const buffer of this.#slots) if (buffer) buffer.rings++;
    return 0;
  }
  /** Transfers between the disk and part of a buffer, with the pins it has: to direct I/O it is kernel memory. */
  transfer(current: Task, disk: BlockDevice, op: Op, { addr, len }: UserPart): Outcome {
    const buffer = this.#slots.find(
      (slot) => slot && addr >= slot.part.addr && addr + len <= slot.part.addr + slot.part.len,
    );
    if (!buffer) return "EFAULT";
    const base = buffer.part.addr - (buffer.part.addr % PAGE_SIZE);
    const bvecs: KernelBvec[] = [];
    for (let done = 0; done < len; done += bvecs.at(-1)!.len) {
      const offset = (addr + done) % PAGE_SIZE;
      const [pin, index] = buffer.held_by[(addr + done - offset - base) / PAGE_SIZE]!;
      const page: BorrowedPage = folio_page(page_folio(buffer.pins[pin]!), index);
      bvecs.push({ page, offset, len: Math.min(PAGE_SIZE - offset, len - done) });
    }
    const iter = iov_iter_bvec(op === "REQ_OP_READ" ? ITER_DEST : ITER_SOURCE, bvecs);
    const done = blkdev_direct_IO(current, { ki_pos: 0 }, iter, disk, { references: "per page" });
    return outcome_of(done.map(Number)); // without ki_complete nothing is queued
  }
}
/** Memory that is pinned page by page for as long as its owner lives: of a ring itself, or the packets of AF_XDP. */
export class PinnedRegion {
  readonly #pins: Pin[] = [];

  /** The way of io_uring: without the lock where that is possible. */
  pin(current: Task, part: UserPart): Outcome {
    const found = all_or_none(
      pin_user_pages_fast(current, part.addr, pages_of(part), ITER_DEST, FOLL_LONGTERM),
    );
    if (IS_ERR(found)) return found.errno;
    for (const page of found.splice(0)) this.#pins.push(page);
    return 0;
  }
  /** The way of AF_XDP: under the mmap_lock. */
  pin_locked(current: Task, part: UserPart): Outcome {
    const first = u64_to_user_ptr(part.addr - (part.addr % PAGE_SIZE));
    const lock = mmap_read_lock(current, current.mm);
    const found = all_or_none(
      pin_user_pages(lock, first, pages_of(part), ITER_DEST, FOLL_LONGTERM),
    );
    mmap_read_unlock(lock);
    if (IS_ERR(found)) return found.errno;
    for (const page of found.splice(0)) this.#pins.push(page);
    return 0;
  }
  unpin(): Outcome {
    for (const pin of this.#pins.splice(0)) put_user_page(pin);
    return 0;
  }
}
