// What the running system must have for a comparison, and what the model is told of its disk.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync, statfsSync, statSync } from "node:fs";
import { release } from "node:os";
import { BLOCK } from "./case.js";

/** The kernel whose rules the model has. */
export const MODELLED = "6.18";

export interface DiskLimits {
  readonly logical_block_size: number;
  readonly dma_alignment: number;
  /** sectors, segments of one request */
  readonly max_sectors: number;
  readonly max_segments: number;
}
export interface Host {
  readonly release: string;
  readonly is_modelled: boolean;
  readonly fs: string;
  /** "MAJOR:MINOR" of the whole disk; null if it is no disk of sysfs */
  readonly device: string | null;
  readonly limits: DiskLimits;
}
/** Why nothing can be compared here. */
export class Skip extends Error {}

const unescape = (field: string): string =>
  field.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));

/** Type of the file system a folder is on, from the text of /proc/self/mounts. */
export function fs_type_of(mounts: string, folder: string): string {
  let [best, type] = ["", "unknown"];
  for (const line of mounts.split("\n")) {
    const [, at, kind] = line.split(" ");
    if (at === undefined || kind === undefined) continue;
    const mount = unescape(at);
    const inside = folder === mount || folder.startsWith(mount === "/" ? "/" : `${mount}/`);
    if (inside && mount.length >= best.length) [best, type] = [mount, kind];
  }
  return type;
}
/** The folder of sysfs of the whole disk. */
function sysfs_of(folder: string): string | null {
  const { dev } = statSync(folder);
  // As glibc makes it: 12 bits of the major number, between 8 and 12 of the minor.
  const [major, minor] = [(dev >>> 8) & 0xfff, (dev & 0xff) | ((dev >>> 12) & 0xfff00)];
  const link = `/sys/dev/block/${major}:${minor}`;
  if (!existsSync(link)) return null;
  const device = realpathSync(link);
  return existsSync(`${device}/partition`) ? realpathSync(`${device}/..`) : device;
}
function limits_of(device: string | null): DiskLimits {
  const read = (name: string, or: number): number => {
    try {
      return Number(readFileSync(`${device}/queue/${name}`, "utf8"));
    } catch {
      return or;
    }
  };
  return {
    logical_block_size: read("logical_block_size", 512),
    dma_alignment: read("dma_alignment", 511) + 1,
    max_sectors: read("max_sectors_kb", Infinity) * 2,
    max_segments: read("max_segments", Infinity),
  };
}
/** @throws Skip when nothing can be compared in the folder */
export function look_at_host(folder: string): Host {
  if (process.platform !== "linux") throw new Skip(`this is ${process.platform}, and not Linux`);
  if (!/^nr_foll_pin_acquired /m.test(readFileSync("/proc/vmstat", "utf8"))) {
    throw new Skip("this kernel does not count pins in /proc/vmstat");
  }
  const fs = fs_type_of(readFileSync("/proc/self/mounts", "utf8"), realpathSync(folder));
  if (fs !== "ext4" && fs !== "xfs") {
    throw new Skip(`${folder} is on ${fs}: the model has direct I/O of ext4 and xfs (--dir)`);
  }
  const { bsize } = statfsSync(folder);
  if (bsize !== BLOCK) throw new Skip(`${folder} has blocks of ${bsize} bytes, and not ${BLOCK}`);
  for (const [program, arg] of [
    ["filefrag", "-V"],
    ["fallocate", "-V"],
  ] as const) {
    if (spawnSync(program, [arg]).error) {
      throw new Skip(`${program}, which says or decides where a file lies, is not installed`);
    }
  }
  const device = sysfs_of(folder);
  const limits = limits_of(device);
  if (limits.logical_block_size !== 512) {
    throw new Skip(`the disk has blocks of ${limits.logical_block_size} bytes, and not 512`);
  }
  return {
    release: release(),
    is_modelled: release().startsWith(`${MODELLED}.`),
    fs,
    device: device && readFileSync(`${device}/dev`, "utf8").trim(),
    limits,
  };
}
