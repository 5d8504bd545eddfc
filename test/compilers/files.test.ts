/** What a person reads who makes a page dirty whose file was not asked: the first line that each compiler prints. */
import { describe, expect, test } from "vitest";
import { compile, COMPILER_NAMES } from "./compile.js";

const HEAD = `import { alloc_page, get_user_page, IS_ERR, ITER_DEST, ITER_SOURCE, put_page, put_user_page, set_page_dirty,
  vfs_fsync, type File, type SoftirqContext, type Task, type UserAddr } from "user-page";
`;
const pin = (dir: string): string => `${HEAD}export function f(current: Task, buf: UserAddr) {
  const page = get_user_page(current, buf, ${dir});
  if (IS_ERR(page)) return;
  set_page_dirty(page);
  put_user_page(page);
}
`;
const programs = new Map([
  [
    "plain.ts",
    `${HEAD}export function f(current: Task) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  set_page_dirty(page);
  put_page(page);
}
`,
  ],
  ["source.ts", pin("ITER_SOURCE")],
  ["dest.ts", pin("ITER_DEST")],
  [
    "softirq.ts",
    `${HEAD}export function f(softirq: SoftirqContext, file: File) {
  vfs_fsync(softirq, file);
}
`,
  ],
]);
const not = (what: string, wanted: string): string =>
  `TS2345: Argument of type '${what}' is not assignable to parameter of type '${wanted}'.`;

describe.each(COMPILER_NAMES)("TypeScript %s", (compiler) => {
  const { errors } = compile(compiler, programs, { noUnusedLocals: false });
  test("a plain page", () => {
    expect(errors.get("plain.ts")).toEqual([not("OwnedPage", "BorrowedDestPage")]);
  });
  test("a page that is pinned to be read", () => {
    const found = not('OwnedUserPage<"source", "short">', "BorrowedDestPage");
    expect(errors.get("source.ts")).toEqual([found]);
  });
  test("fsync() where nothing may sleep", () => {
    expect(errors.get("softirq.ts")).toEqual([not("SoftirqContext", "ProcessContext")]);
  });
  test("a page that is pinned to be written is accepted", () => {
    expect(errors.get("dest.ts")).toBeUndefined();
  });
});
