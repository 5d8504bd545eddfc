/// <reference lib="esnext.disposable" preserve="true" />
/**
 * A disk over another one that delays, reorders, divides and fails what passes through it, as it is told.  Models what
 * drivers/md/dm-flakey.c and dm-delay.c are used for.
 */

import type {
  BlockDevice,
  FlakeyDisk,
  FlakeyIo,
  FlakeyOutcome,
  FlakeyPlan,
} from "../handle/bio.js";
import { to_flakey } from "../handle/cast.js";
import { ERR_PTR, type BlkError } from "../handle/errno.js";
import { add_holder, raise_softirq } from "../machine/context.js";
import { Heap } from "../machine/heap.js";
import { bdev_state, BlockDeviceState } from "./bdev.js";
import { blk_mq_serve, type Request } from "./blk-mq.js";

/** One request that has not ended. */
interface InFlight extends FlakeyIo {
  readonly request: Request;
  /** until complete() names it */
  held: boolean;
  /** how many requests must have ended before it is ready; counted from its arrival, until it arrived */
  due: number;
  /** bytes that go before the rest, or before the error */
  bytes: number;
  bytes_left: number;
  readonly error: BlkError | null;
}
const is_older = (a: InFlight, b: InFlight): boolean => a.nr < b.nr;
class FlakeyState extends BlockDeviceState {
  readonly #under: BlockDeviceState;
  readonly #plan: FlakeyPlan;
  /** by their numbers, and so in their order */
  readonly #flying = new Map<number, InFlight>();
  readonly #held = new Heap<InFlight>(is_older);
  readonly #ready = new Heap<InFlight>(is_older);
  readonly #delayed = new Heap<InFlight>(
    (a, b) => a.due < b.due || (a.due === b.due && is_older(a, b)),
  );
  #next = 0;
  #nr_ended = 0;
  #serving = false;
  #arrived: InFlight[] = [];
  constructor(under: BlockDeviceState, plan: FlakeyPlan) {
    super(under.machine, `flakey:${under.name}`, {
      size: under.size,
      read: (position, to) =>
        under.open ? under.backing.read(position, to) : `${under.name} was closed`,
      write: (position, from) =>
        under.open ? under.backing.write(position, from) : `${under.name} was closed`,
      close: () => undefined, // whoever opened the disk below closes it
    });
    this.#under = under;
    this.#plan = plan;
    this.limits = under.limits;
    this.queue_rq = (request) => {
      this.#queue(request);
    };
    add_holder(under.machine, () => this.#let_one_go());
  }
  get in_flight(): readonly FlakeyIo[] {
    const flying = [...this.#flying.values()];
    return flying.map(({ nr, op, sector, bytes_left }) => ({ nr, op, sector, bytes_left }));
  }
  #queue(request: Request): void {
    const { op, sector, bytes } = request;
    const io: FlakeyIo = { nr: this.#next++, op, sector, bytes_left: bytes };
    const { hold, delay = 0, error, ...fate } = this.#fate(io);
    const { bytes: first = error === undefined ? bytes : 0 } = fate;
    const flying: InFlight = {
      ...io,
      request,
      held: hold === true,
      due: delay,
      bytes: Math.min(first, bytes),
      error: error === undefined ? null : ERR_PTR(error, `${this.name}: as planned`),
    };
    this.#flying.set(io.nr, flying);
    // What is submitted while another ends does not wait for that one.
    if (this.#serving && !flying.held) this.#arrived.push(flying);
    else this.#arrive(flying);
    this.#tick();
  }
  #arrive(io: InFlight): void {
    io.due += this.#nr_ended;
    this.#line_up(io);
  }
  #line_up(io: InFlight): void {
    if (io.held) this.#held.push(io);
    else if (io.due > this.#nr_ended) this.#delayed.push(io);
    else this.#ready.push(io);
  }
  /** What the plan says.  A plan that cannot be followed fails the request, and its error is thrown where that ends. */
  #fate(io: FlakeyIo): FlakeyOutcome {
    try {
      // A copy: what is looked at here is what happens.
      const fate: FlakeyOutcome = { ...this.#plan(io) };
      const { bytes = 0, delay = 0, error } = fate;
      if (error !== undefined && error !== "EIO" && error !== "ENOSPC") {
        throw new RangeError(`the plan of ${this.name} fails with ${String(error)}`);
      }
      if (!Number.isInteger(bytes) || bytes < 0 || bytes % this.limits.logical_block_size !== 0) {
        throw new RangeError(`the plan of ${this.name} transfers ${bytes} bytes: no blocks`);
      }
      if (!Number.isInteger(delay) || delay < 0) {
        throw new RangeError(`the plan of ${this.name} waits for ${delay} requests`);
      }
      return fate;
    } catch (reason) {
      raise_softirq(this.machine, () => {
        throw reason;
      });
      return { error: "EIO" };
    }
  }
  #tick(): void {
    raise_softirq(this.machine, (softirq) => {
      // In their order, but for those that wait; if all wait, the one that waits least.
      const io = this.#ready.pop() ?? this.#delayed.pop();
      if (!io) return;
      this.#serving = true;
      try {
        blk_mq_serve(io.request, io.bytes, io.error, softirq);
      } finally {
        this.#serving = false;
        this.#served(io);
      }
    });
  }
  /** Ended, and those that were there wait for one less; or the rest of it is served next. */
  #served(io: InFlight): void {
    if (io.request.bios.length === 0) {
      this.#flying.delete(io.nr);
      this.#nr_ended++;
      while ((this.#delayed.least?.due ?? Infinity) <= this.#nr_ended) {
        this.#ready.push(this.#delayed.pop()!);
      }
    } else {
      io.bytes = io.bytes_left = io.request.bytes;
      this.#line_up(io);
      this.#tick();
    }
    for (const arrived of this.#arrived.splice(0)) this.#arrive(arrived);
  }
  complete(nr: number): boolean {
    const io = this.#flying.get(nr);
    if (!io?.held) return false;
    io.held = false;
    io.due = 0;
    this.#line_up(io);
    this.#tick();
    return true;
  }
  /** Somebody waits: the oldest that is held goes. */
  #let_one_go(): boolean {
    for (let io = this.#held.pop(); io; io = this.#held.pop()) {
      if (io.held) return this.complete(io.nr); // others went by their number
    }
    return false;
  }
  override get size(): number {
    return this.#under.size;
  }
}
/**
 * Makes a disk over another one, on which each request meets the fate that the plan gives it.  Models flakey_ctr(), but for
 * the plan.  The caller owns it: `using`, or the machine's end; the disk below stays open.  A request ends once, whatever happens to it; who waits for one that is
 * held gets the held ones, oldest first.
 *
 * @param under - where the bytes are; its limits are taken over
 * @param plan - called once for each request, in the order of submission; null lets it pass.  What it throws, and the
 *   RangeError for bytes that are no blocks or a delay that is no count, is thrown by run_softirqs(); the request ends with EIO
 * @example
 * using flakey = dm_flakey(disk, ({ nr }) => (nr === 1 ? { error: "EIO" } : { delay: 1 }));
 * const written = direct_io(current, flakey, "REQ_OP_WRITE", buf, 8192, 0);
 */
export function dm_flakey(under: BlockDevice, plan: FlakeyPlan): FlakeyDisk {
  const called = "dm_flakey()";
  const state = bdev_state(under, called);
  if (typeof plan !== "function") throw new RangeError(`${called}: the plan is no function`);
  return to_flakey(new FlakeyState(state, plan));
}
/** What may go wrong, as shares of all requests, 0 to 1. */
export interface FlakeyRates {
  /** end with EIO, after a random part of the bytes */
  readonly error?: number;
  /** end in two steps */
  readonly partial?: number;
  /** end after up to four others */
  readonly delay?: number;
}
/** A plan drawn by lot, the same for the same seed (ours). */
export function flakey_seed(seed: number, rates: FlakeyRates = {}): FlakeyPlan {
  const { error = 0.1, partial = 0.2, delay = 0.5 } = rates;
  let x = seed | 0;
  const draw = (): number => {
    // mulberry32: 32 bits of state, every seed is good
    x = (x + 0x6d2b79f5) | 0;
    let t = Math.imul(x ^ (x >>> 15), 1 | x);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return ({ bytes_left }) => {
    const [fails, parts, waits, where] = [draw(), draw(), draw(), draw()];
    const part = Math.floor((where * bytes_left) / 4096) * 4096;
    const wait = waits < delay ? { delay: 1 + Math.floor((waits / delay) * 4) } : {};
    if (fails < error) return { ...wait, bytes: part, error: "EIO" };
    return parts < partial ? { ...wait, bytes: part } : wait;
  };
}
