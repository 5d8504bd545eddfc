/** A machine for random programs: a file with shared and private mappings on a disk that holds requests back and fails. */
import * as api from "user-page";
import { PAGE_SIZE, type Task } from "user-page";
import { expect } from "vitest";
import { bdev_state } from "../../src/block/bdev.js";
import { boot_for_test, must, pattern_of } from "../fixtures.js";
import { ModelFile, Random, type ModelPage } from "./objectives_model.js";

export const NR_PAGES = 8;
const RW = api.PROT_READ | api.PROT_WRITE;
const ANON = api.MAP_PRIVATE | api.MAP_ANONYMOUS;
export const OTHER = pattern_of(4 * PAGE_SIZE, 9);

export interface Options {
  readonly policy: api.PolicyName;
  readonly seed: number;
  /** whether bytes are compared: a policy that loses some is only asked about the objectives */
  readonly bytes: boolean;
}
export interface DestPin {
  readonly page: api.UserPage<"dest">;
  readonly model: ModelPage;
}
export interface SourcePin {
  readonly page: api.UserPage<"source">;
  readonly model: ModelPage;
}
export interface Mapping {
  readonly task: Task;
  readonly addr: api.UserAddr;
  /** copies of a private mapping; null for a shared one */
  readonly own: Map<number, ModelPage> | null;
}

export class World {
  readonly machine: api.Machine = boot_for_test({ mem: 2 << 20 });
  readonly random: Random;
  readonly file = new ModelFile();
  readonly objectives: api.ObjectivesCheck;
  /** the last steps, for the message of a failure */
  readonly log: string[] = [];
  steps = 0;
  /** what was done, by name: a generator that never does something tests nothing */
  readonly done = new Map<string, number>();
  /** whether what is read is what was stored; where writes fail it need not be */
  readonly compare: boolean;
  /** whether every block on the disk has its checksum */
  readonly whole: boolean;
  readonly fails: boolean;
  readonly task: Task;
  readonly ram: api.BlockDevice;
  readonly disk: api.FlakeyDisk;
  readonly other: api.BlockDevice;
  readonly fs: api.Filesystem;
  readonly data: api.File;
  readonly mappings: Mapping[] = [];
  readonly dest: DestPin[] = [];
  readonly source: SourcePin[] = [];
  /** inside a call that zeroes a part of a page, and may wait before or after that */
  zeroing = false;
  ready = false; // from here on the disk does what it wants

  constructor({ policy, seed, bytes }: Options) {
    const { machine } = this;
    const random = (this.random = new Random(seed));
    this.fails = seed % 4 === 3;
    this.whole = bytes;
    this.compare = bytes && !this.fails;
    this.task = api.create_task(machine);
    this.ram = must(api.brd_alloc(machine, (26 + random.below(30)) * PAGE_SIZE));
    this.disk = api.dm_flakey(this.ram, ({ op }) => {
      if (!this.ready || op === "REQ_OP_READ") return null;
      if (this.fails && random.below(40) === 0) return { error: "EIO" };
      return random.below(3) === 0 ? { hold: true } : null;
    });
    this.other = must(api.brd_alloc(machine, OTHER.length));
    const kvec = api.mmap(this.task, null, OTHER.length, RW, ANON)._unsafeUnwrap();
    api.copy_to_user(this.task, kvec, OTHER)._unsafeUnwrap();
    api.direct_io(this.task, this.other, "REQ_OP_WRITE", kvec, OTHER.length, 0)._unsafeUnwrap();
    must(api.mkfs_cowfs(this.task, this.disk));
    this.fs = must(api.mount_cowfs(this.task, this.disk, { policy }));
    this.data = must(api.filp_open(this.task, this.fs, "data", api.O_CREAT));
    must(api.vfs_fsync(this.task, this.data));
    for (const flags of [api.MAP_SHARED, api.MAP_SHARED, api.MAP_PRIVATE, api.MAP_SHARED]) {
      const task = this.mappings.length < 2 ? api.create_task(machine) : this.task;
      const len = NR_PAGES * PAGE_SIZE;
      const addr = api.mmap(task, null, len, RW, flags, this.data, 0)._unsafeUnwrap();
      this.mappings.push({ task, addr, own: flags === api.MAP_PRIVATE ? new Map() : null });
    }
    must(api.vfs_truncate(this.task, this.data, NR_PAGES * PAGE_SIZE));
    this.file.grow(NR_PAGES * PAGE_SIZE);
    this.ready = true;
    this.objectives = api.check_objectives(machine);
  }
  /** Bytes that must be those of a page, as far as they are known. */
  differs(what: string, found: Uint8Array, page: ModelPage, offset: number): void {
    if (!this.compare) return;
    const end = Math.min(found.length, this.file.known(page) - offset);
    for (let i = 0; i < end; i++) {
      const expected = page.bytes[offset + i];
      if (found[i] === expected) continue;
      throw new Error(`${what}: byte ${offset + i} is ${found[i]}, not ${expected}`);
    }
  }
  note(line: string): void {
    this.log.push(line);
    if (this.log.length > 60) this.log.shift();
  }
  did(name: string): void {
    this.done.set(name, (this.done.get(name) ?? 0) + 1);
  }
  at(): { index: number; offset: number; len: number } {
    const { random } = this;
    const len = random.below(3) === 0 ? PAGE_SIZE : 1 + random.below(64);
    const offset = random.below(PAGE_SIZE - len + 1);
    const index = random.below(NR_PAGES);
    this.note(`    page ${index}, ${len} bytes at ${offset}`);
    return { index, offset, len };
  }
  /** What an access at this place of a mapping sees; a store to a private mapping makes a copy. */
  seen({ own }: Mapping, index: number, write: boolean): ModelPage {
    const copy = own?.get(index);
    if (copy) return copy;
    if (own === null || !write) return this.file.page(index);
    const made = this.file.copy(index);
    own.set(index, made);
    return made;
  }
  /** Runs such a call. */
  zero<T>(call: () => T): T {
    this.zeroing = true;
    const result = call();
    this.zeroing = false;
    return result;
  }
  scrub(): void {
    const [bad] = api.scrub(this.task, this.fs);
    if (this.whole && bad) throw new Error(bad.message);
  }
  /** Another machine mounts what is on the disk now, and finds what the last fsync() promised. */
  power_cut(): void {
    const { durable } = this.file;
    if (!this.compare || durable === null) return;
    const image = new Uint8Array(this.ram.size);
    bdev_state(this.ram, "test").backing.read(0, image);
    using machine = boot_for_test({ mem: 1 << 20 });
    const current = api.create_task(machine);
    const disk = must(api.brd_alloc(machine, image.length));
    bdev_state(disk, "test").backing.write(0, image);
    const fs = must(api.mount_cowfs(current, disk)); // ends with its machine
    expect(api.scrub(current, fs)).toEqual([]);
    using file = must(api.filp_open(current, fs, "data"));
    for (let index = 0; index * PAGE_SIZE < durable.size; index++) {
      const found = new Uint8Array(Math.min(PAGE_SIZE, durable.size - index * PAGE_SIZE));
      expect(api.kernel_read(current, file, found, index * PAGE_SIZE)._unsafeUnwrap()).toBe(
        found.length,
      );
      const allowed = durable.pages.get(index) ?? [new Uint8Array(PAGE_SIZE)];
      const same = (bytes: Uint8Array) =>
        Buffer.compare(bytes.subarray(0, found.length), found) === 0;
      if (allowed.length === 0 || allowed.some(same)) continue;
      throw new Error(`page ${index} did not survive a power cut`);
    }
    const past = api.kernel_read(current, file, new Uint8Array(1), durable.size);
    expect(past._unsafeUnwrap()).toBe(0);
  }
}
