/** The matchers: toReport, toBeBalanced, toHavePins. */
import {
  folio_order,
  folio_pincount,
  folio_ref_count,
  format_leaks,
  format_report,
  GUP_PIN_COUNTING_BIAS,
  leaks,
  MISUSE,
  page_folio,
  vmstat,
  type BorrowedBvec,
  type BorrowedFolio,
  type BorrowedUserPage,
  type LeakReport,
  type Machine,
  type MisuseId,
  type MisuseReport,
} from "user-page";
import { from_here, is_machine, misuses_in, take, unexpected, watched } from "./machines.js";

interface Result {
  readonly pass: boolean;
  readonly message: () => string;
}

// --- toReport -----------------------------------------------------------------------------------------------
function judge(id: MisuseId, found: readonly MisuseReport[], what: string): Result {
  const pass = found.some((report) => report.id === id);
  const all = from_here(found.map(format_report).join("\n\n"));
  return {
    pass,
    message: () =>
      pass
        ? `expected ${what} not to report [${id}], and it was reported:\n\n${all}`
        : found.length === 0
          ? `expected ${what} to report [${id}] (${MISUSE[id].sentence}), and nothing was reported`
          : `expected ${what} to report [${id}], and this was reported:\n\n${all}`,
  };
}
/** What vitest knows of who asks. */
interface Asked {
  readonly task?: unknown;
}
/**
 * The machines that a function which was waited for may have misused: those of its test, as others ran meanwhile.  null where
 * vitest does not know the test: a concurrent one that asks with the `expect` of all tests.
 */
function own_machines({ task }: Asked): Machine[] | null {
  if (typeof task !== "object" || task === null) return null;
  const { concurrent, context } = task as { concurrent?: boolean; context?: object };
  // vitest makes the `expect` of a test when it is asked for.
  if (concurrent && context && Reflect.get(context, "_local") === false) return null;
  return watched(task);
}
type Reports = ReadonlyMap<Machine, readonly MisuseReport[]>;
const reports_now = (): Reports =>
  new Map(watched().map((machine) => [machine, unexpected(machine)]));
const new_since = (before: Reports, of: readonly Machine[]): MisuseReport[] =>
  of.flatMap((machine) =>
    unexpected(machine).filter((report) => !before.get(machine)?.includes(report)),
  );
function thrown(error: unknown): MisuseReport[] {
  const reports = misuses_in(error);
  // Another exception is no answer to the question.
  if (reports.length === 0) throw error;
  return reports;
}
/**
 * The answer; what was asked for is taken off the list, and with it what ended the function: on a machine that goes on, one
 * mistake may be reported, and what comes of it be thrown.
 */
function answer(
  id: MisuseId,
  ended: readonly MisuseReport[],
  others: readonly MisuseReport[],
  what: string,
): Result {
  const found = [...new Set([...ended, ...others])];
  const asked = found.filter((report) => report.id === id);
  for (const report of asked) take(report);
  if (asked.length > 0) for (const report of ended) take(report);
  return judge(id, found, what);
}
const is_thenable = (value: unknown): value is PromiseLike<unknown> =>
  ((typeof value === "object" && value !== null) || typeof value === "function") &&
  typeof Reflect.get(value, "then") === "function";
async function later(
  asked: Asked,
  id: MisuseId,
  before: Reports,
  returned: PromiseLike<unknown>,
): Promise<Result> {
  let reports: MisuseReport[] = [];
  try {
    await returned;
  } catch (error) {
    reports = thrown(error);
  }
  const own = own_machines(asked);
  // What it threw is its own in any case.
  if (own === null && reports.length === 0) {
    throw new TypeError(
      "toReport(): in a concurrent test take `expect` from the context of the test: " +
        "nobody else knows which test waits here, and whose reports these are",
    );
  }
  return answer(id, reports, new_since(before, own ?? []), "the function");
}
function to_report(this: Asked, received: unknown, id: MisuseId): Result | Promise<Result> {
  if (!Object.hasOwn(MISUSE, id)) {
    throw new TypeError(
      `toReport(): there is no misuse ${JSON.stringify(id)}; npx user-page explain lists them`,
    );
  }
  if (is_machine(received)) return answer(id, [], unexpected(received), "the machine");
  if (typeof received !== "function") {
    throw new TypeError("toReport() takes a function that misuses the API, or a machine");
  }
  const before = reports_now();
  let reports: MisuseReport[] = [];
  try {
    const returned: unknown = (received as () => unknown)();
    if (is_thenable(returned)) return later(this, id, before, returned);
  } catch (error) {
    reports = thrown(error);
  }
  // Nothing else ran meanwhile.
  return answer(id, reports, new_since(before, watched()), "the function");
}

// --- toBeBalanced, toHavePins ---------------------------------------------------------------------------------
const pins_of = (machine: Machine): number => {
  const { nr_foll_pin_acquired, nr_foll_pin_released } = vmstat(machine);
  return nr_foll_pin_acquired - nr_foll_pin_released;
};
const listed = (held: LeakReport): string =>
  held.count > 0
    ? from_here(format_leaks(held))
    : 'debug mode lists what is held, at level "owners" or true; this machine does not';

function to_be_balanced(received: unknown): Result {
  if (!is_machine(received)) throw new TypeError("toBeBalanced() takes a running machine");
  const held = leaks(received);
  const pins = pins_of(received);
  const pass = held.count === 0 && pins === 0;
  return {
    pass,
    message: () =>
      pass
        ? "expected the machine to hold something, and it holds nothing"
        : pins < 0
          ? `expected the machine to hold nothing, and ${-pins} pins more were released than taken`
          : `expected the machine to hold nothing (${pins} pins), and ${listed(held)}`,
  };
}
const PINS: readonly string[] = ["user_page", "bvec", "bvec_list"];
/** Of what a machine holds, the pins. */
function pins_in({ groups }: LeakReport): LeakReport {
  const kept = groups.filter(({ kind }) => PINS.includes(kind));
  const sum = (of: (group: (typeof kept)[number]) => number): number =>
    kept.reduce((total, group) => total + of(group), 0);
  return { count: sum(({ count }) => count), bytes: sum(({ bytes }) => bytes), groups: kept };
}
function pins_on(folio: BorrowedFolio): number {
  return folio_order(folio) > 0
    ? folio_pincount(folio)
    : Math.floor(folio_ref_count(folio) / GUP_PIN_COUNTING_BIAS);
}
interface Pinned {
  readonly pins: number;
  readonly what: string;
  /** the machines that are asked who has them */
  readonly machines: readonly Machine[];
}
/** Pages and folios are numbers, and of extents the page says which folio it is. */
function pinned(received: unknown): Pinned {
  if (is_machine(received)) {
    return { pins: pins_of(received), what: "the machine", machines: [received] };
  }
  const is_extent = typeof received === "object" && received !== null && "page" in received;
  const page = is_extent ? (received as BorrowedBvec).page : (received as BorrowedUserPage);
  const folio = page_folio(page);
  const pages = 1 << folio_order(folio);
  const what = pages === 1 ? "the page" : `the folio of ${pages} pages`;
  return { pins: pins_on(folio), what, machines: watched() };
}
function to_have_pins(received: unknown, nr: number): Result {
  const { pins, what, machines } = pinned(received);
  const pass = pins === nr;
  return {
    pass,
    message: () => {
      const held = machines
        .map((machine) => pins_in(leaks(machine)))
        .filter(({ count }) => count > 0);
      const list = held.length === 0 ? "" : `; of all pins ${held.map(listed).join("\n")}`;
      return `expected ${what} ${pass ? "not " : ""}to have ${nr} pins, and it has ${pins}${list}`;
    },
  };
}
export const matchers: {
  readonly toReport: (this: Asked, received: unknown, id: MisuseId) => Result | Promise<Result>;
  readonly toBeBalanced: (received: unknown) => Result;
  readonly toHavePins: (received: unknown, nr: number) => Result;
} = {
  toReport: to_report,
  toBeBalanced: to_be_balanced,
  toHavePins: to_have_pins,
};
