/** One variant in a process of its own: `node variant.js <workload> <arguments>`. */
import { serve, type Workload } from "./serve.js";

type Setup = (args: readonly string[]) => Workload;

async function setup_of(name: string | undefined): Promise<Setup> {
  switch (name) {
    case "references":
      return (await import("./workloads/references.js")).references;
    case "batch":
      return (await import("./workloads/batch.js")).batch;
    case "extents":
      return (await import("./workloads/extents.js")).extents;
    case "direct":
      return (await import("./workloads/direct.js")).direct;
    case "single":
      return (await import("./workloads/single.js")).single;
    case "machines":
      return (await import("./workloads/machines.js")).machines;
    default:
      throw new Error(`no workload ${String(name)}`);
  }
}
const [, , name, ...args] = process.argv;
serve((await setup_of(name))(args));
