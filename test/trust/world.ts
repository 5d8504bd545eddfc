/** What the triggers and their twins work on: a machine of a given level, and what a misuse is made of. */
import * as api from "user-page";
import { MachineState } from "../../src/machine/machine.js";
import { map_anon, must } from "../fixtures.js";

export type Level = false | "tags" | "owners" | true;
const ALL: readonly Level[] = [false, "tags", "owners", true];
/** Mutants are run against those that see different things: the others double what that takes. */
export const LEVELS: readonly Level[] =
  { counts: [true] as const, debug: ["tags", true] as const }[process.env["MUTATE"] ?? ""] ?? ALL;

export interface World {
  readonly level: Level;
  readonly machine: api.Machine;
  readonly current: api.Task;
  /** 64 KiB of anonymous memory, written to */
  readonly buf: api.UserAddr;
  /** a RAM disk of 1 MiB */
  readonly disk: api.BlockDevice;
  /** the same on another machine */
  elsewhere(): World;
  /** ends both; what was left */
  end(): api.ShutdownReport[];
}
/** Some of the programs shut a machine down themselves. */
const running = (machine: api.Machine): boolean => machine instanceof MachineState && machine.alive;
export function make_world(level: Level, elsewhere = false): World {
  const machine = api.boot({
    mem: elsewhere ? 2 << 20 : 8 << 20,
    cma: 256 << 10,
    CONFIG_DEBUG_USER_PAGE_REFERENCES: level,
  });
  const current = api.create_task(machine);
  const buf = map_anon(current, 1 << 16);
  api.copy_to_user(current, buf, new Uint8Array(1 << 16).fill(7))._unsafeUnwrap();
  const disk = must(api.brd_alloc(machine, 1 << 20));
  let other: World | null = null;
  return {
    level,
    machine,
    current,
    buf,
    disk,
    elsewhere: () => (other ??= make_world(level, true)),
    end: () => [...(running(machine) ? [api.shutdown(machine)] : []), ...(other?.end() ?? [])],
  };
}

/** From which level on a misuse is seen: in every mode, by the tag of a handle, by the record of an acquisition. */
export type Seen = "always" | "tags" | "owners";
export const sees = (level: Level, seen: Seen): boolean =>
  seen === "always" || (seen === "tags" ? level !== false : level === "owners" || level === true);

/** One shape of a misuse, and what is right instead. */
export interface Trigger {
  readonly id: api.MisuseId;
  readonly seen: Seen;
  /** Past the compiler; the report is thrown by its last call, or in softirq context. */
  readonly wrong: (w: World) => unknown;
  /** Ends what it acquires; says nothing on any level. */
  readonly right: (w: World) => unknown;
  /** Pins of folio_add_pin(), which Linux counts when they are released and not when they are taken. */
  readonly pins_added?: number;
}
export type Triggers = Readonly<Record<string, Trigger>>;

// --- what a misuse is made of -------------------------------------------------------------------------------
export const page = (w: World) => must(api.alloc_page(w.current));
export const pin = <D extends api.Dir>(w: World, dir: D) =>
  must(api.get_user_page(w.current, w.buf, dir));
export const pins = <D extends api.Dir>(w: World, nr: number, dir: D) =>
  must(api.all_or_none(api.pin_user_pages_fast(w.current, w.buf, nr, dir)));
export const list = <D extends api.Dir>(w: World, dir: D, bytes = 8192) =>
  must(api.get_user_bvec(w.current, w.buf, bytes, dir));
/** One extent, out of its list. */
export function extent<D extends api.Dir>(w: World, dir: D) {
  const bvecs = must(api.get_user_bvec(w.current, w.buf, 4096, dir));
  return api.pop_user_bvec(bvecs)!;
}
/** A bio with one pinned page. */
export function pinned_bio(w: World, op: "REQ_OP_READ" | "REQ_OP_WRITE" = "REQ_OP_WRITE") {
  const bio = api.bio_alloc_pinned(w.disk, 4, op);
  const pinned = pin(w, "dest");
  if (!api.bio_add_user_page(bio, pinned, 4096, 0)) throw new Error("no room");
  return bio;
}
/** A bio with the zero page, which needs no release. */
export function plain_bio(w: World) {
  const bio = api.bio_alloc(w.disk, 4, "REQ_OP_WRITE");
  api.bio_add_page(bio, api.ZERO_PAGE(w.current), 4096, 0);
  return bio;
}
/** What this does in softirq context; what it throws comes out. */
export function in_softirq(w: World, body: (softirq: api.SoftirqContext) => void): void {
  const bio = plain_bio(w);
  api.bio_set_end_io(bio, (ended, softirq) => {
    api.bio_put(ended);
    body(softirq);
  });
  api.submit_bio(bio);
  api.run_softirqs(w.machine);
}
/** What another CPU does at the first point of this name; what it throws comes out at the end. */
export function interrupting(
  w: World,
  at: api.PreemptionPoint,
  cpu2: () => void,
  cpu1: () => unknown,
): void {
  let thrown: unknown = null;
  let ran = false;
  {
    using _race = api.on_preemption(w.machine, (point) => {
      if (ran || point !== at) return;
      ran = true;
      try {
        cpu2();
      } catch (reason) {
        thrown = reason;
      }
    });
    cpu1();
  }
  if (!ran) throw new Error(`${at} was not reached`);
  if (thrown !== null) throw thrown as Error;
}
