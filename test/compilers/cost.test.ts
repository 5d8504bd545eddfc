/**
 * What the types cost a user: the compiler instantiates as many types for a thousand functions as for a hundred.  A
 * count, so it is the same on every machine.
 */
import { describe, expect, test } from "vitest";
import { compile, type Compiler } from "./compile.js";

const HEAD = `import {
  bio_add_user_bvec, bio_alloc_pinned, get_user_bvec, IS_ERR, ITER_DEST, memcpy_from_page, pop_user_bvec,
  put_user_bvec, put_user_bvec_dirty_lock, submit_bio, type BlockDevice, type Task, type UserAddr,
} from "user-page";
declare const current: Task, addr: UserAddr, bdev: BlockDevice;
`;
/** Ten calls each: acquire, ask, pop, use, add, submit, put. */
function driver(n: number): string {
  return `export function f${n}() {
  const bvecs = get_user_bvec(current, addr, ${n}, ITER_DEST);
  if (IS_ERR(bvecs)) return bvecs;
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  const bvec = pop_user_bvec(bvecs);
  if (bvec) {
    memcpy_from_page(new Uint8Array(1), bvec.page, 0);
    if (!bio_add_user_bvec(bio, bvec)) put_user_bvec(bvec);
  }
  const rest = pop_user_bvec(bvecs);
  if (rest) put_user_bvec(rest);
  submit_bio(bio);
  put_user_bvec_dirty_lock(bvecs, current);
}
`;
}
function instantiations(compiler: Compiler, functions: number): number {
  const text = HEAD + Array.from({ length: functions }, (_, n) => driver(n)).join("");
  const { errors, instantiations } = compile(compiler, new Map([["drivers.ts", text]]));
  expect(Object.fromEntries(errors)).toEqual({});
  return instantiations;
}

describe.each(["6.0", "7.0"] as const)("TypeScript %s", (compiler) => {
  test("instantiates nothing for another call site", () => {
    const few = instantiations(compiler, 100);
    const many = instantiations(compiler, 1000);
    expect(few).toBeGreaterThan(0);
    expect((many - few) / 9000).toBeLessThan(0.01);
  });
});
