/** A wrong value is refused with a sentence, whatever it is and wherever it is given, and no count changes. */
import * as api from "user-page";
import { afterEach, describe, expect, test } from "vitest";
import { changes, debug_mode, forced, snapshot } from "../fixtures.js";
import { BAD, EXEMPT, locks, make_bench, RELEASED, released_page, TABLE } from "./bad_input.js";

const functions = new Map(
  Object.entries(api).filter((entry): entry is [string, () => void] => {
    return typeof entry[1] === "function";
  }),
);
/** In Linux these give an answer about any memory, or use it: a handle that was released is told by its count alone. */
const USES_WHAT_IS_FREE =
  /^(memcpy|page_|folio_|is_zero|(__)?bio_(try_)?add|set_page_dirty|unpin_user_page_range|pages_)/;

/** They begin with arithmetic on the handle, and what is none and no number either ends there: the engine throws. */
const BY_ARITHMETIC = /^((get|put)_page|page_to_user_page|(put|unpin)_user_page)$/;

function outcome(call: () => unknown): string {
  let got: unknown;
  try {
    got = call();
  } catch (error) {
    if (error instanceof api.MisuseError || error instanceof RangeError) return "refused";
    return `threw ${String(error)}`;
  }
  if (typeof got === "object" && got !== null && "isErr" in got) {
    return (got as { isErr(): boolean }).isErr() ? "refused" : "accepted";
  }
  if (got === null || got === false || api.IS_ERR(got)) return "refused";
  if (typeof got === "number" && got < 0) return "refused";
  if (api.IS_SHORT(got) && (got as api.ShortPin).partial.length === 0) return "refused";
  return "accepted";
}
function shown(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  return value instanceof Object ? value.constructor.name : "an object without a prototype";
}

afterEach(() => {
  for (const lock of locks.splice(0)) lock[Symbol.dispose]();
});

test("every public function has a row", () => {
  expect([...functions.keys()].sort()).toEqual([...Object.keys(TABLE), ...EXEMPT].sort());
});

describe.each(Object.keys(TABLE))("%s()", (name) => {
  const [args_of, ...kinds] = TABLE[name]!;
  test("refuses what is wrong, and changes nothing", () => {
    const b = make_bench(debug_mode);
    const wrong: string[] = [];
    kinds.forEach((kind, index) => {
      for (const value of BAD[kind]!(b)) {
        const args = args_of(b);
        args[index] = value === RELEASED ? released_page(b) : value;
        const before = snapshot(b.machine);
        const how = outcome(() => forced(functions.get(name)!)(...args));
        if (BY_ARITHMETIC.test(name) && how.startsWith("threw TypeError: Cannot")) continue;
        const lenient = value === RELEASED && !debug_mode && USES_WHAT_IS_FREE.test(name);
        const what = `${name}: argument ${index} = ${shown(value)}`;
        if (how !== "refused" && !(lenient && how.startsWith("accepted"))) {
          wrong.push(`${what} ${how}`);
        }
        // Writing through a handle that was released may mark the free page.
        const changed = changes(before, snapshot(b.machine), value !== RELEASED);
        if (changed.length > 0) wrong.push(`${what} changed ${changed.join()}`);
        for (const lock of locks.splice(0)) lock[Symbol.dispose]();
      }
    });
    b.machine[Symbol.dispose]();
    expect(wrong).toEqual([]);
  });
});
