/** A host's idea of direct I/O, put over the file system at hand, so that every kind of host can be had on any. */
import type * as fs from "node:fs";

export interface Rules {
  readonly name: string;
  /** smallest unit of a direct transfer */
  readonly block: number;
  readonly refuses?: "constant" | "open" | "read" | "write";
}
class Host {
  /** null: the rules of the file system at hand */
  rules: Rules | null = null;
  /** descriptors opened with O_DIRECT */
  readonly direct: Set<number> = new Set();
  /** descriptors that are open, of both ways */
  open = 0;
  fsyncs = 0;
  direct_bytes: Record<"read" | "write", number> = { read: 0, write: 0 };
  /** bytes one direct transfer moves at most, as after a signal */
  most = Infinity;
}
export const host: Host = new Host();
export function reset_host(): void {
  Object.assign(host, new Host());
}

type Io = (fd: number, b: Uint8Array, offset: number, length: number, at: number) => number;
function refuse(call: string): never {
  throw Object.assign(new Error(`EINVAL: invalid argument, ${call}`), { code: "EINVAL" });
}
function ruled(op: "read" | "write", io: Io): Io {
  return (fd, bytes, offset, length, at) => {
    if (!host.direct.has(fd)) return io(fd, bytes, offset, length, at);
    const { rules, most } = host;
    if (rules) {
      const aligned = [bytes.byteOffset + offset, length, at].every((n) => n % rules.block === 0);
      if (!aligned || rules.refuses === op) refuse(op);
    }
    const moved = io(fd, bytes, offset, Math.min(length, most), at);
    host.direct_bytes[op] += moved;
    return moved;
  };
}
/** The module `node:fs` of such a host. */
export function hosted(real: typeof fs): object {
  const { O_DIRECT } = real.constants;
  return {
    ...real,
    constants: Object.defineProperty({ ...real.constants }, "O_DIRECT", {
      get: () => (host.rules?.refuses === "constant" ? undefined : O_DIRECT),
    }),
    openSync(path: string, flags: string | number): number {
      const direct = typeof flags === "number" && (flags & O_DIRECT) !== 0;
      if (direct && host.rules?.refuses === "open") refuse("open");
      const fd = real.openSync(path, direct && host.rules ? flags & ~O_DIRECT : flags);
      if (direct) host.direct.add(fd);
      host.open++;
      return fd;
    },
    closeSync(fd: number): void {
      host.direct.delete(fd);
      host.open--;
      real.closeSync(fd);
    },
    fsyncSync(fd: number): void {
      host.fsyncs++;
      real.fsyncSync(fd);
    },
    readSync: ruled("read", real.readSync),
    writeSync: ruled("write", real.writeSync),
  };
}
