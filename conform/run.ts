// A scenario on its machine: the steps in order, and the counters around each.
import {
  brd_alloc,
  CAP_IPC_LOCK,
  capset,
  create_task,
  exit_task,
  flush_work,
  fork,
  fragment_memory,
  IS_ERR,
  kill_task,
  madvise,
  MADV_DONTNEED,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  munmap,
  PAGE_SIZE,
  RLIMIT_MEMLOCK,
  run_softirqs,
  SECTOR_SIZE,
  setrlimit,
  user_ptr_add,
  vmstat,
  type BlockDevice,
  type Fragmentation,
  type Machine,
  type Task,
  type UserAddr,
} from "user-page";
import type { Outcome, UserPart } from "./drivers/file.js";
import { fuse_send, type Held } from "./drivers/fuse.js";
import { BufferTable, PinnedRegion } from "./drivers/io_uring.js";
import { process_vm_rw } from "./drivers/process_vm.js";
import { build_buffer, length_of, SetupError, touch_again } from "./memory.js";
import { OpenFile } from "./open_file.js";
import type { Answer, Call, Iov, Scenario } from "./scenario.js";
import { UnpinnedCalls } from "./unpinned.js";

export interface Observation {
  readonly acquired: number;
  readonly released: number;
  readonly answer: Answer;
}
export type Observations = ReadonlyMap<string, Observation>;

const ADVICE = { MADV_DONTNEED, MADV_POPULATE_READ, MADV_POPULATE_WRITE } as const;
export class Run {
  readonly #machine: Machine;
  readonly #scenario: Scenario;
  readonly #smallest_limit: (iov: Iov) => number;
  readonly #tasks: Task[];
  readonly #disk: BlockDevice;
  readonly #file: OpenFile;
  readonly #unpinned: UnpinnedCalls;
  readonly #at: readonly UserAddr[];
  readonly #rings = new Map<string, BufferTable>();
  readonly #regions = new Map<string, PinnedRegion>();
  #submitted = 0;
  #fragments: Fragmentation | null = null;
  #held: Held | null = null;
  /** what the disk ended, by request */
  readonly #ended: Outcome[] = [];

  /** @param smallest_limit - finds the smallest limit on locked memory with which a part of a buffer can be registered */
  constructor(machine: Machine, scenario: Scenario, smallest_limit: (iov: Iov) => number) {
    this.#machine = machine;
    this.#scenario = scenario;
    this.#smallest_limit = smallest_limit;
    const current = create_task(machine);
    const remote = create_task(machine);
    // The rows are root's, but for those that say otherwise.
    for (const task of [current, remote]) capset(task, [CAP_IPC_LOCK]);
    this.#tasks = [current, remote];
    const sectors = Math.ceil(scenario.disk / SECTOR_SIZE);
    const disk = brd_alloc(machine, sectors * SECTOR_SIZE);
    if (IS_ERR(disk)) throw new SetupError(disk.message);
    this.#disk = disk;
    const is_remote = scenario.steps.some(({ calls }) => calls[0]?.call === "process_vm");
    this.#at = scenario.buffers.map((buffer, i) =>
      build_buffer(machine, is_remote && i === 0 ? remote : current, buffer),
    );
    this.#file = new OpenFile(disk, scenario.file_system);
    const parts = (iov: Iov): UserPart[] => this.#parts(iov);
    this.#unpinned = new UnpinnedCalls(scenario, this.#at, parts, this.#file);
  }
  get #current(): Task {
    return this.#tasks[0]!;
  }
  run(): Observations {
    const seen = new Map<string, Observation>();
    for (const { name, calls, answer } of this.#scenario.steps) {
      const before = vmstat(this.#machine);
      const answers = calls.map((call) => this.#do(call));
      const after = vmstat(this.#machine);
      seen.set(name, {
        acquired: after.nr_foll_pin_acquired - before.nr_foll_pin_acquired,
        released: after.nr_foll_pin_released - before.nr_foll_pin_released,
        answer: answers.at(answer === "first" ? 0 : -1) ?? 0,
      });
    }
    this.#settle();
    return seen;
  }
  /** Nothing may be pinned when everything was given back. */
  #settle(): void {
    this.#complete();
    this.#answer();
    for (const ring of this.#rings.values()) ring.unregister();
    for (const region of this.#regions.values()) region.unpin();
    this.#unpinned.settle();
    this.#fragments?.[Symbol.dispose]();
    const { nr_foll_pin_acquired, nr_foll_pin_released } = vmstat(this.#machine);
    if (nr_foll_pin_acquired !== nr_foll_pin_released) {
      throw new Error(`${nr_foll_pin_acquired - nr_foll_pin_released} pins are left at the end`);
    }
  }
  #complete(): void {
    run_softirqs(this.#machine);
    flush_work(this.#machine);
  }
  #answer(): Outcome {
    const held = this.#held;
    this.#held = null;
    return held ? held() : 0;
  }
  #ring(name: string): BufferTable {
    let ring = this.#rings.get(name);
    if (!ring) this.#rings.set(name, (ring = new BufferTable(this.#current)));
    return ring;
  }
  #region(name: string): PinnedRegion {
    let region = this.#regions.get(name);
    if (!region) this.#regions.set(name, (region = new PinnedRegion()));
    return region;
  }
  #parts({ buffer, offset, count, bytes, stride }: Iov): UserPart[] {
    const start = this.#at[buffer]!;
    return Array.from({ length: count }, (_, i) => ({
      addr: user_ptr_add(start, offset + i * stride),
      len: bytes,
    }));
  }
  #do(call: Call): Outcome {
    switch (call.call) {
      case "direct io":
        return this.#direct_io(call);
      case "submit":
        return this.#submit(call);
      case "complete":
        this.#complete();
        return this.#answer_of_ended(call.answer);
      case "nothing":
        return 0;
      case "munmap": {
        const len = length_of(this.#scenario.buffers[call.buffer]!);
        const done = munmap(this.#current, this.#at[call.buffer]!, len);
        return done.isOk() ? 0 : done.error.errno;
      }
      case "exit":
        exit_task(this.#current);
        return 0;
      case "fork":
        return this.#fork(call);
      case "touch":
        touch_again(this.#current, this.#at[call.buffer]!, this.#scenario.buffers[call.buffer]!);
        return 0;
      case "kill":
        kill_task(this.#current);
        return 0;
      case "hold": {
        const held = fuse_send(this.#current, call.op, this.#parts(call.iov)[0]!);
        if (typeof held !== "function") return held;
        this.#held = held;
        return 0;
      }
      case "answer":
        return this.#answer();
      case "madvise":
        return this.#madvise(call);
      case "limit locked memory":
        capset(this.#current, []);
        setrlimit(this.#current, RLIMIT_MEMLOCK, call.pages * PAGE_SIZE);
        return 0;
      case "smallest limit":
        return this.#smallest_limit(call.iov);
      case "register":
        return this.#ring(call.ring).register(
          this.#current,
          call.iovs.flatMap((iov) => this.#parts(iov)),
        );
      case "unregister":
        return this.#ring(call.ring).unregister();
      case "update":
        return this.#ring(call.ring).update(
          this.#current,
          call.slot,
          call.iov && this.#parts(call.iov)[0]!,
        );
      case "clone":
        return this.#ring(call.to).clone_from(this.#ring(call.from));
      case "fixed io":
        return this.#ring(call.ring).transfer(
          this.#current,
          this.#disk,
          call.op,
          this.#parts(call.iov)[0]!,
        );
      case "pin region":
        return this.#region(call.region).pin(this.#current, this.#parts(call.iov)[0]!);
      case "unpin region":
        return this.#region(call.region).unpin();
      case "register umem":
        return this.#region("umem").pin_locked(this.#current, this.#parts(call.iov)[0]!);
      case "close umem":
        return this.#region("umem").unpin();
      case "process_vm":
        return process_vm_rw(
          this.#current,
          this.#tasks[1]!.mm,
          call.write,
          this.#at[call.local]!,
          this.#parts(call.remote),
        );
      default:
        return this.#unpinned.do(this.#current, call);
    }
  }
  /** One call for all parts; or one for each, the next where the last one ended, until one fails or ends short. */
  #direct_io({ op, iov, position, target, each }: Extract<Call, { call: "direct io" }>): Outcome {
    const parts = this.#parts(iov);
    let done = 0;
    for (const part of each ? parts.map((one) => [one]) : [parts]) {
      const asked = part.reduce((sum, { len }) => sum + len, 0);
      const at = position + done;
      const outcome = this.#file.direct_io(this.#current, target, op, part, at) ?? "EINVAL";
      if (typeof outcome !== "number") return outcome;
      done += outcome;
      if (outcome < asked) break;
    }
    return done;
  }
  #fork({ of, child, goes_on }: Extract<Call, { call: "fork" }>): Outcome {
    const at = of === "current" ? 0 : 1;
    const forked = fork(this.#tasks[at]!);
    if (IS_ERR(forked)) return forked.errno;
    if (child === "exits") exit_task(forked);
    else if (goes_on === "child") this.#tasks[at] = forked;
    // A kernel that has run for a while hands out pages that are no neighbours: so are those copied from now on.
    this.#fragments ??= fragment_memory(this.#machine, (index) => index % 2 === 1);
    return 0;
  }
  #submit({ op, iov, each, answer }: Extract<Call, { call: "submit" }>): Outcome {
    const parts = this.#parts(iov);
    for (const request of each ? parts.map((one) => [one]) : [parts]) {
      const told = (outcome: Outcome): void => void this.#ended.push(outcome);
      const refused = this.#file.direct_io(this.#current, "file", op, request, 0, told);
      // What is refused at once is a request that ended.
      if (refused !== null) this.#ended.push(refused);
      this.#submitted++;
    }
    return answer === "nothing" ? 0 : this.#submitted;
  }
  #answer_of_ended(answer: "bytes" | "requests" | "nothing"): Outcome {
    const ended = this.#ended.splice(0);
    const failed = ended.find((outcome) => typeof outcome === "string");
    if (failed !== undefined) return failed;
    if (answer === "nothing") return 0;
    if (answer === "requests") return ended.length;
    return ended.reduce<number>((sum, bytes) => sum + Number(bytes), 0);
  }
  #madvise({ buffer, advice, touch }: Extract<Call, { call: "madvise" }>): Outcome {
    const of = this.#scenario.buffers[buffer]!;
    const at = this.#at[buffer]!;
    const done = madvise(this.#current, at, length_of(of), ADVICE[advice]);
    if (done.isErr()) return done.error.errno;
    if (touch) touch_again(this.#current, at, of);
    return 0;
  }
}
