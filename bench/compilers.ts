/** The C anchors, compiled on the spot. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const CC = "gcc";
/** The programs of c/ in `into`, or null where there is no compiler. */
export function compile_c(root: string, into: string): Record<"references" | "gup", string> | null {
  const programs = { references: join(into, "references"), gup: join(into, "gup") };
  for (const [name, program] of Object.entries(programs)) {
    const source = join(root, "bench/c", `${name}.c`);
    const { error, status, stderr } = spawnSync(CC, ["-O2", "-o", program, source], {
      encoding: "utf8",
    });
    if (error) return null;
    if (status !== 0) throw new Error(`${CC} ${source}\n${stderr}`);
  }
  return programs;
}
