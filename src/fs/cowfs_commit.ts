/**
 * What cowfs says of itself on its disk (ours): two superblocks in turns, and a table of inodes written to blocks that nobody
 * uses, so that whatever is cut off leaves the last commit whole.  What is read is checked: anybody can write to a disk.
 */

import type { BlockDeviceState } from "../block/bdev.js";
import { ERR_PTR, IS_ERR, type Errno } from "../handle/errno.js";
import { bytes_to_read, bytes_to_write } from "../mm/page_alloc.js";
import { ref_sub } from "../mm/page_ref.js";
import { BLOCK_SIZE, page_for_io, read_block, submit_block } from "./cowfs_disk.js";
import { crc32c } from "./crc32c.js";

/** Superblocks of odd and even generations. */
export const NR_SUPERBLOCKS = 2;
/** Blocks of the smallest disk and of the largest. */
export const MIN_BLOCKS = 16;
export const MAX_BLOCKS = 40_000;
export const MAX_FILES = 100;
/** characters of the longest name */
export const NAME_MAX = 100;
/** bytes of the largest file */
export const MAX_FILE_BYTES: number = 2 ** 40;
/** How many blocks the superblock of a table may name. */
const MAX_TABLE_BLOCKS = 400;
const MAGIC = "cowfs 1";

/** index, block and checksum of a page that is no hole, and how many of its bytes count: the rest is zero */
export type PageOnDisk = readonly [index: number, block: number, checksum: number, upto: number];
export interface InodeOnDisk {
  readonly name: string;
  readonly i_size: number;
  readonly pages: readonly PageOnDisk[];
}
interface Superblock {
  readonly magic: string;
  readonly generation: number;
  readonly nr_blocks: number;
  /** blocks of the table of inodes, its bytes, and their checksum */
  readonly table: readonly number[];
  readonly bytes: number;
  readonly checksum: number;
}
export interface Commit {
  readonly generation: number;
  readonly nr_blocks: number;
  readonly table: readonly number[];
  readonly inodes: readonly InodeOnDisk[];
}
export type DiskError = Errno<"EIO" | "ENOMEM">;
const no_page = (): DiskError => ERR_PTR("ENOMEM", "no page for a block");

// --- writing --------------------------------------------------------------------------------------------
const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** The table of inodes, each as its JSON. */
export const encode_table = (inodes: readonly string[]): Uint8Array =>
  encoder.encode(`[${inodes.join()}]`);
function encode_superblock(fields: Superblock): Uint8Array {
  const text = JSON.stringify(fields);
  return encoder.encode(`${crc32c(encoder.encode(text))}\n${text}`);
}
/**
 * Writes a table to blocks that nobody uses, and when it is there the superblock that names them.  `done` runs once, in softirq
 * context unless memory is out.
 */
export function write_commit(
  bdev: BlockDeviceState,
  { generation, nr_blocks, table }: Omit<Commit, "inodes">,
  bytes: Uint8Array,
  done: (error: DiskError | null) => void,
): void {
  const { machine } = bdev;
  const pfn = machine.allocator.alloc(0, false, "cowfs: commit");
  if (pfn === 0) {
    done(no_page());
    return;
  }
  const checksum = crc32c(bytes);
  const superblock = { magic: MAGIC, generation, nr_blocks, table, bytes: bytes.length, checksum };
  const finish = (error: DiskError | null): void => {
    ref_sub(pfn, 1);
    done(error);
  };
  const write = (nr: number): void => {
    const last = nr === table.length;
    const block = last ? generation % NR_SUPERBLOCKS : table[nr]!;
    const part = last
      ? encode_superblock(superblock)
      : bytes.subarray(nr * BLOCK_SIZE, (nr + 1) * BLOCK_SIZE);
    bytes_to_write(machine, pfn, 0, BLOCK_SIZE).fill(0).set(part);
    submit_block(bdev, "REQ_OP_WRITE", block, page_for_io(machine, pfn), (error) => {
      if (error) finish(ERR_PTR("EIO", error.message));
      else if (last) finish(null);
      else write(nr + 1);
    });
  };
  write(0);
}

// --- reading --------------------------------------------------------------------------------------------
/** The first bytes of these blocks. */
function read_bytes(
  bdev: BlockDeviceState,
  blocks: readonly number[],
  bytes: number,
): Uint8Array | DiskError {
  const { machine } = bdev;
  const pfn = machine.allocator.alloc(0, false, "cowfs: mount");
  if (pfn === 0) return no_page();
  const to = new Uint8Array(blocks.length * BLOCK_SIZE);
  try {
    for (const [i, block] of blocks.entries()) {
      const failed = read_block(bdev, block, page_for_io(machine, pfn));
      if (failed) return ERR_PTR("EIO", failed.message);
      to.set(bytes_to_read(machine, pfn, 0, BLOCK_SIZE), i * BLOCK_SIZE);
    }
  } finally {
    ref_sub(pfn, 1);
  }
  return to.subarray(0, bytes);
}
const is_int = (n: unknown, from: number, to: number): n is number =>
  Number.isSafeInteger(n) && (n as number) >= from && (n as number) <= to;
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
function fields_of<T>(value: unknown): Partial<Record<keyof T, unknown>> {
  return typeof value === "object" && value !== null ? value : {};
}
/** The superblock, if it is one that a disk of so many blocks can have. */
function check_superblock(value: unknown, disk_blocks: number): Superblock | null {
  const fields = fields_of<Superblock>(value);
  const { magic, generation, nr_blocks, table, bytes, checksum } = fields;
  if (magic !== MAGIC || !is_int(generation, 0, 2 ** 50)) return null;
  if (!is_int(nr_blocks, MIN_BLOCKS, Math.min(MAX_BLOCKS, disk_blocks))) return null;
  if (!Array.isArray(table) || !is_int(table.length, 1, MAX_TABLE_BLOCKS)) return null;
  const blocks: number[] = table.filter((b): b is number =>
    is_int(b, NR_SUPERBLOCKS, nr_blocks - 1),
  );
  if (blocks.length < table.length || new Set(blocks).size < blocks.length) return null;
  if (!is_int(bytes, 2, blocks.length * BLOCK_SIZE) || !is_int(checksum, 0, 2 ** 32)) return null;
  return { magic, generation, nr_blocks, table: blocks, bytes, checksum };
}
/** The inodes, if no two use one block and every number is one that was written here. */
function check_inodes(value: unknown, { nr_blocks, table }: Superblock): InodeOnDisk[] | null {
  if (!Array.isArray(value) || value.length > MAX_FILES) return null;
  const used = new Set<number>(table);
  const names = new Set<string>();
  const inodes: InodeOnDisk[] = [];
  for (const { name, i_size, pages } of value.map(fields_of<InodeOnDisk>)) {
    if (typeof name !== "string" || !is_int(name.length, 1, NAME_MAX)) return null;
    if (names.has(name) || !is_int(i_size, 0, MAX_FILE_BYTES) || !Array.isArray(pages)) return null;
    names.add(name);
    const indexes = new Set<number>();
    const checked: PageOnDisk[] = [];
    for (const page of pages as unknown[]) {
      const [index, block, checksum, upto] = Array.isArray(page) ? (page as unknown[]) : [];
      if (!is_int(index, 0, Math.ceil(i_size / BLOCK_SIZE) - 1) || indexes.has(index)) return null;
      if (!is_int(block, NR_SUPERBLOCKS, nr_blocks - 1) || used.has(block)) return null;
      if (!is_int(checksum, 0, 2 ** 32) || !is_int(upto, 0, BLOCK_SIZE)) return null;
      indexes.add(index);
      used.add(block);
      checked.push([index, block, checksum, upto]);
    }
    inodes.push({ name, i_size, pages: checked });
  }
  return inodes;
}
function read_superblock(bdev: BlockDeviceState, slot: number): Superblock | DiskError | null {
  const bytes = read_bytes(bdev, [slot], BLOCK_SIZE);
  if (IS_ERR(bytes)) return bytes;
  const [seal, text] = decoder.decode(bytes).replace(/\0+$/, "").split("\n");
  if (text === undefined || seal !== String(crc32c(encoder.encode(text)))) return null;
  return check_superblock(parse(text), Math.floor(bdev.size / BLOCK_SIZE));
}
/**
 * The newest commit that is whole.  A superblock that cannot be read may be the newest, and what the other one names may have
 * been used again since: that is an error, while one that is torn was never committed.
 */
export function read_commit(bdev: BlockDeviceState): Commit | DiskError | Errno<"EINVAL"> {
  if (bdev.size < MIN_BLOCKS * BLOCK_SIZE) {
    return ERR_PTR("EINVAL", `${bdev.name} is too small for a cowfs`);
  }
  const found: Superblock[] = [];
  for (let slot = 0; slot < NR_SUPERBLOCKS; slot++) {
    const superblock = read_superblock(bdev, slot);
    if (IS_ERR(superblock)) return superblock;
    if (superblock) found.push(superblock);
  }
  for (const superblock of found.sort((a, b) => b.generation - a.generation)) {
    const { generation, nr_blocks, table } = superblock;
    const bytes = read_bytes(bdev, table, superblock.bytes);
    if (IS_ERR(bytes)) return bytes;
    if (crc32c(bytes) !== superblock.checksum) continue;
    const inodes = check_inodes(parse(decoder.decode(bytes)), superblock);
    if (inodes) return { generation, nr_blocks, table, inodes };
  }
  return ERR_PTR("EINVAL", `${bdev.name} has no cowfs that is whole`);
}
