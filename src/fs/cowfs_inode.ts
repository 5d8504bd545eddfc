/** A file of cowfs (ours): where its pages are on the disk, and what its page cache asks of it. */

import { raw } from "../handle/cast.js";
import { ERR_PTR } from "../handle/errno.js";
import type { BorrowedPage } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { AddressSpace, type AddressSpaceOps, type FileError } from "../mm/filemap.js";
import { bytes_to_read, bytes_to_write } from "../mm/page_alloc.js";
import { ref_sub } from "../mm/page_ref.js";
import type { CowFs } from "./cowfs.js";
import type { InodeOnDisk, PageOnDisk } from "./cowfs_commit.js";
import { BLOCK_SIZE, page_for_io, read_block, submit_block, type BlockDone } from "./cowfs_disk.js";
import { crc32c } from "./crc32c.js";

/** Where the bytes of one page are, what they add up to, and how many of them count. */
interface BlockRef {
  readonly block: number;
  readonly checksum: number;
  /** bytes from here on are zero, whatever the block has there */
  readonly upto: number;
  /** a commit names the block, or was to: it must not be used again before the next one */
  named: boolean;
}

/** No page gets into the cache of a file that is no more. */
const unmounted = (): FileError => ERR_PTR("EIO", "it was unmounted meanwhile");

export class Inode implements AddressSpaceOps {
  readonly fs: CowFs;
  readonly name: string;
  readonly mapping: AddressSpace;
  /** what the last commit says of it; null when it does not know it */
  committed: string | null = null;
  /** the size up to which its pages are on the disk, which the next commit gives it */
  disk_size = 0;
  /** pages that are no holes */
  readonly #on_disk = new Map<number, BlockRef>();
  /** blocks reserved for pages that were or will be stored to, oldest first */
  readonly #reserved = new Map<number, number[]>();
  /** blocks that only commits use */
  #freed: number[] = [];

  constructor(fs: CowFs, name: string, from?: InodeOnDisk) {
    this.fs = fs;
    this.name = name;
    this.mapping = new AddressSpace(fs.bdev.machine, this, fs.policy, fs.stats);
    if (!from) return;
    this.mapping.i_size = this.disk_size = from.i_size;
    for (const [index, block, checksum, upto] of from.pages) {
      this.#on_disk.set(index, { block, checksum, upto, named: true });
    }
    this.committed = JSON.stringify(from);
  }

  // --- commits -----------------------------------------------------------------------------------------------
  /** What a commit is going to say of it, and the blocks that are free when it has. */
  begin_commit(): [text: string, freed: number[]] {
    const pages: PageOnDisk[] = [];
    for (const [index, ref] of this.#on_disk) {
      // Written behind the size that the commit gives it: the next one has it.
      if (index * BLOCK_SIZE >= this.disk_size) continue;
      ref.named = true;
      pages.push([index, ref.block, ref.checksum, ref.upto]);
    }
    const text = JSON.stringify({ name: this.name, i_size: this.disk_size, pages });
    const freed = this.#freed;
    this.#freed = [];
    return [text, freed];
  }
  /** The commit failed: the one before still uses these blocks, or this one does after all. */
  abort_commit(freed: readonly number[]): void {
    for (const block of freed) this.#freed.push(block);
  }
  #drop(ref: BlockRef): void {
    if (ref.named) this.#freed.push(ref.block);
    else this.fs.blocks.free(ref.block);
  }

  // --- blocks ------------------------------------------------------------------------------------------------
  has_block(index: number): boolean {
    return this.#on_disk.has(index);
  }
  /** The pages [first, end) are holes. */
  forget_blocks(first: number, end: number): void {
    for (const [index, ref] of this.#on_disk) {
      if (index < first || index >= end) continue;
      this.#on_disk.delete(index);
      this.#drop(ref);
    }
  }
  /** Bytes of the page from here on are zero, without another block. */
  cut_block(index: number, upto: number): void {
    const ref = this.#on_disk.get(index);
    if (ref && ref.upto > upto) this.#on_disk.set(index, { ...ref, upto });
  }
  /** Reads its blocks past the cache: what is wrong with which page. */
  *verify(): Iterable<readonly [index: number, message: string]> {
    const { machine } = this.fs.bdev;
    for (const index of [...this.#on_disk.keys()]) {
      const pfn = machine.allocator.alloc(0, false, "scrub()");
      if (pfn === 0) {
        yield [index, "no page to read it into"];
        continue;
      }
      let failed: FileError | null;
      try {
        failed = this.read_folio(index, page_for_io(machine, pfn));
      } finally {
        ref_sub(pfn, 1);
      }
      if (failed) yield [index, failed.message];
    }
  }

  // --- what the page cache asks ------------------------------------------------------------------------------
  read_folio(index: number, to: BorrowedPage): FileError | null {
    const { bdev } = this.fs;
    const pfn = raw(to) >>> PAGE_HANDLE_SHIFT;
    for (;;) {
      if (!this.fs.mounted) return unmounted();
      const found = this.#on_disk.get(index);
      const failed = found ? read_block(bdev, found.block, to) : null;
      // Somebody wrote or truncated the page meanwhile, and the block may be another's.
      if (this.#on_disk.get(index) !== found || !this.fs.mounted) continue;
      if (failed) return ERR_PTR("EIO", failed.message);
      const sum = found ? crc32c(bytes_to_read(bdev.machine, pfn, 0, BLOCK_SIZE)) : 0;
      if (found && sum !== found.checksum) {
        const what = `checksum of "${this.name}", page ${index}, block ${found.block}`;
        bdev.machine.printk(`cowfs: ${what}: ${sum}, expected ${found.checksum}`);
        return ERR_PTR("EIO", `${what} is wrong: the block is not what was written`);
      }
      bytes_to_write(bdev.machine, pfn, 0, BLOCK_SIZE).fill(0, found?.upto ?? 0);
      return null;
    }
  }
  prepare(index: number): FileError | null {
    if (!this.fs.mounted) return unmounted();
    const block = this.fs.blocks.alloc();
    if (block === 0) return ERR_PTR("ENOSPC", `no block for page ${index} of "${this.name}"`);
    const mine = this.#reserved.get(index);
    if (mine) mine.push(block);
    else this.#reserved.set(index, [block]);
    return null;
  }
  unprepare(index: number, nr: number = Infinity): void {
    const mine = this.#reserved.get(index) ?? [];
    for (const block of mine.splice(-Math.min(nr, mine.length))) this.fs.blocks.free(block);
    if (mine.length === 0) this.#reserved.delete(index);
  }
  checksum(bytes: Uint8Array): number {
    return crc32c(bytes);
  }
  writepage(
    index: number,
    from: BorrowedPage,
    checksum: number,
    done: (error: FileError | null) => void,
  ): void {
    const { bdev, blocks } = this.fs;
    const mine = this.#reserved.get(index) ?? [];
    const block = mine.shift();
    if (block === undefined) {
      done(ERR_PTR("EIO", `no block is reserved for page ${index} of "${this.name}"`));
      return;
    }
    if (mine.length === 0) this.#reserved.delete(index);
    // What a mapping stored behind the end of the file is not part of it.
    const upto = Math.max(0, Math.min(BLOCK_SIZE, this.mapping.i_size - index * BLOCK_SIZE));
    const end: BlockDone = (failed) => {
      if (failed) {
        blocks.free(block);
        done(ERR_PTR("EIO", failed.message));
        return;
      }
      const old = this.#on_disk.get(index);
      this.#on_disk.set(index, { block, checksum, upto, named: false });
      if (old) this.#drop(old);
      done(null);
    };
    try {
      submit_block(bdev, "REQ_OP_WRITE", block, from, end);
    } catch (reason) {
      this.#reserved.set(index, [block, ...(this.#reserved.get(index) ?? [])]);
      throw reason;
    }
  }
}
