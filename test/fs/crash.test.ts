/**
 * The power fails before every single write of a workload, and in the middle of it: what is left mounts, every checksum holds,
 * and each file is what it was when it was last synced, or what somebody was about to sync.
 */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { pattern_of } from "../fixtures.js";
import {
  before_each_write,
  disk_image,
  errno_or_null,
  file_world,
  free_blocks,
  map_file,
  OtherMachine,
  P,
  set_disk_image,
  store,
  value_of,
  type FileWorld,
} from "./file_world.js";

/** mulberry32 */
function lots(seed: number): (below: number) => number {
  let x = seed | 0;
  return (below) => {
    x = (x + 0x6d2b79f5) | 0;
    let t = Math.imul(x ^ (x >>> 15), 1 | x);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
const PAGES = 6;
const MAX = PAGES * P;
const NAMES = ["a", "b", "c"];

/** A file as it should be: its bytes, and what a crash may leave; null is no file. */
class Expected {
  bytes: Uint8Array = new Uint8Array(0);
  allowed: Array<Uint8Array | null> = [null];
  resize(length: number): void {
    const next = new Uint8Array(length);
    next.set(this.bytes.subarray(0, length));
    this.bytes = next;
  }
  write(pos: number, from: Uint8Array): void {
    if (from.length > 0) this.resize(Math.max(this.bytes.length, pos + from.length));
    this.bytes.set(from, pos);
  }
  begin_sync(): void {
    this.allowed.push(this.bytes.slice());
  }
  end_sync(done: boolean): void {
    if (done) this.allowed = this.allowed.slice(-1);
  }
}
const same = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
  a === null || b === null ? a === b : Buffer.compare(a, b) === 0;

class Workload {
  readonly w: FileWorld;
  readonly draw: (below: number) => number;
  readonly expected: ReadonlyMap<string, Expected> = new Map(NAMES.map((n) => [n, new Expected()]));
  readonly files = new Map<string, api.File>();
  readonly maps = new Map<string, api.UserAddr>();
  readonly pins: Array<{ name: string; at: number; pin: api.OwnedUserPage<"dest"> | null }> = [];
  #seed = 1;
  constructor(w: FileWorld, seed: number) {
    this.w = w;
    this.draw = lots(seed);
  }
  #open(name: string): api.File {
    let file = this.files.get(name);
    if (!file) {
      file = this.w.open(name);
      this.files.set(name, file);
      this.maps.set(name, map_file(this.w.current, file, MAX));
    }
    return file;
  }
  #bytes(len: number): Uint8Array {
    return pattern_of(len, this.#seed++);
  }
  sync_all(): void {
    this.#sync([...this.files.keys()], () => api.sync_filesystem(this.w.current, this.w.fs));
  }
  #sync(names: readonly string[], sync: () => api.Errno | null): void {
    const all = names.map((name) => this.expected.get(name)!);
    for (const one of all) one.begin_sync();
    const failed = errno_or_null(sync());
    expect([null, "ENOSPC"]).toContain(failed);
    for (const one of all) one.end_sync(failed === null);
  }
  step(): void {
    const { current, machine } = this.w;
    const name = NAMES[this.draw(NAMES.length)]!;
    const file = this.#open(name);
    const model = this.expected.get(name)!;
    const size = model.bytes.length;
    const pos = this.draw(MAX);
    switch (this.draw(12)) {
      case 0:
      case 1:
      case 2: {
        const from = this.#bytes(Math.min(1 + this.draw(3 * P), MAX - pos));
        const wrote = value_of(api.kernel_write(current, file, from, pos));
        if (wrote === "ENOSPC") return;
        model.write(pos, from.subarray(0, Number(wrote)));
        return;
      }
      case 3:
        expect(api.vfs_truncate(current, file, pos)).toBeNull();
        this.#left(name, pos);
        model.resize(pos);
        return;
      case 4: {
        const len = 1 + this.draw(3 * P);
        const failed = errno_or_null(api.vfs_fallocate(current, file, 3, pos, len));
        if (failed === null) {
          const end = Math.min(pos + len, size);
          if (pos < end) model.bytes.fill(0, pos, end);
          this.#left(name, pos, end >= size ? Infinity : end);
        } else expect(failed).toBe("ENOSPC");
        return;
      }
      case 5: {
        if (pos >= size) return;
        const len = Math.min(1 + this.draw(P), size - pos, P - (pos % P));
        const from = this.#bytes(len);
        const done = store(current, api.user_ptr_add(this.maps.get(name)!, pos), from);
        if (done === len) model.write(pos, from);
        else expect(done).toBe("EFAULT");
        return;
      }
      case 6:
        api.filemap_flush(current, file);
        return;
      case 7:
        api.run_softirqs(machine);
        return;
      case 8:
        this.#sync([name], () => api.vfs_fsync(current, file));
        return;
      case 9:
        if (this.draw(2) === 0) api.invalidate_mapping_pages(current, file);
        else this.sync_all();
        return;
      case 10: {
        // Device writes to a page that it holds pinned, now and later.
        const index = this.draw(PAGES);
        const at = api.user_ptr_add(this.maps.get(name)!, index * P);
        const pin = api.get_user_page(current, at, "dest");
        if (api.IS_ERR(pin)) expect(pin.errno).toBe("EFAULT");
        else this.pins.push({ name, at: index * P, pin });
        return;
      }
      default: {
        const held = this.pins[this.draw(Math.max(1, this.pins.length))];
        if (!held?.pin) return;
        const from = this.#bytes(P);
        api.memcpy_to_page(held.pin, 0, from);
        if (held.at >= 0) this.#stored(held.name, held.at, from);
        if (this.draw(2) === 0) {
          if (held.at >= 0) api.set_page_dirty(held.pin);
          api.put_user_page(held.pin);
          this.pins.splice(this.pins.indexOf(held), 1);
        }
      }
    }
  }
  #stored(name: string, at: number, from: Uint8Array): void {
    const model = this.expected.get(name)!;
    model.bytes.set(from.subarray(0, Math.max(0, model.bytes.length - at)), at);
  }
  /** Pins of whole pages in the range hold memory that is the file's no more. */
  #left(name: string, from: number, to = Infinity): void {
    for (const held of this.pins) {
      if (held.name === name && held.at >= from && held.at + P <= to) held.at = -1;
    }
  }
  end(): void {
    for (const { pin } of this.pins.splice(0)) if (pin) api.put_user_page(pin);
  }
  /** What is wrong with what a crash left, or null. */
  judge(image: Uint8Array, other: OtherMachine): string | null {
    const { files, corruption } = other.mount(image);
    if (typeof files === "string") return `mount: ${files}`;
    if (corruption.length > 0) return corruption[0]!.message;
    for (const [name, { allowed }] of this.expected) {
      const found = files.get(name) ?? null;
      if (!allowed.some((bytes) => same(bytes, found))) {
        return `"${name}" is none of ${allowed.length} that are allowed (${found?.length} bytes)`;
      }
    }
    return null;
  }
}

/** The image when some sectors of a write have reached the disk and others have not. */
function torn(
  image: Uint8Array,
  position: number,
  bytes: Uint8Array,
  reached: (sector: number) => boolean,
): Uint8Array {
  const next = image.slice();
  for (let sector = 0; sector * 512 < bytes.length; sector++) {
    const part = bytes.subarray(sector * 512, (sector + 1) * 512);
    if (reached(sector)) next.set(part, position + sector * 512);
  }
  return next;
}

const SEEDS = Array.from({ length: 10 }, (_, i) => i + 1);
describe.each(SEEDS)("workload %i", (seed) => {
  test("is whole after a crash before, and in, every write", () => {
    // Some on a small disk, some on one that completes in another order.
    const plan = api.flakey_seed(seed, { error: 0, partial: 0.3, delay: 0.5 });
    const blocks = seed % 4 === 0 ? 24 : 64;
    using w = file_world(seed % 3 === 0 ? { blocks, plan } : { blocks });
    using other = new OtherMachine();
    const workload = new Workload(w, seed);
    const wrong: string[] = [];
    let writes = 0;
    before_each_write(w.disk, (position, bytes) => {
      const image = disk_image(w.disk);
      const cut = 1 + (writes % 7);
      const images = {
        before: image,
        "first sectors": torn(image, position, bytes, (sector) => sector < cut),
        "last sectors": torn(image, position, bytes, (sector) => sector >= cut),
      };
      for (const [when, left] of Object.entries(images)) {
        const why = workload.judge(left, other);
        if (why !== null) wrong.push(`write ${writes} of block ${position / P}, ${when}: ${why}`);
      }
      writes++;
    });
    for (let step = 0; step < 120; step++) {
      workload.step();
      expect(wrong).toEqual([]);
    }
    expect(writes).toBeGreaterThan(20);
    // What is in use is what the disk says, and nothing else: no block is lost.
    workload.end();
    workload.sync_all();
    workload.sync_all();
    expect([...workload.expected.values()].map(({ allowed }) => allowed.length)).toEqual([1, 1, 1]);
    expect(free_blocks(w.fs)).toBe(other.mount(disk_image(w.disk)).free);
    expect(workload.judge(disk_image(w.disk), other)).toBeNull();
    expect(api.writeback_stats(w.fs).lost).toBe(0);
    expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
  });
});

describe("the check notices", () => {
  test("a commit whose superblock comes before its table", () => {
    using w = file_world();
    using other = new OtherMachine();
    const workload = new Workload(w, 1);
    const writes: Array<{ image: Uint8Array; position: number; bytes: Uint8Array }> = [];
    const file = w.open("a");
    before_each_write(w.disk, (position, bytes) => {
      writes.push({ image: disk_image(w.disk), position, bytes: bytes.slice() });
    });
    const model = workload.expected.get("a")!;
    const text = pattern_of(2 * P);
    api.kernel_write(w.current, file, text, 0)._unsafeUnwrap();
    model.write(0, text);
    model.begin_sync();
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    // Two blocks of data, the table, the superblock.
    expect(writes.map(({ position }) => position / P < 2)).toEqual([false, false, false, true]);
    const [data, , , superblock] = writes;
    // As if it were acknowledged: the old state is not allowed any more.
    const acknowledged = workload.expected.get("a")!;
    acknowledged.end_sync(true);
    expect(workload.judge(superblock!.image, other)).toMatch(/none of 1/);
    // As if the data were late.
    const done = disk_image(w.disk);
    const late = done.slice();
    late.set(data!.image.subarray(data!.position, data!.position + P), data!.position);
    expect(workload.judge(late, other)).toMatch(/checksum/);
    expect(workload.judge(done, other)).toBeNull();
  });
  test("bytes that changed on the disk: scrub says so, and reading fails", () => {
    using w = file_world();
    const file = w.open("a");
    const text = pattern_of(3 * P);
    api.kernel_write(w.current, file, text, 0)._unsafeUnwrap();
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    expect(api.scrub(w.current, w.fs)).toEqual([]);
    const image = disk_image(w.disk);
    const at = Buffer.from(image).indexOf(text.subarray(P, P + 64));
    image[at + 100]! ^= 1;
    set_disk_image(w.disk, image);
    expect(api.scrub(w.current, w.fs)).toMatchObject([{ file: "a", page: 1 }]);
    // The cache still has what was written.
    expect(value_of(api.kernel_read(w.current, file, new Uint8Array(3 * P), 0))).toBe(3 * P);
    expect(api.invalidate_mapping_pages(w.current, file)).toBe(3);
    expect(value_of(api.kernel_read(w.current, file, new Uint8Array(P), P))).toBe("EIO");
    expect(value_of(api.kernel_read(w.current, file, new Uint8Array(3 * P), 0))).toBe(P);
    const map = map_file(w.current, file, 3 * P);
    expect(store(w.current, api.user_ptr_add(map, P), new Uint8Array(1))).toBe("EFAULT");
    // What is overwritten whole need not be read.
    expect(value_of(api.kernel_write(w.current, file, new Uint8Array(1), P))).toBe("EIO");
    expect(value_of(api.kernel_write(w.current, file, text.subarray(0, P), P))).toBe(P);
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    expect(api.scrub(w.current, w.fs)).toEqual([]);
  });
});
