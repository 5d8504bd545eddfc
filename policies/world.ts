/** What every scenario works on: a machine with a mounted cowfs, a file that is mapped shared, a device, and power cuts. */
import {
  alloc_page,
  bio_add_page,
  bio_alloc,
  bio_put,
  bio_set_end_io,
  boot,
  brd_alloc,
  check_objectives,
  copy_from_user,
  copy_to_user,
  create_task,
  direct_io,
  filp_open,
  IS_ERR,
  kernel_read,
  kernel_write,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  mkfs_cowfs,
  mmap,
  mount_cowfs,
  O_CREAT,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  put_page,
  run_softirqs,
  scrub,
  submit_bio,
  user_ptr_add,
  vfs_fsync,
  type BlockDevice,
  type Errno,
  type File,
  type Filesystem,
  type Machine,
  type ObjectivesCheck,
  type PolicyName,
  type Task,
  type UserAddr,
} from "user-page";

const DISK_BYTES = 64 * PAGE_SIZE;
/** Pages of the file. */
export const NR_PAGES = 4;
const RW = PROT_READ | PROT_WRITE;

/** The handle of a call that cannot fail here. */
export function sure<T>(handle: T): Exclude<T, Errno> {
  if (IS_ERR(handle)) throw new Error((handle as Errno).message);
  return handle as Exclude<T, Errno>;
}
/** A page of one byte's value: whoever stored it can be told by it. */
export const page_of = (value: number): Uint8Array => new Uint8Array(PAGE_SIZE).fill(value);
/** What the file has on its disk before anything happens. */
const BEFORE = 0x11;
/** What the other disk has. */
export const OTHER_DISK = 0x77;

/** Moves bytes between a disk and the host, through memory of a task. */
function transfer(current: Task, disk: BlockDevice, op: "read" | "write", bytes: Uint8Array): void {
  const buffer = mmap(current, null, bytes.length, RW, MAP_PRIVATE | MAP_ANONYMOUS);
  const addr = buffer._unsafeUnwrap();
  if (op === "write") copy_to_user(current, addr, bytes)._unsafeUnwrap();
  const how = op === "read" ? "REQ_OP_READ" : "REQ_OP_WRITE";
  direct_io(current, disk, how, addr, bytes.length, 0)._unsafeUnwrap();
  if (op === "read") copy_from_user(current, bytes, addr)._unsafeUnwrap();
}

export class World implements Disposable {
  readonly policy: PolicyName;
  readonly machine: Machine;
  readonly current: Task;
  readonly disk: BlockDevice;
  /** a second disk, full of one byte */
  readonly other: BlockDevice;
  readonly fs: Filesystem;
  readonly file: File;
  /** the file, mapped shared */
  readonly addr: UserAddr;
  readonly objectives: ObjectivesCheck;
  /** pages that were found on the disk with a wrong checksum */
  readonly torn: Set<number> = new Set();
  /** errno of calls that failed, with their names */
  readonly errors: string[] = [];
  /** whether what fsync() promised was on the disk while the page was pinned */
  reached: boolean | null = null;
  refused = 0;
  readonly #expected = new Map<number, Uint8Array>();

  constructor(policy: PolicyName, debug: boolean) {
    this.policy = policy;
    this.machine = boot({ mem: 4 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: debug });
    this.current = create_task(this.machine);
    this.disk = sure(brd_alloc(this.machine, DISK_BYTES));
    this.other = sure(brd_alloc(this.machine, NR_PAGES * PAGE_SIZE));
    transfer(
      this.current,
      this.other,
      "write",
      new Uint8Array(NR_PAGES * PAGE_SIZE).fill(OTHER_DISK),
    );
    sure(mkfs_cowfs(this.current, this.disk));
    this.fs = sure(mount_cowfs(this.current, this.disk, { policy }));
    this.file = sure(filp_open(this.current, this.fs, "data", O_CREAT));
    const bytes = new Uint8Array(NR_PAGES * PAGE_SIZE).fill(BEFORE);
    kernel_write(this.current, this.file, bytes, 0)._unsafeUnwrap();
    sure(vfs_fsync(this.current, this.file));
    const mapped = mmap(this.current, null, NR_PAGES * PAGE_SIZE, RW, MAP_SHARED, this.file, 0);
    this.addr = mapped._unsafeUnwrap();
    this.objectives = check_objectives(this.machine);
  }
  /** Where a page of the file is mapped. */
  at(index: number): UserAddr {
    return user_ptr_add(this.addr, index * PAGE_SIZE);
  }
  /** A program stores a page through its mapping. */
  store(index: number, value: number): void {
    const stored = copy_to_user(this.current, this.at(index), page_of(value));
    if (stored.isErr()) this.errors.push(`store: ${stored.error.errno}`);
  }
  /** What has to be on the disk in the end. */
  expect(index: number, value: number): void {
    this.#expected.set(index, page_of(value));
  }
  fsync(): void {
    const failed = vfs_fsync(this.current, this.file);
    if (failed) this.errors.push(`fsync: ${failed.errno}`);
  }
  /** The disk is looked at, past the cache. */
  look(): void {
    for (const { page } of scrub(this.current, this.fs)) this.torn.add(page);
  }
  /** The flusher came: what it sent arrives at the disk. */
  settle(): void {
    run_softirqs(this.machine);
    this.look();
  }
  /** A device that completes: `handler` runs in softirq context. */
  interrupt(handler: () => void): void {
    const page = sure(alloc_page(this.current));
    using bio = bio_alloc(this.other, 1, "REQ_OP_READ");
    bio_add_page(bio, page, PAGE_SIZE, 0);
    bio_set_end_io(bio, (ended) => {
      bio_put(ended);
      handler();
    });
    submit_bio(bio);
    run_softirqs(this.machine);
    put_page(page);
  }
  /** Another file takes every block that is left. */
  fill_disk(): void {
    using filler = sure(filp_open(this.current, this.fs, "filler", O_CREAT));
    for (let index = 0; ; index++) {
      const pos = index * PAGE_SIZE;
      if (kernel_write(this.current, filler, page_of(0xff), pos).isErr()) return;
    }
  }
  /** Notes whether a page would be on the disk if the power went now. */
  must_be_durable(index: number, value: number): void {
    this.reached =
      (this.reached ?? true) && this.#lost_by_power_cut([[index, page_of(value)]]) === 0;
  }
  /** Pages that are not as expected after the last fsync() and a power cut. */
  lost(): number {
    return this.#lost_by_power_cut([...this.#expected]);
  }
  /** What is on the disk now is all that another machine gets. */
  #lost_by_power_cut(expected: ReadonlyArray<readonly [index: number, bytes: Uint8Array]>): number {
    const image = new Uint8Array(this.disk.size);
    transfer(this.current, this.disk, "read", image);
    using machine = boot({ mem: 4 << 20 });
    const current = create_task(machine);
    const disk = sure(brd_alloc(machine, image.length));
    transfer(current, disk, "write", image);
    using fs = sure(mount_cowfs(current, disk));
    using file = sure(filp_open(current, fs, "data"));
    const wrong = expected.filter(([index, bytes]) => {
      const found = new Uint8Array(PAGE_SIZE);
      const read = kernel_read(current, file, found, index * PAGE_SIZE);
      return read.isErr() || found.some((byte, i) => byte !== bytes[i]);
    });
    return wrong.length;
  }
  [Symbol.dispose](): void {
    this.objectives[Symbol.dispose]();
    this.file[Symbol.dispose]();
    this.fs[Symbol.dispose]();
  }
}
