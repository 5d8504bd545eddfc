/** FOLL_ constants with the kernel's values, and which of them a call takes.  Models is_valid_gup_args(). */

import { raw_flags, to_flag_bits, to_flags } from "../handle/cast.js";
import type {
  AnyFlags,
  FlagsIn,
  GupFlagBits,
  GupFlags,
  LegalFlags,
  TermOfAll,
} from "../handle/gup_flags.js";

const WRITE = 1 << 0;
const GET = 1 << 1;
const FORCE = 1 << 3;
const NOWAIT = 1 << 4;
const NOFAULT = 1 << 5;
const HWPOISON = 1 << 6;
const ANON = 1 << 7;
const LONGTERM = 1 << 8;
const SPLIT_PMD = 1 << 9;
const PCI_P2PDMA = 1 << 10;
const INTERRUPTIBLE = 1 << 11;
/** Internal ones: no caller may give them. */
const TOUCH = 1 << 16;
const PIN = 1 << 19;
/** The bits as the library computes with them. */
export const FOLL: {
  readonly WRITE: number;
  readonly GET: number;
  readonly FORCE: number;
  readonly NOFAULT: number;
  readonly ANON: number;
  readonly LONGTERM: number;
  readonly SPLIT_PMD: number;
  readonly TOUCH: number;
  readonly PIN: number;
} = { WRITE, GET, FORCE, NOFAULT, ANON, LONGTERM, SPLIT_PMD, TOUCH, PIN };

const ANY_CALLER =
  WRITE |
  GET |
  FORCE |
  NOWAIT |
  NOFAULT |
  HWPOISON |
  ANON |
  LONGTERM |
  SPLIT_PMD |
  PCI_P2PDMA |
  INTERRUPTIBLE;
const FAST_CALLER = WRITE | GET | FORCE | NOFAULT | LONGTERM | PCI_P2PDMA;

/** The pages will be written.  Of the typed calls the direction 'dest' says it. */
export const FOLL_WRITE: GupFlags<"FOLL_WRITE"> = to_flags(WRITE);
/** Take a plain reference: implied by get_user_pages(). */
export const FOLL_GET: GupFlags<"FOLL_GET"> = to_flags(GET);
/** Pass over the protection of private mappings: for debuggers. */
export const FOLL_FORCE: GupFlags<"FOLL_FORCE"> = to_flags(FORCE);
export const FOLL_NOWAIT: GupFlags<"FOLL_NOWAIT"> = to_flags(NOWAIT);
/** EFAULT instead of a page fault. */
export const FOLL_NOFAULT: GupFlags<"FOLL_NOFAULT"> = to_flags(NOFAULT);
export const FOLL_HWPOISON: GupFlags<"FOLL_HWPOISON"> = to_flags(HWPOISON);
/** EFAULT for what is no anonymous mapping. */
export const FOLL_ANON: GupFlags<"FOLL_ANON"> = to_flags(ANON);
/** The pin may stay after the call returned. */
export const FOLL_LONGTERM: GupFlags<"FOLL_LONGTERM"> = to_flags(LONGTERM);
export const FOLL_SPLIT_PMD: GupFlags<"FOLL_SPLIT_PMD"> = to_flags(SPLIT_PMD);
export const FOLL_PCI_P2PDMA: GupFlags<"FOLL_PCI_P2PDMA"> = to_flags(PCI_P2PDMA);
export const FOLL_INTERRUPTIBLE: GupFlags<"FOLL_INTERRUPTIBLE"> = to_flags(INTERRUPTIBLE);

/**
 * Combines flags (ours; C writes `|`).  What may not be given together does not compile.
 *
 * @example
 * const flags = gup_flags(FOLL_LONGTERM, FOLL_FORCE);
 */
export function gup_flags<A extends AnyFlags[]>(
  ...flags: { [I in keyof A]: LegalFlags<A[I], A> }
): GupFlags<FlagsIn<A[number]>, TermOfAll<A>> {
  return to_flags(flags.reduce<number>((bits, flag) => bits | raw_flags(flag), 0));
}
/** Flags from a number that is known at run time only (ours): the call checks them, and warns as the kernel does. */
export function gup_flags_from(bits: number): GupFlagBits {
  return to_flag_bits(bits);
}

/** Why these flags are refused, or null. */
export function illegal_flags(bits: number, get_or_pin: number, fast: boolean): string | null {
  if (bits !== (bits | 0)) return `${bits} are no flags`;
  if (bits & ~(fast ? FAST_CALLER : ANY_CALLER)) {
    return `0x${bits.toString(16)} has flags that this call does not take`;
  }
  if (get_or_pin === PIN && bits & GET) return "FOLL_GET excludes FOLL_PIN";
  if (get_or_pin !== PIN && bits & LONGTERM) return "FOLL_LONGTERM needs FOLL_PIN";
  if (bits & LONGTERM && bits & PCI_P2PDMA) return "FOLL_LONGTERM excludes FOLL_PCI_P2PDMA";
  return null;
}
