/** Which variants are compared, and what each ratio must be. */
import { join } from "node:path";
import { direct } from "./direct_io.js";
import { compare, ratio, type Effort, type Ratio, type Variant } from "./driver.js";
import { at_least, at_most, type Goal, type Row } from "./table.js";
import { type_cost, type Shape } from "./type_cost.js";

export interface Bench {
  /** the package */
  readonly root: string;
  /** temporary files */
  readonly into: string;
  /** our programs, and their copy without debug mode */
  readonly programs: string;
  readonly programs_without_debug: string;
  /** null where there is no compiler */
  readonly c: Record<"references" | "gup", string> | null;
  readonly effort: Effort;
  readonly type_rounds: number;
  readonly type_shapes: readonly Shape[];
}

const js = (programs: string, ...args: string[]): Variant => ({
  command: process.execPath,
  args: [join(programs, "variant.js"), ...args],
});

const OPERATIONS = { get: "get_page, put_page", pin: "page_to_user_page, put_user_page" } as const;
const PATTERNS = { seq: "in order", rand: "at random" } as const;

async function references({ programs, c, effort }: Bench): Promise<Row[]> {
  if (c === null) return [];
  const same: Row[] = [];
  const linux: Row[] = [];
  for (const log2 of ["20", "24"]) {
    for (const op of ["get", "pin"] as const) {
      for (const pattern of ["seq", "rand"] as const) {
        const how = [op, pattern, log2];
        const ns = await compare(
          {
            js: js(programs, "references", ...how),
            same: { command: c.references, args: ["memdesc", ...how] },
            linux: { command: c.references, args: ["linux", ...how] },
          },
          effort,
        );
        const what = `${OPERATIONS[op]}, 2^${log2} pages ${PATTERNS[pattern]}`;
        same.push({
          section: "same",
          what: `${what} ÷ C, same layout`,
          ratio: ratio(ns.js, ns.same),
          goal: at_most(1.5),
        });
        linux.push({
          section: "linux",
          what: `${what} ÷ C, Linux's layout`,
          ratio: ratio(ns.js, ns.linux),
          goal: at_most(pattern === "seq" ? 0.35 : 1),
        });
      }
    }
  }
  return [...same, ...linux];
}

async function batches({ programs, c, effort }: Bench): Promise<Row[]> {
  const ours = {
    number: js(programs, "batch", "number", "off"),
    result: js(programs, "batch", "result", "off"),
  };
  const row = (what: string, ratio: Ratio, goal: Goal): Row => ({
    section: "batch",
    what,
    ratio,
    goal,
  });
  const of_result = "the same with a Result ÷ with a number";
  if (c === null) {
    const ns = await compare(ours, effort);
    return [row(of_result, ratio(ns.result, ns.number), at_most(1.05))];
  }
  const ns = await compare({ ...ours, c: { command: c.gup, args: [] } }, effort);
  return [
    row("pin_user_pages_fast(512), put_user_pages ÷ C", ratio(ns.number, ns.c), at_most(1.8)),
    row(of_result, ratio(ns.result, ns.number), at_most(1.05)),
  ];
}

async function extents({ programs, effort }: Bench): Promise<Row[]> {
  const two_mib = await compare(
    {
      extent: js(programs, "extents", "extent"),
      pages: js(programs, "extents", "pages"),
      batch: js(programs, "extents", "batch"),
    },
    effort,
  );
  const gib = await compare(
    { huge: js(programs, "extents", "gib_huge"), small: js(programs, "extents", "gib_small") },
    effort,
  );
  const row = (what: string, ratio: Ratio, goal: Goal | null): Row => ({
    section: "extents",
    what,
    ratio,
    goal,
  });
  return [
    row(
      "2 MiB: 512 get_user_page ÷ get_user_bvec",
      ratio(two_mib.pages, two_mib.extent),
      at_least(100),
    ),
    row(
      "2 MiB: pin_user_pages_fast(512) ÷ get_user_bvec",
      ratio(two_mib.batch, two_mib.extent),
      null,
    ),
    row(
      "1 GiB by get_user_bvec: 4 KiB pages ÷ huge pages",
      ratio(gib.small, gib.huge),
      at_least(400),
    ),
  ];
}

async function debug({ programs, programs_without_debug, effort }: Bench): Promise<Row[]> {
  const rows: Row[] = [];
  const workloads = {
    "512-page batch": ["batch", "number"],
    "get_page, put_page": ["single"],
  };
  for (const [what, args] of Object.entries(workloads)) {
    const ns = await compare(
      {
        removed: js(programs_without_debug, ...args, "off"),
        off: js(programs, ...args, "off"),
        tags: js(programs, ...args, "tags"),
        owners: js(programs, ...args, "owners"),
        stacks: js(programs, ...args, "true"),
      },
      effort,
    );
    const row = (level: string, ratio: Ratio, goal: Goal | null): Row => ({
      section: "debug",
      what: `debug mode ${level}: ${what}`,
      ratio,
      goal,
    });
    rows.push(
      row("off ÷ not there", ratio(ns.off, ns.removed), at_most(1.05)),
      row('"tags" ÷ off', ratio(ns.tags, ns.off), at_most(1.15)),
      row('"owners" ÷ off', ratio(ns.owners, ns.off), at_most(1.4)),
      row("with stacks ÷ off", ratio(ns.stacks, ns.off), null),
    );
  }
  return rows;
}

async function machines({ programs, effort }: Bench): Promise<Row[]> {
  const rows: Row[] = [];
  for (const op of ["get", "pin"] as const) {
    for (const pattern of ["seq", "rand"] as const) {
      const ns = await compare(
        {
          eight: js(programs, "machines", "eight", op, pattern),
          one: js(programs, "machines", "one", op, pattern),
        },
        effort,
      );
      rows.push({
        section: "machines",
        what: `eight machines, four observed ÷ one: ${OPERATIONS[op]} ${PATTERNS[pattern]}`,
        ratio: ratio(ns.eight, ns.one),
        goal: at_most(1.2),
      });
    }
  }
  return rows;
}

function types({ root, into, type_rounds, type_shapes }: Bench): Row[] {
  const names: Record<Shape, string> = { release: "use and release", life: "a whole life" };
  return type_cost(root, into, type_rounds, type_shapes).flatMap(
    ({ compiler, shape, instantiations: { ours, plain }, check_time }) => {
      const more = ours - plain;
      return [
        {
          section: "types",
          what: `${compiler}: instantiations a call site beyond plain brands, ${names[shape]}`,
          ratio: { median: more, q1: more, q3: more },
          goal: at_most(0),
        },
        {
          section: "types",
          what: `${compiler}: check time ÷ plain brands, 8,000 sites, ${names[shape]}`,
          ratio: check_time,
          goal: at_most(1.25),
        },
      ];
    },
  );
}

export const SECTIONS: Readonly<Record<string, (bench: Bench) => Row[] | Promise<Row[]>>> = {
  references,
  batches,
  extents,
  direct,
  debug,
  machines,
  types,
};
