/**
 * FOLL_ flags as types: an illegal combination does not compile while its flags are literal.  Flags are opaque,
 * so `|` does not apply to them: gup_flags() combines.
 */

import type { Brand } from "ts-brand";
import type { Term } from "./page.js";

declare const contains: unique symbol;
declare const lasts: unique symbol; // no flag makes a set with FOLL_LONGTERM a smaller one without it

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
/**
 * What a set of exactly these flags makes of a pin.  No set has both of the flags that exclude each other: a type that
 * names both means some of them.
 */
export type TermOfSet<F extends GupFlag> = ["FOLL_LONGTERM" | "FOLL_PCI_P2PDMA"] extends [F]
  ? Term
  : "FOLL_LONGTERM" extends F
    ? "longterm"
    : "short";
/** A set of FOLL_ flags. */
export type GupFlags<F extends GupFlag = GupFlag, T extends Term = TermOfSet<F>> = Brand<
  unknown,
  "gup flags"
> & {
  readonly [contains]: F;
  readonly [lasts]: T;
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

export type PinFlags = GupFlags<PinFlag, Term> | GupFlagBits;
export type FastPinFlags = GupFlags<FastPinFlag, Term> | GupFlagBits;
export type GetFlags = GupFlags<GetFlag, Term> | GupFlagBits;
export type FastGetFlags = GupFlags<FastGetFlag, Term> | GupFlagBits;

/** What the arguments after the direction make of a pin: 'longterm' only if FOLL_LONGTERM is given in every case. */
export type TermOf<A> = A extends [infer G]
  ? [G] extends [GupFlags<GupFlag, "longterm">]
    ? "longterm"
    : "short"
  : "short";
/** Nothing fits this: the flags exclude each other. */
export interface IllegalTogether<Sentence extends string> {
  readonly illegal: Sentence;
}
/** Any sets, for what combines them. */
export type AnyFlags = GupFlags<GupFlag, Term>;
/** Which flags are in them. */
export type FlagsIn<G extends AnyFlags> = G[typeof contains];
/** The argument itself, unless `All` of them exclude each other. */
export type LegalFlags<G, All extends readonly AnyFlags[]> = [
  "FOLL_LONGTERM" | "FOLL_PCI_P2PDMA",
] extends [FlagsIn<All[number]>]
  ? IllegalTogether<"FOLL_LONGTERM excludes FOLL_PCI_P2PDMA">
  : G;
/** What all of them in one set make of a pin: 'longterm' if one argument does so in every case. */
export type TermOfAll<All extends readonly AnyFlags[]> = "longterm" extends {
  [I in keyof All]: TermOf<[All[I]]>;
}[number]
  ? "longterm"
  : "short";
