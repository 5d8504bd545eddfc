// Files of the running kernel, made by direct writes, and where they lie.
import {
  closeSync,
  constants,
  fdatasyncSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { BLOCK, PAGE, type Layout } from "./case.js";
import { parse_filefrag, type Extent } from "./extents.js";
import { Random } from "./random.js";
import { Shell } from "./shell.js";

const { O_DIRECT, O_RDWR, O_CREAT, O_TRUNC, O_RDONLY } = constants;

const STAGING = 8 << 20;
class FileError extends Error {}

// Node has it; the types of this project's libraries do not.
declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number }) => { readonly buffer: ArrayBuffer };
};
/** Page-aligned memory that nothing has touched. */
export function fresh_memory(bytes: number): Uint8Array {
  const initial = Math.ceil(bytes / 65536);
  return new Uint8Array(new WebAssembly.Memory({ initial }).buffer);
}
export interface OpenFile {
  readonly fd: number;
  readonly extents: readonly Extent[];
}
/** Bytes that a file of data has there. */
export type Content = (offset: number, bytes: number) => Uint8Array;

export class Files {
  readonly folder: string;
  readonly #content: Content;
  readonly #staging: Uint8Array = fresh_memory(STAGING);
  readonly #open = new Map<string, OpenFile & { readonly path: string }>();
  readonly #shell: Shell;
  readonly #filler: number;
  #filled = 0;
  #made = 0;
  #pinned = 0;
  constructor(parent: string, content: Content) {
    this.folder = mkdtempSync(join(parent, "user-page-live-"));
    this.#content = content;
    const between = join(this.folder, "between");
    try {
      this.#filler = openSync(between, O_DIRECT | O_RDWR | O_CREAT | O_TRUNC);
    } catch (error) {
      rmSync(this.folder, { recursive: true });
      throw error;
    }
    this.#shell = new Shell();
  }
  /** Pages pinned and released to write files: whole pages of memory that was written. */
  get pinned(): number {
    return this.#pinned;
  }
  #path_of(layout: Layout): string {
    return this.#open.get(JSON.stringify(layout))!.path;
  }
  /** The file as its layout says, opened for direct I/O. */
  async open(layout: Layout): Promise<OpenFile> {
    const key = JSON.stringify(layout);
    let file = this.#open.get(key);
    if (!file) this.#open.set(key, (file = await this.#make(layout)));
    return file;
  }
  /** Puts back what a write to blocks with data changed. */
  restore(layout: Layout, from: number, end: number): void {
    const { fd } = this.#open.get(JSON.stringify(layout))!;
    for (let at = from; at < end; at += STAGING) this.#write(fd, at, Math.min(STAGING, end - at));
  }
  /** Its blocks or its size changed: the next open() makes it anew. */
  spoil(layout: Layout): void {
    const key = JSON.stringify(layout);
    const file = this.#open.get(key);
    if (!file) return;
    closeSync(file.fd);
    void this.#shell.run(["rm", file.path]); // the next one waits for it
    this.#open.delete(key);
  }
  /** Where its blocks are now. */
  async extents(layout: Layout, bytes: number): Promise<Extent[]> {
    const text = await this.#shell.run(["filefrag", "-v", this.#path_of(layout)]);
    return parse_filefrag(text, bytes);
  }
  /** All of it through the page cache, which pins nothing. */
  bytes(layout: Layout): Uint8Array {
    const fd = openSync(this.#path_of(layout), O_RDONLY);
    try {
      const parts: Uint8Array[] = [];
      for (let at = 0; ;) {
        const part = new Uint8Array(1 << 20);
        const got = readSync(fd, part, 0, part.length, at);
        if (got === 0) return Buffer.concat(parts);
        parts.push(part.subarray(0, got));
        at += got;
      }
    } finally {
      closeSync(fd);
    }
  }
  async #make(layout: Layout): Promise<OpenFile & { path: string }> {
    const path = join(this.folder, String(this.#made++));
    let fd = openSync(path, O_DIRECT | O_RDWR | O_CREAT | O_TRUNC);
    let end = 0;
    const pieces = layout.pieces.map((piece) => ({
      ...piece,
      offset: (end += piece.blocks * BLOCK) - piece.blocks * BLOCK,
    }));
    const data = pieces.filter(({ state }) => state === "data");
    if (layout.scattered) {
      const random = new Random(data.length, this.#made);
      for (let i = data.length - 1; i > 0; i--) {
        const other = random.below(i + 1);
        [data[i], data[other]] = [data[other]!, data[i]!];
      }
    }
    for (const { offset, blocks } of data) {
      this.#write(fd, offset, blocks * BLOCK);
      if (layout.scattered) this.#fill();
    }
    const unwritten = pieces.filter(({ state }) => state === "unwritten");
    const allocations = unwritten.map(({ offset, blocks }) => {
      const [from, bytes] = [String(offset), String(blocks * BLOCK)];
      return ["fallocate", "-n", "-o", from, "-l", bytes, path];
    });
    if (allocations.length > 0) await this.#shell.run(...allocations);
    ftruncateSync(fd, layout.size);
    // The page cache zeroed what is left of the last block: the disk shall not have to do that when a case begins.
    if (layout.size % BLOCK !== 0) fdatasyncSync(fd);
    // With the last descriptor what ext4 reserved for the file goes, and the case's blocks come from one place.
    closeSync(fd);
    fd = openSync(path, O_DIRECT | O_RDWR);
    const text = await this.#shell.run(["filefrag", "-v", path]);
    return { fd, path, extents: parse_filefrag(text, end) };
  }
  #write(fd: number, offset: number, bytes: number): void {
    this.#staging.set(this.#content(offset, bytes));
    const written = writeSync(fd, this.#staging, 0, bytes, offset);
    this.#pinned += bytes / PAGE;
    if (written !== bytes) throw new FileError(`${written} of ${bytes} bytes were written`);
  }
  /** A block of another file, so that what comes next cannot lie behind what came last. */
  #fill(): void {
    writeSync(this.#filler, this.#staging, 0, BLOCK, this.#filled);
    this.#filled += BLOCK;
    this.#pinned++;
  }
  async close(): Promise<void> {
    for (const { fd } of this.#open.values()) closeSync(fd);
    closeSync(this.#filler);
    await this.#shell.close();
    rmSync(this.folder, { recursive: true });
  }
}
