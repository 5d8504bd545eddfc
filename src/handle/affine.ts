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
declare const spent: unique symbol; // on spent handles
declare const borrowed: unique symbol; // the holder may not release
// Parameters ask under other keys than Ref: a shared optional key would turn every message about a
// `Ref` variable into TS2379 with its advice to add 'undefined', whatever the reason.
declare const gone: unique symbol; // on all spent handles
declare const lent: unique symbol; // on handles that may not be released

export type Owned<S, Facts = {}> = S & { readonly [state]: Facts };
// [spent] is mutable here and readonly in SpentRef on purpose: SpentRef is then a subtype of Ref, so a
// predicate selects it, but not a strict subtype, so a control-flow join does not absorb it.
export type Ref<S> = S & { [spent]?: never; readonly [borrowed]?: never };
export type Lent<S> = S & {
  [spent]?: never;
  readonly [borrowed]?: true;
  readonly [lent]?: true;
};
export type Borrowed<S> = S & {
  readonly [gone]?: never;
  readonly [borrowed]?: true;
  readonly [lent]?: true;
};
export type Held<S> = S & { readonly [gone]?: never; readonly [lent]?: never };

/** A method, not a literal: two literals would intersect to `never`, and `never` fits every parameter. */
export interface Gone<By> {
  by(): By;
}
// [state]: any makes a type assignable to Owned, so predicates narrow to it, but no subtype of it, so
// joins keep both sides.
export type SpentOwned<S, By> = S & {
  readonly [state]: any;
  [spent]: Gone<By>;
  readonly [gone]: Gone<By>;
};
export type SpentRef<S, By> = S & {
  readonly [state]: any;
  readonly [spent]: never;
  readonly [borrowed]: never;
  readonly [gone]: Gone<By>;
  readonly [lent]: never;
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

/** A predicate whose true branch spends its second argument: "moved, or still yours". */
export type MovesSecond<A, P, To extends { is: any }, Rest extends unknown[] = []> = (
  first: A,
  handle: P,
  ...rest: Rest
) => handle is To["is"];
