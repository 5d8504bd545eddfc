/** Four ways to count pins, compared on one workload: the schemes. */
import { BIAS } from "./bias.js";
import { EXTENTS } from "./extents.js";
import { MAPCOUNT } from "./mapcount.js";
import type { SchemeOf } from "./scheme.js";
import { SEPARATE } from "./separate.js";

export const SCHEMES: readonly SchemeOf[] = [BIAS, SEPARATE, MAPCOUNT, EXTENTS];
export { BIAS, EXTENTS, MAPCOUNT, SEPARATE };
