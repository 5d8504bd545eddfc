// Tests that fail: test/vitest_entry/failures.test.ts runs them and reads what is said.
import {
  alloc_page,
  bio_alloc_pinned,
  bio_set_end_io,
  get_user_bvec,
  get_user_page,
  IS_ERR,
  ITER_DEST,
  leaks,
  put_page,
  put_user_page,
  shutdown,
  submit_bio,
  type OwnedPage,
  type Page,
} from "user-page";
import { describe } from "vitest";
import { expect, test } from "../../../vitest/index.js";

const release_twice = (page: OwnedPage): void => {
  const alias = page;
  put_page(page);
  put_page(alias);
};
test("leaks", ({ current, world }) => {
  get_user_page(current, world.buf, ITER_DEST); // LINE leaks
});
test("releases twice", ({ current, world }) => {
  const page = get_user_page(current, world.buf, ITER_DEST);
  if (IS_ERR(page)) return;
  const alias = page;
  put_user_page(page);
  put_user_page(alias); // LINE releases twice
});
const goes_on = test.extend({ machine_options: { panic_on_warn: false } });
goes_on("is recorded", ({ current }) => {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  put_user_page(page as never); // LINE is recorded
});
goes_on("is recorded, and then fails", ({ current }) => {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  const alias = page;
  put_page(page);
  put_page(alias); // the machine sees that the page is free, and stops
});
const blind = test.extend({ machine_options: { CONFIG_DEBUG_USER_PAGE_REFERENCES: false } });
blind("is lost", ({ current, world }) => {
  const page = get_user_page(current, world.buf, ITER_DEST);
  if (!IS_ERR(page)) put_page(page as unknown as Page);
});
blind("is lost beside a misuse that was meant", ({ current, world }) => {
  const pin = get_user_page(current, world.buf, ITER_DEST);
  if (!IS_ERR(pin)) put_page(pin as unknown as Page);
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  expect(() => release_twice(page)).toReport("page-is-free");
});
test("misuses in the end", ({ world }) => {
  const bio = bio_alloc_pinned(world.disk, 1, "REQ_OP_READ");
  bio_set_end_io(bio, (ended) => {
    submit_bio(ended as never); // LINE misuses in the end
  });
  submit_bio(bio);
});
test("fails by itself", ({ current, world }) => {
  get_user_page(current, world.buf, ITER_DEST);
  expect("own failure").toBe("another"); // LINE fails by itself
});
test("comes after", ({ machine }) => {
  expect(leaks(machine).count).toBe(0);
  expect(machine).toBeBalanced();
});
test("has shut down itself", ({ machine, current }) => {
  alloc_page(current);
  expect(shutdown(machine).leaks).toHaveLength(1);
});
test("expects balance", ({ machine, current, world }) => {
  using bvecs = get_user_bvec(current, world.buf, 8192, ITER_DEST); // HELD expects balance
  void bvecs;
  expect(machine).toBeBalanced(); // LINE expects balance
});
test("expects no balance", ({ machine }) => {
  expect(machine).not.toBeBalanced(); // LINE expects no balance
});
test("counts pins", ({ current, world }) => {
  using page = get_user_bvec(current, world.buf, 4096, ITER_DEST); // HELD counts pins
  if (IS_ERR(page)) return;
  for (const bvec of page) expect(bvec).toHavePins(2); // LINE counts pins
});
test("expects another report", ({ current }) => {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  const release = (): void => put_user_page(page as never);
  expect(release).toReport("double-release"); // LINE expects another report
});
test("expects a report", () => {
  expect(() => 0).toReport("leak"); // LINE expects a report
});
test("expects no such report", ({ current }) => {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  const release = (): void => put_user_page(page as never);
  expect(release).not.toReport("page-to-put_user_page"); // LINE expects no such report
});
test("throws something else", () => {
  const fail = (): never => {
    throw new Error("no misuse"); // LINE throws something else
  };
  expect(fail).toReport("leak");
});
test("swallows it", ({ current }) => {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  try {
    release_twice(page); // as a library that catches everything
  } catch {
    return;
  }
});
test("swallows it, and shuts down itself", ({ machine, current }) => {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  expect(() => release_twice(page)).toThrow("double-release");
  shutdown(machine);
});
test("expects another than it swallows", ({ current }) => {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  expect(() => release_twice(page)).not.toReport("leak");
});
const ticks = async (n: number): Promise<void> => {
  for (let i = 0; i < n; i++) await Promise.resolve();
};
const pause = (ms: number): Promise<unknown> => new Promise((done) => setTimeout(done, ms));
goes_on.concurrent("expects its own", async ({ expect: mine, current }) => {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  // eslint-disable-next-line @typescript-eslint/await-thenable
  await mine(async () => {
    await pause(100);
    put_user_page(page as never);
    await pause(100);
  }).toReport("page-to-put_user_page");
});
goes_on.concurrent("has its own, which nobody expects", async ({ current }) => {
  await pause(50);
  const page = alloc_page(current);
  if (!IS_ERR(page)) put_user_page(page as never);
  await pause(400); // longer than the other one waits
});
goes_on.concurrent("asks with the expect of all tests", async ({ current }) => {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  // eslint-disable-next-line @typescript-eslint/await-thenable
  await expect(async () => {
    await ticks(3);
    put_user_page(page as never);
  }).toReport("page-to-put_user_page");
});
describe("in $(exit 1) `exit 2` \"a\" 'b'", () => {
  describe.each([["c!d"]])("%s (x)", () => {
    test.for([["1+1", 2]] as const)("costs $5.0 [%s] = %d\n?\\", (_, { machine }) => {
      expect(machine).not.toBeBalanced();
    });
    test.for([["1+1", 2]] as const)("costs $5.0 [%s] = %d\n?\\ too", (_, { machine, current }) => {
      expect(machine).toBeBalanced();
      const page = alloc_page(current);
      if (!IS_ERR(page)) release_twice(page);
    });
  });
});
