/** user-page/vitest as a test uses it: what passes. */
import {
  alloc_page,
  boot,
  copy_to_user,
  create_task,
  direct_io,
  folio_alloc,
  folio_put,
  get_user_bvec,
  get_user_page,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  misuse_reports,
  page_folio,
  PMD_SIZE,
  put_page,
  put_user_bvec,
  put_user_page,
  shutdown,
  vmstat,
  type Page,
} from "user-page";
import { describe } from "vitest";
import { expect, it, test } from "../../vitest/index.js";

test("the world is one machine, its task, a disk and memory", ({ world, machine, current }) => {
  expect(world.machine).toBe(machine);
  expect(world.current).toBe(current);
  expect(
    direct_io(current, world.disk, "REQ_OP_READ", world.buf, world.len, 0)._unsafeUnwrap(),
  ).toBe(world.len);
  expect(machine).toBeBalanced();
});
it("asks for nothing that is not used", () => {
  expect(it).toBe(test);
});

describe("toHavePins", () => {
  test("on a machine, a page, its folio and an extent", ({ machine, current, world }) => {
    const page = get_user_page(current, world.buf, ITER_DEST);
    if (IS_ERR(page)) throw new Error(page.message);
    using bvecs = get_user_bvec(current, world.buf, 8192, ITER_DEST);
    if (IS_ERR(bvecs)) throw new Error(bvecs.message);
    expect(machine).toHavePins(3);
    expect(page).toHavePins(2);
    expect(page_folio(page)).toHavePins(2);
    expect([...bvecs][0]).toHavePins(2);
    expect([...bvecs][1]).toHavePins(1);
    expect(page).not.toHavePins(1);
    put_user_page(page);
  });
  const huge = test.extend({ world_options: { file: PMD_SIZE, pages: "huge" } as const });
  huge("on a huge page: those of the folio", ({ current, world }) => {
    copy_to_user(current, world.buf, new Uint8Array(1))._unsafeUnwrap();
    using bvecs = get_user_bvec(current, world.buf, world.len, ITER_SOURCE);
    if (IS_ERR(bvecs)) throw new Error(bvecs.message);
    for (const bvec of bvecs) expect(bvec).toHavePins(1);
  });
  test("plain references are no pins", ({ machine, current }) => {
    const folio = folio_alloc(current, 2);
    if (IS_ERR(folio)) throw new Error(folio.message);
    expect(folio).toHavePins(0);
    expect(machine).toHavePins(0);
    expect(machine).not.toBeBalanced();
    folio_put(folio);
    expect(machine).toBeBalanced();
  });
});

describe("toReport", () => {
  test("of a function that throws", ({ machine, current, world }) => {
    const page = get_user_page(current, world.buf, ITER_DEST);
    if (IS_ERR(page)) throw new Error(page.message);
    expect(() => put_page(page as unknown as Page)).toReport("pin-to-put_page");
    expect(machine).not.toReport("pin-to-put_page"); // it was taken off the list
    expect(() => expect(() => put_page(page as unknown as Page)).toThrow("pin-to")).not.toReport(
      "leak",
    );
    expect(machine).toReport("pin-to-put_page"); // thrown and caught
    put_user_page(page);
  });
  test("of a function that is waited for", async ({ current }) => {
    const page = alloc_page(current);
    if (IS_ERR(page)) throw new Error(page.message);
    const late = async (): Promise<void> => {
      await Promise.resolve();
      put_user_page(page as never);
    };
    // eslint-disable-next-line @typescript-eslint/await-thenable
    await expect(late).toReport("page-to-put_user_page");
    put_page(page);
  });
  test("of what can be waited for, and is no Promise", async ({ current }) => {
    const page = alloc_page(current);
    if (IS_ERR(page)) throw new Error(page.message);
    const late = () => ({
      then(done: (value: number) => void, failed: (reason: unknown) => void) {
        setTimeout(() => {
          try {
            put_user_page(page as never);
            done(1);
          } catch (reason) {
            failed(reason);
          }
        }, 5);
      },
    });
    // eslint-disable-next-line @typescript-eslint/await-thenable
    await expect(late).toReport("page-to-put_user_page");
    put_page(page);
  });
  const goes_on = test.extend({ machine_options: { panic_on_warn: false } });
  goes_on("of a machine that goes on: what was expected fails no test", ({ machine, current }) => {
    const page = alloc_page(current);
    if (IS_ERR(page)) throw new Error(page.message);
    const alias = page;
    put_page(page);
    expect(() => put_page(alias)).toReport("double-release");
    expect(machine).not.toReport("double-release"); // it was taken off the list
    const other = alloc_page(current);
    if (IS_ERR(other)) throw new Error(other.message);
    put_user_page(other as never);
    expect(machine).toReport("page-to-put_user_page");
    expect(misuse_reports(machine).length).toBeGreaterThan(1);
  });
  test("of a machine that is not the test's", () => {
    using own = boot({ CONFIG_DEBUG_USER_PAGE_REFERENCES: true, panic_on_warn: false });
    const page = alloc_page(create_task(own));
    if (IS_ERR(page)) throw new Error(page.message);
    put_user_page(page as never);
    expect(own).toReport("page-to-put_user_page");
    expect(own).not.toReport("page-to-put_user_page");
  });
  test("wrong questions are refused", ({ machine }) => {
    expect(() => expect(machine).toReport("no-such-id" as never)).toThrow(
      /there is no misuse "no-such-id"/,
    );
    expect(() => expect(5).toReport("leak")).toThrow(
      /takes a function that misuses the API, or a machine/,
    );
    expect(() => expect("x").toBeBalanced()).toThrow(/takes a running machine/);
  });
});
test("a machine that was shut down is not shut down again", ({ machine }) => {
  expect(shutdown(machine).lost_pages).toBe(0);
  expect(() => vmstat(machine)).toReport("not-a-handle");
});
test("released as it should be", ({ current, world }) => {
  const bvecs = get_user_bvec(current, world.buf, 4096, ITER_DEST);
  if (!IS_ERR(bvecs)) put_user_bvec(bvecs);
});
