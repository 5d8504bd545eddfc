/** Properties draw the same cases in every run; FAST_CHECK_SEED=N draws others. */
import * as fc from "fast-check";

fc.configureGlobal({ seed: Number(process.env["FAST_CHECK_SEED"] ?? 20181210) });
