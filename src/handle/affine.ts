/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Affine handles in plain TypeScript (ours, no kernel counterpart): a handle that was released, moved
 * or submitted is refused by every later call, on every path that can reach it.  Types only; nothing
 * here exists at run time.
 *
 *   Owned<S>      what an acquiring function returns; leave the variable un-annotated
 *   Ref<S>        what people write: parameters, fields, array elements (`UserPage = Ref<user_page>`)
 *   Lent<S>       a handle that lives inside another one: usable, not releasable
 *   Borrowed<S>   parameter of functions that only use a handle
 *   Held<S>       parameter of functions that release or move a handle
 *   Spent<S, By>  what the variable becomes; fits neither Borrowed nor Held, and Ref only if it was one
 */

declare const state: unique symbol; // facts that hold now
declare const mine: unique symbol; // the holder may release: in Owned and Ref only
declare const spent: unique symbol; // on spent handles
// What parameters ask for stands under other keys, and Borrowed and Held share none: an optional key that both the
// argument and the parameter have turns every message into TS2379 with its advice to add 'undefined', whatever the reason.
declare const gone: unique symbol; // on all spent handles, asked by Borrowed
declare const over: unique symbol; // on all spent handles, asked by Held
declare const left: unique symbol; // on spent handles, asked by Lent: the page of a spent extent must still fit it

export type Owned<S, Facts = {}> = S & { readonly [state]: Facts; readonly [mine]: true };
// [spent] is mutable here and readonly in SpentRef on purpose: SpentRef is then a subtype of Ref, so a
// predicate selects it, but not a strict subtype, so a control-flow join does not absorb it.
export type Ref<S> = S & { [spent]?: never; readonly [mine]: true };
/** The same with facts: what people write for a handle of which something has to be known. */
export type RefWith<S, Facts> = Ref<S> & { readonly [state]: Facts };
export type Lent<S> = S & { readonly [left]?: never };
export type Borrowed<S> = S & { readonly [gone]?: never };
export type Held<S> = S & { readonly [mine]: true; readonly [over]?: never };
/** What asks for a fact beside the right to release. */
export type HeldWith<S, Facts> = S & {
  readonly [state]: Facts;
  readonly [mine]: true;
  readonly [over]?: never;
};
/** An array that anybody may have made: its elements tell who may release. */
export type HeldArray<S> = S & { readonly [over]?: never };

/** A method, not a literal: two literals would intersect to `never`, and `never` fits every parameter. */
export interface Gone<By> {
  by(): By;
}
// [state]: any makes a type assignable to Owned, so predicates narrow to it, but no subtype of it, so
// joins keep both sides.
export type SpentOwned<S, By> = S & {
  readonly [state]: any;
  readonly [mine]: true;
  [spent]: Gone<By>;
  readonly [gone]: Gone<By>;
  readonly [over]: Gone<By>;
  readonly [left]: Gone<By>;
};
export type SpentRef<S, By> = S & {
  readonly [state]: any;
  readonly [mine]: true;
  readonly [spent]: never;
  readonly [gone]: Gone<By>;
  readonly [over]: Gone<By>;
  readonly [left]: never;
};

/**
 * An assertion function whose predicate does not fit its own parameter.  TypeScript checks that
 * (TS2677) only where a signature is declared, with `To` still a parameter; every instance is then one
 * plain, non-generic signature.  Users declare their own releasing functions with it.
 */
export type Narrows<P, To extends { is: any }, Rest extends unknown[] = []> = (
  handle: P,
  ...rest: Rest
) => asserts handle is To["is"];
