/** Disks that cannot be had, and what the machine keeps of those that were. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as api from "user-page";
import { afterAll, expect, test } from "vitest";
import { machine_state } from "../../src/machine/machine.js";
import { boot_for_test, errno_of, must } from "../fixtures.js";

const folder = mkdtempSync(join(tmpdir(), "user-page-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

test("what is no file, is not there or is empty is refused with the errno that says so", () => {
  using machine = boot_for_test({ mem: 4 << 20 });
  const empty = join(folder, "empty");
  writeFileSync(empty, "");
  expect(errno_of(api.loop_configure(machine, folder, api.LO_FLAGS_READ_ONLY))).toBe("EINVAL");
  expect(errno_of(api.loop_configure(machine, empty))).toBe("EINVAL");
  expect(errno_of(api.loop_configure(machine, join(folder, "nothing")))).toBe("ENOENT");
});
test("a RAM disk larger than the host can give is ENOMEM", () => {
  using machine = boot_for_test({ mem: 4 << 20 });
  expect(errno_of(api.brd_alloc(machine, 2 ** 46))).toBe("ENOMEM");
});
test("what is closed, unmapped or exited leaves nothing for the end of the machine", () => {
  using machine = boot_for_test({ mem: 4 << 20 });
  const state = machine_state(machine);
  const before = state.at_exit.size;
  const current = api.create_task(machine);
  must(api.brd_alloc(machine, 512))[Symbol.dispose]();
  must(api.memfd_create(current, 4096))[Symbol.dispose]();
  const flags = api.MAP_SHARED | api.MAP_ANONYMOUS;
  const buf = api.mmap(current, null, 4096, api.PROT_READ, flags)._unsafeUnwrap();
  api.munmap(current, buf, 4096)._unsafeUnwrap();
  api.exit_task(current);
  expect(state.at_exit.size).toBe(before);
});
