/** One machine, or eight of which four are observed: what is timed are the ones that are not. */
import {
  boot,
  create_task,
  get_page,
  IS_ERR,
  page_to_user_page,
  put_page,
  put_user_page,
  type OwnedPage,
} from "user-page";
import type { Workload } from "../serve.js";
import {
  check_counts,
  check_pins,
  consecutive_pages,
  kept_pages,
  page_at as page_at_,
  user_page_at as user_page_at_,
  WINDOW as WINDOW_,
  word,
} from "./common.js";

// What is imported is read again at each use; the calls that are measured pay that, the rest should not.
const page_at = page_at_;
const user_page_at = user_page_at_;
const WINDOW = WINDOW_;

const LOG2 = 20;

/** Machines that are observed, each with what a round of calls on it does. */
function observed_machines(): Array<() => void> {
  return (["tags", "owners", "owners", true] as const).map((level) => {
    const machine = boot({ CONFIG_DEBUG_USER_PAGE_REFERENCES: level });
    const pages = kept_pages(create_task(machine), 16);
    return () => {
      const held: OwnedPage[] = pages.map((page) => get_page(page));
      for (const page of held) put_page(page);
      for (const page of pages) {
        const pin = page_to_user_page(page);
        if (IS_ERR(pin)) throw new Error(pin.message);
        put_user_page(pin);
      }
    };
  });
}

/** `<one|eight> <get|pin> <seq|rand>`: 2^20 pages in either case */
export function machines(args: readonly string[]): Workload {
  const eight = word(args[0], "one", "eight") === "eight";
  const pins = word(args[1], "get", "pin") === "pin";
  const seq = word(args[2], "seq", "rand") === "seq";
  const nr = 2 ** (eight ? LOG2 - 2 : LOG2);
  const plain = Array.from({ length: eight ? 4 : 1 }, () => consecutive_pages(nr));
  const observed = eight ? observed_machines() : [];
  // Both cases look the first page of a range up: one machine is four ranges of itself.
  const quarter = LOG2 - 2;
  const first = Int32Array.from({ length: 4 }, (_, i) =>
    eight ? plain[i]!.first : plain[0]!.first + (i << quarter),
  );
  const pfns = new Int32Array(WINDOW);
  let seed = 12345;
  /** Which pages the next window takes: the same small work in both cases. */
  const window = (): void => {
    let y = seed | 0;
    for (let j = 0; j < WINDOW; j++) {
      y = seq ? (y + 1) & (2 ** LOG2 - 1) : (Math.imul(y, 1664525) + 1013904223) | 0;
      const n = seq ? y : y >>> (32 - LOG2);
      pfns[j] = first[n >>> quarter]! + (n & (2 ** quarter - 1));
    }
    seed = y;
  };
  const get_window = (): void => {
    for (let j = 0; j < WINDOW; j++) get_page(page_at(pfns[j]!));
    for (let j = 0; j < WINDOW; j++) put_page(page_at(pfns[j]!));
  };
  const pin_window = (): void => {
    for (let j = 0; j < WINDOW; j++) {
      if (IS_ERR(page_to_user_page(page_at(pfns[j]!)))) throw new Error("no pin");
    }
    for (let j = 0; j < WINDOW; j++) put_user_page(user_page_at(pfns[j]!));
  };
  return {
    before() {
      for (const run of observed) run();
    },
    chunk(windows) {
      for (let w = 0; w < windows; w++) {
        window();
        if (pins) pin_window();
        else get_window();
      }
    },
    per_window: WINDOW,
    check() {
      for (const { machine, first: from } of plain) {
        check_counts(Array.from({ length: 4096 }, (_, i) => page_at(from + i * (nr / 4096))));
        check_pins(machine, pins);
      }
    },
  };
}
