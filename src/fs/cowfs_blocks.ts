/** Which blocks of a cowfs are in use (ours), and how many are kept back so that every change can be committed. */

import { NR_SUPERBLOCKS, type Commit } from "./cowfs_commit.js";
import { BLOCK_SIZE } from "./cowfs_disk.js";

/** Bytes of the table that a page of a file takes at most: index, block, checksum and bytes in use. */
const BYTES_PER_PAGE = 34;
/** Bytes of the table that a file takes at most, besides its name. */
const BYTES_PER_FILE = 64;
const encoder = new TextEncoder();
const bytes_of_name = (name: string): number =>
  BYTES_PER_FILE + encoder.encode(JSON.stringify(name)).length;

export class Blocks {
  readonly nr_blocks: number;
  /** of each block whether it may be handed out */
  readonly #free: Uint8Array;
  #nr_free: number;
  /** where the search goes on: what was freed last is used again last */
  #next = NR_SUPERBLOCKS;
  /** blocks of the table that the last commit names */
  #table: readonly number[];
  /** bytes of the largest table there can be */
  #max_bytes: number;

  constructor({ nr_blocks, table, inodes }: Commit) {
    this.nr_blocks = nr_blocks;
    this.#free = new Uint8Array(nr_blocks).fill(1);
    this.#nr_free = nr_blocks;
    this.#table = table;
    for (let block = 0; block < NR_SUPERBLOCKS; block++) this.#take(block);
    for (const block of table) this.#take(block);
    for (const { pages } of inodes) for (const [, block] of pages) this.#take(block);
    this.#max_bytes = BYTES_PER_FILE + nr_blocks * BYTES_PER_PAGE;
    for (const { name } of inodes) this.#max_bytes += bytes_of_name(name);
  }
  #take(block: number): void {
    this.#free[block] = 0;
    this.#nr_free--;
  }
  #alloc(): number {
    if (this.#nr_free === 0) return 0;
    let block = this.#free.indexOf(1, this.#next);
    if (block < 0) block = this.#free.indexOf(1);
    this.#next = block + 1;
    this.#take(block);
    return block;
  }
  free(block: number): void {
    this.#free[block] = 1;
    this.#nr_free++;
  }
  /**
   * The largest table fits beside the one that is there, before a commit and after it: a commit trades the old table for a
   * new one, which leaves what data may have as it is.
   */
  #available(max_bytes: number): number {
    return this.#nr_free - 2 * Math.ceil(max_bytes / BLOCK_SIZE) + this.#table.length;
  }
  /** blocks that data may have */
  get nr_free(): number {
    return Math.max(0, this.#available(this.#max_bytes));
  }
  /** A block for data, 0 when none is left. */
  alloc(): number {
    return this.nr_free > 0 ? this.#alloc() : 0;
  }
  /** Makes sure that the table has room for one more file; false and nothing changed if not. */
  add_name(name: string): boolean {
    const max_bytes = this.#max_bytes + bytes_of_name(name);
    if (this.#available(max_bytes) < 0) return false;
    this.#max_bytes = max_bytes;
    return true;
  }
  /** Blocks for a table of so many bytes; null when they are not there. */
  alloc_table(bytes: number): number[] | null {
    const nr = Math.ceil(bytes / BLOCK_SIZE);
    return nr > this.#nr_free ? null : Array.from({ length: nr }, () => this.#alloc());
  }
  /** A commit names this table from now on: that of the one before is free. */
  set_table(table: readonly number[]): void {
    for (const block of this.#table) this.free(block);
    this.#table = table;
  }
}
