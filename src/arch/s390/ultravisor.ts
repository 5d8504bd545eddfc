/**
 * The firmware that owns secure pages (ours; it stands for the ultravisor of s390).  It keeps the bytes of a page from the
 * host: what is exported is encrypted, and comes back only unchanged.
 */

import { page_flags, PG_arch_1, PG_touched } from "../../machine/arena.js";
import { PAGE_SIZE } from "../../machine/limits.js";
import type { MachineState } from "../../machine/machine.js";
import type { MmState } from "../../mm/mm_types.js";
import { describe_pfn } from "../../mm/page_ref.js";

/** What the host asks of the ultravisor; named as its commands. */
export type UvCall = "convert to secure" | "convert from secure" | "pin shared";
/** What it answers; "busy" and "partial" ask the host to try again. */
export type UvAnswer = "busy" | "partial" | "error";
/** Decides what the ultravisor answers to a call about the page with this frame number; null: what it answers by itself. */
export type UvPlan = (call: UvCall, pfn: number) => UvAnswer | null;

/** Counters of the ultravisor of a machine (ours). */
export interface UvStat {
  /** pages that are secure now */
  readonly secure_pages: number;
  /** calls that made a page secure */
  readonly imports: number;
  /** calls that encrypted a page and gave it to the host */
  readonly exports: number;
  /** pages that were pinned because their guest shares them */
  readonly pinned_shared: number;
  /** accesses of a CPU of the host that ended in the fault handler */
  readonly faults: number;
  /** accesses of a device that ended in an access exception */
  readonly access_exceptions: number;
}
/** Whose page it is, and where. */
interface Owner {
  readonly guest: MmState;
  readonly addr: number;
}

export class Ultravisor {
  readonly machine: MachineState;
  readonly #plan: UvPlan | null;
  readonly #secure = new Map<number, Owner>();
  /** pages whose guest lets the host access them */
  readonly #shared = new Set<number>();
  /** of each exported page of a guest, what its encrypted bytes hash to */
  readonly #exported = new WeakMap<MmState, Map<number, number>>();
  imports = 0;
  exports = 0;
  pinned_shared = 0;
  faults = 0;
  access_exceptions = 0;
  constructor(machine: MachineState, plan: UvPlan | null) {
    this.machine = machine;
    this.#plan = plan;
  }
  /** A page that was freed lost its mark, and is nobody's. */
  is_secure(pfn: number): boolean {
    if (!this.#secure.has(pfn)) return false;
    if (page_flags[pfn]! & PG_arch_1) return true;
    this.#secure.delete(pfn);
    return false;
  }
  stat(): UvStat {
    const { imports, exports, pinned_shared, faults, access_exceptions } = this;
    const secure_pages = [...this.#secure.keys()].filter((pfn) => this.is_secure(pfn)).length;
    return { secure_pages, imports, exports, pinned_shared, faults, access_exceptions };
  }
  #planned(call: UvCall, pfn: number): UvAnswer | null {
    if (this.#plan === null) return null;
    this.machine.interrupted++;
    try {
      return this.#plan(call, pfn);
    } finally {
      this.machine.interrupted--;
    }
  }
  #bytes(pfn: number): Uint8Array {
    const at = this.machine.chunk_offset(pfn);
    return this.machine.chunk(pfn).subarray(at, at + PAGE_SIZE);
  }
  #records(guest: MmState): Map<number, number> {
    let records = this.#exported.get(guest);
    if (!records) this.#exported.set(guest, (records = new Map<number, number>()));
    return records;
  }

  // --- calls of the host ------------------------------------------------------------------------------------
  /** Imports a page: one that was exported before must be what it was then. */
  convert_to_secure(pfn: number, guest: MmState, addr: number): UvAnswer | null {
    const answer = this.#planned("convert to secure", pfn);
    if (answer !== null) return answer;
    if (this.is_secure(pfn)) return null;
    const records = this.#records(guest);
    const hash = records.get(addr);
    if (hash !== undefined) {
      if (hash_of(this.#bytes(pfn)) !== hash) return "error";
      encrypt(this.#bytes(pfn), addr);
      records.delete(addr);
    }
    this.#shared.delete(pfn);
    this.#secure.set(pfn, { guest, addr });
    this.imports++;
    return null;
  }
  /** Exports a page.  One that is not secure is as it should be. */
  convert_from_secure(pfn: number): UvAnswer | null {
    const answer = this.#planned("convert from secure", pfn);
    if (answer !== null) return answer;
    if (!this.is_secure(pfn)) return null;
    const { guest, addr } = this.#secure.get(pfn)!;
    this.#secure.delete(pfn);
    encrypt(this.#bytes(pfn), addr);
    page_flags[pfn] = page_flags[pfn]! | PG_touched;
    this.#records(guest).set(addr, hash_of(this.#bytes(pfn)));
    this.exports++;
    return null;
  }
  /** Keeps a shared page shared; an error for any other. */
  pin_shared(pfn: number): UvAnswer | null {
    const answer = this.#planned("pin shared", pfn);
    if (answer !== null) return answer;
    if (!this.#shared.has(pfn)) return "error";
    this.pinned_shared++;
    return null;
  }

  // --- of the guest -----------------------------------------------------------------------------------------
  /** The guest lets the host access a page of its own. */
  set_shared(pfn: number): boolean {
    if (!this.is_secure(pfn)) return false;
    this.#secure.delete(pfn);
    this.#shared.add(pfn);
    return true;
  }
  /** A device accessed the page: what the machine says, or null. */
  device_access(pfn: number): string | null {
    if (!this.is_secure(pfn)) return null;
    this.access_exceptions++;
    return `access exception: a device accessed secure ${describe_pfn(pfn)}`;
  }
}

/** The same twice gives the bytes back: it stands for encryption with a key that only the firmware has. */
function encrypt(bytes: Uint8Array, addr: number): void {
  let x = (addr / PAGE_SIZE + 1) | 0 || 1;
  for (let i = 0; i < bytes.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = bytes[i]! ^ x;
  }
}
function hash_of(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}
