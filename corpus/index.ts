/**
 * The corpus: bugs that were made in Linux and its drivers with page references and pins, each with what stops it here,
 * and correct shapes that look like bugs.  A test compares every line with what compilers and machine really do.
 */
import { BUGS_1 } from "./table/b01-b29.js";
import { BUGS_2 } from "./table/b31-b95.js";
import { BUGS_3 } from "./table/b40-b98.js";
import type { Bug } from "./table/types.js";

const number_of = ({ name }: Bug): number => Number(name.slice(1, 3));
export const BUGS: readonly Bug[] = [...BUGS_1, ...BUGS_2, ...BUGS_3].sort(
  (a, b) => number_of(a) - number_of(b),
);
export { NOT_MODELLED } from "./table/not_modelled.js";
export { SHAPES } from "./table/shapes.js";
export type * from "./table/types.js";
