/**
 * FOLL_ flags as types: an illegal combination does not compile while its flags are literal.  Flags are opaque,
 * so `|` does not apply to them: gup_flags() combines.
 */

import type { Brand } from "ts-brand";

declare const contains: unique symbol;

/** The flags that callers may give. */
export type GupFlag =
  | "FOLL_WRITE"
  | "FOLL_GET"
  | "FOLL_FORCE"
  | "FOLL_NOWAIT"
  | "FOLL_NOFAULT"
  | "FOLL_HWPOISON"
  | "FOLL_ANON"
  | "FOLL_LONGTERM"
  | "FOLL_SPLIT_PMD"
  | "FOLL_PCI_P2PDMA"
  | "FOLL_INTERRUPTIBLE";
/** A set of FOLL_ flags. */
export type GupFlags<F extends GupFlag = GupFlag> = Brand<unknown, "gup flags"> & {
  readonly [contains]: F;
};
/** Flags that are known at run time only: the call checks them. */
export type GupFlagBits = Brand<unknown, "gup flags, checked when the call is made">;

/** Beside the direction, which is FOLL_WRITE. */
export type PinFlag = Exclude<GupFlag, "FOLL_WRITE" | "FOLL_GET">;
/** The *_fast() calls take fewer. */
export type FastPinFlag = "FOLL_LONGTERM" | "FOLL_FORCE" | "FOLL_NOFAULT" | "FOLL_PCI_P2PDMA";
/** A plain reference is never long-term. */
export type GetFlag = Exclude<GupFlag, "FOLL_LONGTERM">;
export type FastGetFlag = Exclude<FastPinFlag, "FOLL_LONGTERM"> | "FOLL_WRITE" | "FOLL_GET";

export type PinFlags<F extends PinFlag = PinFlag> = GupFlags<F> | GupFlagBits;
export type FastPinFlags<F extends FastPinFlag = FastPinFlag> = GupFlags<F> | GupFlagBits;
export type GetFlags = GupFlags<GetFlag> | GupFlagBits;
export type FastGetFlags = GupFlags<FastGetFlag> | GupFlagBits;

/** What the flags make of a pin. */
export type TermOf<F> = "FOLL_LONGTERM" extends F ? "longterm" : "short";
/** Nothing fits this: the flags exclude each other. */
export interface IllegalTogether<Sentence extends string> {
  readonly illegal: Sentence;
}
/** The flags themselves, unless `All` of them exclude each other. */
export type LegalFlags<F extends GupFlag, All> = ["FOLL_LONGTERM" | "FOLL_PCI_P2PDMA"] extends [All]
  ? IllegalTogether<"FOLL_LONGTERM excludes FOLL_PCI_P2PDMA">
  : GupFlags<F>;
