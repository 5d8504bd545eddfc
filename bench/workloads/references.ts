/** get_page() and put_page(), or a pin and its release, of one page at a time. */
import { get_page, IS_ERR, page_to_user_page, put_page, put_user_page } from "user-page";
import type { Workload } from "../serve.js";
import {
  check_counts,
  check_pins,
  consecutive_pages,
  page_at as page_at_,
  user_page_at as user_page_at_,
  WINDOW as WINDOW_,
  word,
} from "./common.js";

// What is imported is read again at each use, and what several functions share is no int32 to the optimizer until `| 0`
// says so: the calls that are measured pay what they cost, the loops around them should cost nothing.
const page_at = page_at_;
const user_page_at = user_page_at_;
const WINDOW = WINDOW_;

function refs_seq(first: number, nr: number): (windows: number) => void {
  let position = 0;
  return (windows) => {
    for (let w = 0; w < windows; w++) {
      const from = (first + position) | 0;
      for (let j = 0; j < WINDOW; j++) get_page(page_at(from + j));
      for (let j = 0; j < WINDOW; j++) put_page(page_at(from + j));
      position = (position + WINDOW) & (nr - 1);
    }
  };
}
function pins_seq(first: number, nr: number): (windows: number) => void {
  let position = 0;
  return (windows) => {
    for (let w = 0; w < windows; w++) {
      const from = (first + position) | 0;
      for (let j = 0; j < WINDOW; j++) {
        if (IS_ERR(page_to_user_page(page_at(from + j)))) throw new Error("no pin");
      }
      for (let j = 0; j < WINDOW; j++) put_user_page(user_page_at(from + j));
      position = (position + WINDOW) & (nr - 1);
    }
  };
}
/** The next number of a linear congruential generator, whose upper bits are used. */
const next = (y: number): number => (Math.imul(y, 1664525) + 1013904223) | 0;

function refs_rand(first_: number, shift_: number): (windows: number) => void {
  let seed = 12345;
  return (windows) => {
    const first = first_ | 0;
    const shift = shift_ | 0;
    for (let w = 0; w < windows; w++) {
      let y = seed | 0;
      for (let j = 0; j < WINDOW; j++) get_page(page_at(first + ((y = next(y)) >>> shift)));
      y = seed | 0;
      for (let j = 0; j < WINDOW; j++) put_page(page_at(first + ((y = next(y)) >>> shift)));
      seed = y;
    }
  };
}
function pins_rand(first_: number, shift_: number): (windows: number) => void {
  let seed = 12345;
  return (windows) => {
    const first = first_ | 0;
    const shift = shift_ | 0;
    for (let w = 0; w < windows; w++) {
      let y = seed | 0;
      for (let j = 0; j < WINDOW; j++) {
        y = next(y);
        if (IS_ERR(page_to_user_page(page_at(first + (y >>> shift))))) throw new Error("no pin");
      }
      y = seed | 0;
      for (let j = 0; j < WINDOW; j++)
        put_user_page(user_page_at(first + ((y = next(y)) >>> shift)));
      seed = y;
    }
  };
}

/** `<get|pin> <seq|rand> <log2 of pages>` */
export function references(args: readonly string[]): Workload {
  const pins = word(args[0], "get", "pin") === "pin";
  const seq = word(args[1], "seq", "rand") === "seq";
  const log2 = Number(args[2]);
  const nr = 2 ** log2;
  const { machine, first } = consecutive_pages(nr);
  const chunk = seq
    ? (pins ? pins_seq : refs_seq)(first, nr)
    : (pins ? pins_rand : refs_rand)(first, 32 - log2);
  return {
    chunk,
    per_window: WINDOW,
    check() {
      check_counts(Array.from({ length: 4096 }, (_, i) => page_at(first + i * (nr / 4096))));
      check_pins(machine, pins);
    },
  };
}
