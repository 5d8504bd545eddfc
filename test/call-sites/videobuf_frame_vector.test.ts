/** A frame in user memory: camera and display, the short pin that stays or does not, and the two phases. */
import {
  copy_from_user,
  create_task,
  mprotect,
  munmap,
  PAGE_SIZE,
  PROT_READ,
  user_ptr_add,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/videobuf_frame_vector/converted.js";
import * as legacy from "../../call-sites/videobuf_frame_vector/legacy.js";
import {
  boot_for_test,
  boot_plain,
  debug_mode,
  fill_pattern,
  map_anon,
  pattern_of,
} from "../fixtures.js";
import {
  bytes_in,
  dirty,
  dma_read,
  dma_write,
  errno_name,
  left_over,
  misuse_of,
  NOTHING,
  pfns_of,
  pins,
} from "./device.js";

const SIZE = 5 * PAGE_SIZE - 700;
function bench(boot = boot_for_test) {
  const machine = boot();
  const current = create_task(machine);
  const base = map_anon(current, 5 * PAGE_SIZE);
  fill_pattern(current, base, 5 * PAGE_SIZE);
  return { machine, current, base, addr: user_ptr_add(base, 200) };
}

describe.each([
  ["legacy", legacy.FrameVector],
  ["converted", converted.FrameVector],
] as const)("%s", (name, FrameVector) => {
  const pinned = name === "converted";

  test("a camera writes the frame", () => {
    const { machine, current, addr } = bench();
    const frame = new FrameVector(true);
    expect(errno_name(frame.init_user(current, addr, SIZE))).toBeNull();
    expect(pins(machine)).toEqual(pinned ? [5, 0] : [0, 0]);
    const { sg } = frame;
    expect(bytes_in(sg)).toBe(SIZE);
    dma_write(machine, sg, pattern_of(SIZE, 3));
    frame.free(current);
    frame.free(current);
    expect(dirty(pfns_of(sg))).toEqual([true, true, true, true, true]);
    const now = new Uint8Array(SIZE);
    copy_from_user(current, now, addr)._unsafeUnwrap();
    expect(now).toEqual(pattern_of(SIZE, 3));
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("a display reads the frame, of read-only memory", () => {
    const { machine, current, base, addr } = bench();
    mprotect(current, base, 5 * PAGE_SIZE, PROT_READ)._unsafeUnwrap();
    const frame = new FrameVector(false);
    expect(errno_name(frame.init_user(current, addr, SIZE))).toBeNull();
    const { sg } = frame;
    expect(dma_read(machine, sg)).toEqual(pattern_of(5 * PAGE_SIZE).slice(200, 200 + SIZE));
    frame.free(current);
    expect(dirty(pfns_of(sg))).toEqual([false, false, false, false, false]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test.each([0, 3])("a hole after %d pages: an error, and after free() nothing is held", (good) => {
    const { machine, current, base, addr } = bench();
    munmap(current, user_ptr_add(base, good * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const frame = new FrameVector(true);
    const error = errno_name(frame.init_user(current, addr, SIZE));
    expect(error).toBe(good > 0 && !pinned ? "EINVAL" : "EFAULT");
    frame.free(current);
    const [acquired, released] = pins(machine);
    expect(released).toBe(acquired);
    expect(left_over(machine)).toEqual(NOTHING);
  });
});

test("the hazard: an error taken for 'nothing is held' leaves the short pin in the struct", () => {
  const { machine, current, base, addr } = bench();
  munmap(current, user_ptr_add(base, 3 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
  const frame = new legacy.FrameVector(true);
  const error = legacy.start_streaming_forgets_to_free(current, frame, addr, SIZE);
  expect(errno_name(error)).toBe("EINVAL");
  expect(left_over(machine)).toEqual({ leaks: debug_mode ? 3 : 0, lost_pages: 3 });
});
test("the same, converted: an error, and nobody has to know", () => {
  const { machine, current, base, addr } = bench();
  munmap(current, user_ptr_add(base, 3 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
  const frame = new converted.FrameVector(true);
  expect(errno_name(frame.init_user(current, addr, SIZE))).toBe("EFAULT");
  expect(left_over(machine)).toEqual(NOTHING);
});
test("the hazard: as many are put as were asked for; the machine stops at what is no page", () => {
  const { machine, current, base, addr } = bench();
  munmap(current, user_ptr_add(base, 3 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
  const frame = new legacy.FrameVector(true);
  frame.init_user(current, addr, SIZE);
  expect(misuse_of(() => legacy.free_what_was_asked_for(frame, 5))).toBe("not-a-handle");
  expect(left_over(machine)).toEqual(NOTHING);
});
test("the hazard: the second phase first; debug mode reports the use after the release", () => {
  const { machine, current, addr } = bench();
  const frame = new legacy.FrameVector(true);
  frame.init_user(current, addr, SIZE);
  const found = misuse_of(() => frame.free_puts_first(current));
  expect(found).toBe(debug_mode ? "use-after-release" : null);
  expect(left_over(machine)).toEqual(NOTHING);
});
test("and without debug mode, if the program unmapped the frame: free pages are marked dirty", () => {
  const { machine, current, base, addr } = bench(boot_plain);
  const frame = new legacy.FrameVector(true);
  frame.init_user(current, addr, SIZE);
  const pfns = pfns_of(frame.sg);
  munmap(current, base, 5 * PAGE_SIZE)._unsafeUnwrap();
  frame.free_puts_first(current);
  expect(dirty(pfns)).toEqual([true, true, true, true, true]);
  expect(left_over(machine)).toEqual(NOTHING);
});
