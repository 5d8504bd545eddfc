/** A file of the host as a disk: through its page cache and around it, on hosts that refuse the latter as well. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import * as api from "user-page";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import { boot_for_test, errno_of, forced, map_anon, must, pattern_of } from "../fixtures.js";
import { host, reset_host, type Rules } from "./loop_host.js";

vi.mock("node:fs", async (original) => {
  const { hosted } = await import("./loop_host.js");
  return hosted(await original<typeof fs>());
});
const folder = fs.mkdtempSync(join(tmpdir(), "user-page-loop-"));
afterAll(() => {
  fs.rmSync(folder, { recursive: true });
});
beforeEach(reset_host);
const SECTOR = 512;
const READ_ONLY = api.LO_FLAGS_READ_ONLY;
const DIRECT = api.LO_FLAGS_DIRECT_IO;
let nr_files = 0;
function file_of(bytes: Uint8Array): string {
  const path = join(folder, `${nr_files++}.img`);
  fs.writeFileSync(path, bytes);
  return path;
}
/** Whether this host has direct I/O for files of the folder: asked without the library, at every address of a page. */
function host_has_direct_io(): boolean {
  const path = file_of(new Uint8Array(4096));
  let fd = -1;
  try {
    fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECT);
  } catch {
    return false;
  }
  const memory = new Uint8Array(8192);
  for (let offset = 0; offset < 4096; offset += 8) {
    try {
      fs.readSync(fd, memory, offset, 4096, 0);
      return true;
    } catch {
      // not at this address
    }
  }
  return false;
}
/** A machine with the disk and a buffer of 4 MiB: of small pages from the middle of one, or of huge pages. */
function attach(path: string, lo_flags: number, pages: "skewed" | "aligned" | "huge" = "skewed") {
  const machine = boot_for_test({ mem: 16 << 20 });
  const current = api.create_task(machine);
  const disk = must(api.loop_configure(machine, path, lo_flags));
  const start = map_anon(current, (4 << 20) + 4096);
  if (pages === "huge") api.madvise(current, start, 4 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
  const buf = pages === "skewed" ? api.user_ptr_add(start, SECTOR) : start;
  return {
    machine,
    disk,
    write(bytes: Uint8Array, position: number) {
      api.copy_to_user(current, buf, bytes)._unsafeUnwrap();
      return api.direct_io(current, disk, "REQ_OP_WRITE", buf, bytes.length, position);
    },
    read(len: number, position: number): Uint8Array {
      api.copy_to_user(current, buf, new Uint8Array(len).fill(0xee))._unsafeUnwrap();
      const done = api.direct_io(current, disk, "REQ_OP_READ", buf, len, position)._unsafeUnwrap();
      const bytes = new Uint8Array(done);
      api.copy_from_user(current, bytes, buf)._unsafeUnwrap();
      return bytes;
    },
    [Symbol.dispose]() {
      machine[Symbol.dispose]();
    },
  };
}
const lines_of = (machine: api.Machine): string[] =>
  api.dmesg(machine).filter((line) => line.startsWith("loop: "));
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const HOSTS: readonly Rules[] = [
  { name: "blocks of 512", block: 512 },
  { name: "blocks of 4096", block: 4096 },
  { name: "no O_DIRECT", block: 512, refuses: "constant" },
  { name: "refused at open", block: 512, refuses: "open" },
  { name: "refused at the first transfer", block: 512, refuses: "read" },
  { name: "refused at the first write", block: 512, refuses: "write" },
];
const WAYS = [
  { name: "buffered", flags: 0, rules: null },
  { name: "direct, this host", flags: DIRECT, rules: null },
  ...HOSTS.map((rules) => ({ name: `direct, ${rules.name}`, flags: DIRECT, rules })),
];

test("the flags are those of linux/loop.h; what else is given is EINVAL", () => {
  expect([READ_ONLY, DIRECT]).toEqual([1, 16]);
  using machine = boot_for_test({ mem: 4 << 20 });
  const path = file_of(pattern_of(512));
  const wrong = [-1, 2, 4, 8, 18, 32, 1.5, NaN, Infinity, 2 ** 32, 2 ** 32 + 1, true, "1", null];
  for (const flags of wrong) {
    expect(errno_of(forced(api.loop_configure)(machine, path, flags))).toBe("EINVAL");
  }
  expect(host.open).toBe(0);
  for (const flags of [undefined, 0, 1, 16, 17]) {
    must(api.loop_configure(machine, path, flags))[Symbol.dispose]();
  }
  expect(host.open).toBe(0);
  expect(host.fsyncs).toBe(3);
});

describe.each(WAYS)("$name", ({ flags, rules }) => {
  beforeEach(() => {
    host.rules = rules;
  });
  test.each([
    [512, 0],
    [512, 512],
    [1536, 3584],
    [4096, 4096],
    [5120, 512],
    [12288, 8192],
    [(1 << 20) + 4096, 4096],
    [(3 << 20) + 512, 3584],
  ])("%i bytes at %i, both ways", (len, position) => {
    const expected = Buffer.from(pattern_of(4 << 20, 3));
    const path = file_of(expected);
    {
      using at = attach(path, flags);
      expect(same(at.read(len, position), expected.subarray(position, position + len))).toBe(true);
      const bytes = pattern_of(len, 7);
      expect(at.write(bytes, position)._unsafeUnwrap()).toBe(len);
      expect(same(at.read(len, position), bytes)).toBe(true);
      expected.set(bytes, position);
    }
    expect(same(fs.readFileSync(path), expected)).toBe(true);
  });
  test("a file of 5000 bytes has ten sectors: the last reads as zeroes at its end, and is whole once written", () => {
    const expected = Buffer.alloc(5120);
    expected.set(pattern_of(5000, 3));
    const path = file_of(expected.subarray(0, 5000));
    {
      using at = attach(path, flags);
      expect(at.disk.size).toBe(5120);
      for (const position of [0, 512, 4096, 4608]) {
        expect(same(at.read(8192, position), expected.subarray(position))).toBe(true);
      }
      at.write(pattern_of(512, 5), 0)._unsafeUnwrap();
      expected.set(pattern_of(512, 5), 0);
      expect(fs.statSync(path).size).toBe(5000);
      expect(at.write(pattern_of(8192, 6), 4096)._unsafeUnwrap()).toBe(1024);
      expected.set(pattern_of(8192, 6).subarray(0, 1024), 4096);
      expect(same(at.read(5120, 0), expected)).toBe(true);
    }
    expect(same(fs.readFileSync(path), expected)).toBe(true);
  });
  test("the host moves less than it was asked for", () => {
    const expected = Buffer.from(pattern_of(100_352, 3));
    const path = file_of(expected);
    {
      using at = attach(path, flags);
      host.most = 4608;
      expect(same(at.read(100_352, 0), expected)).toBe(true);
      expected.set(pattern_of(50_176, 4), 1024);
      at.write(pattern_of(50_176, 4), 1024)._unsafeUnwrap();
    }
    expect(same(fs.readFileSync(path), expected)).toBe(true);
  });
  test("a read-only disk is read; writes are EIO, and the file stays", () => {
    const path = file_of(pattern_of(8192));
    {
      using at = attach(path, flags | READ_ONLY);
      expect(at.write(pattern_of(4096, 9), 0)._unsafeUnwrapErr().errno).toBe("EIO");
      expect(same(at.read(8192, 0), pattern_of(8192))).toBe(true);
    }
    expect(host.fsyncs).toBe(0);
    expect(same(fs.readFileSync(path), pattern_of(8192))).toBe(true);
  });
  test("every transfer does to the file what it does to a Buffer", () => {
    const size = 41 * SECTOR + 100;
    const sectors = Math.ceil(size / SECTOR);
    const step = fc.record({
      write: fc.boolean(),
      sector: fc.nat(sectors - 1),
      length: fc.integer({ min: 1, max: sectors }),
      seed: fc.integer(),
    });
    const path = file_of(new Uint8Array(1));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const expected = Buffer.alloc(sectors * SECTOR);
        expected.set(pattern_of(size));
        let written = size;
        fs.writeFileSync(path, expected.subarray(0, size));
        {
          using at = attach(path, flags);
          for (const { write, sector, length, seed } of steps) {
            const position = sector * SECTOR;
            const end = Math.min(position + length * SECTOR, expected.length);
            if (write) {
              const bytes = pattern_of(length * SECTOR, seed);
              expect(at.write(bytes, position)._unsafeUnwrap()).toBe(end - position);
              expected.set(bytes.subarray(0, end - position), position);
              written = Math.max(written, end);
            } else {
              const got = at.read(length * SECTOR, position);
              expect(same(got, expected.subarray(position, end))).toBe(true);
            }
          }
        }
        expect(same(fs.readFileSync(path), expected.subarray(0, written))).toBe(true);
        expect([host.open, host.direct.size]).toEqual([0, 0]);
      }),
      { numRuns: 25 },
    );
  });
});

describe("what the log says, and does", () => {
  /** Reads, then writes `len` bytes at 0; the log of the machine. */
  function log_of(flags: number, len = 8192): string[] {
    const path = file_of(pattern_of(8192));
    using at = attach(path, flags, "aligned");
    for (let i = 0; i < 2; i++) {
      at.read(len, 0);
      if ((flags & READ_ONLY) === 0) at.write(pattern_of(len), 0)._unsafeUnwrap();
    }
    const lines = lines_of(at.machine);
    return lines.map((line) => line.replace(path, "disk.img"));
  }
  const IN_BLOCKS = (block: number): string =>
    `loop: disk.img: direct I/O in blocks of ${block} bytes`;
  const BUFFERED = "loop: disk.img: buffered I/O, no O_DIRECT here: ";
  test("nothing of a disk that did not ask", () => {
    expect(log_of(0)).toEqual([]);
    expect(host.direct_bytes).toEqual({ read: 0, write: 0 });
  });
  test("this host: what it really does", () => {
    const has = host_has_direct_io();
    reset_host();
    const lines = log_of(DIRECT);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(has ? "direct I/O in blocks of " : BUFFERED);
    expect(host.direct_bytes.write).toBe(has ? 2 * 8192 : 0);
  });
  test.each([512, 4096])("blocks of %i: all that lies on them goes around the cache", (block) => {
    host.rules = { name: "", block };
    expect(log_of(DIRECT)).toEqual([IN_BLOCKS(block)]);
    expect(host.direct_bytes).toEqual({ read: 2 * 8192 + block, write: 2 * 8192 });
    reset_host();
    host.rules = { name: "", block };
    expect(log_of(DIRECT | READ_ONLY)).toEqual([IN_BLOCKS(block)]);
    expect(host.direct_bytes).toEqual({ read: 2 * 8192 + block, write: 0 });
  });
  test("what is cut from a block goes through the cache, the rest does not", () => {
    host.rules = { name: "", block: 4096 };
    expect(log_of(DIRECT, 5120)).toEqual([IN_BLOCKS(4096)]);
    expect(host.direct_bytes).toEqual({ read: 3 * 4096, write: 2 * 4096 });
  });
  test("one extent, larger than the bounce buffer, that begins and ends inside a block", () => {
    host.rules = { name: "", block: 4096 };
    const len = (2 << 20) - 1024;
    const expected = Buffer.from(pattern_of(4 << 20, 3));
    const path = file_of(expected);
    {
      using at = attach(path, DIRECT, "huge");
      expect(same(at.read(len, 512), expected.subarray(512, 512 + len))).toBe(true);
      expected.set(pattern_of(len, 5), 512);
      at.write(pattern_of(len, 5), 512)._unsafeUnwrap();
      expect(lines_of(at.machine)).toHaveLength(1);
    }
    expect(same(fs.readFileSync(path), expected)).toBe(true);
    const inside = (2 << 20) - 2 * 4096;
    expect(host.direct_bytes).toEqual({ read: inside + 4096, write: inside });
  });
  test.each([
    ["constant", [`${BUFFERED}it has no O_DIRECT`]],
    ["open", [`${BUFFERED}EINVAL: invalid argument, open`]],
    ["read", [`${BUFFERED}EINVAL: invalid argument, read`]],
    ["write", [IN_BLOCKS(512), `${BUFFERED}EINVAL: invalid argument, write`]],
  ] as const)("a host that refuses at %s: once, and all is closed", (refuses, lines) => {
    host.rules = { name: "", block: 512, refuses };
    expect(log_of(DIRECT)).toEqual(lines);
    expect(host.direct_bytes.write).toBe(0);
    expect([host.open, host.direct.size]).toEqual([0, 0]);
  });
});
