// Makes the disk slow for this process, by a control group, so that requests can be looked at while they are in flight.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";

/** A request of one sector waits at this rate; one that is forgotten ends within a minute. */
const BYTES_PER_SECOND = 2048;
const V1 = "/sys/fs/cgroup/blkio";
const V2 = "/sys/fs/cgroup";

const message_of = (error: unknown): string =>
  error instanceof Error ? error.message.split("\n")[0]! : "?";

export class Throttle {
  readonly #home: string;
  readonly #group: string;
  readonly #set: (slow: boolean) => void;
  readonly #lift = (): void => {
    try {
      this.lift();
    } catch {
      // The group is gone.
    }
  };
  private constructor(home: string, device: string) {
    const is_v1 = home.startsWith(V1);
    this.#home = home;
    this.#group = `${home}/user-page-live-${process.pid}`;
    this.#set = (slow) => {
      const write = (file: string, text: string): void =>
        writeFileSync(`${this.#group}/${file}`, text);
      if (!is_v1) {
        const rate = slow ? BYTES_PER_SECOND : "max";
        write("io.max", `${device} rbps=${rate} wbps=${rate}`);
        return;
      }
      for (const way of ["read", "write"]) {
        const rate = slow ? BYTES_PER_SECOND : 0;
        write(`blkio.throttle.${way}_bps_device`, `${device} ${rate}`);
      }
    };
    mkdirSync(this.#group);
    try {
      this.lift();
      writeFileSync(`${this.#group}/cgroup.procs`, String(process.pid));
    } catch (error) {
      rmdirSync(this.#group);
      throw error;
    }
    process.on("exit", this.#lift);
  }
  /** Puts this process into a group of its own; or why that cannot be. `device`: "MAJOR:MINOR" of the whole disk. */
  static make(device: string): Throttle | string {
    try {
      return new Throttle(home_of(), device);
    } catch (error) {
      return message_of(error);
    }
  }
  slow(): void {
    this.#set(true);
  }
  lift(): void {
    this.#set(false);
  }
  close(): void {
    this.#lift();
    process.off("exit", this.#lift);
    try {
      writeFileSync(`${this.#home}/cgroup.procs`, String(process.pid));
      rmdirSync(this.#group);
    } catch {
      // A group without limits and processes harms nobody.
    }
  }
}
/** The group this process is in, where the controller of disks is. */
function home_of(): string {
  const groups = readFileSync("/proc/self/cgroup", "utf8");
  const v1 = /^\d+:(?:.*,)?blkio(?:,.*)?:(.*)$/m.exec(groups)?.[1];
  if (v1 !== undefined && existsSync(V1)) return V1 + (v1 === "/" ? "" : v1);
  const v2 = /^0::(.*)$/m.exec(groups)?.[1];
  const home = V2 + (v2 === "/" ? "" : v2);
  const controllers = `${home}/cgroup.subtree_control`;
  if (v2 === undefined || !existsSync(controllers)) throw new Error("no control groups");
  if (!/\bio\b/.test(readFileSync(controllers, "utf8"))) {
    throw new Error("the control group has no controller of disks");
  }
  return home;
}
