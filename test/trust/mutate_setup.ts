/** Properties under mutation: the same cases, no shrinking, and an end to those that take long. */
import * as fc from "fast-check";

fc.configureGlobal({
  seed: Number(process.env["FAST_CHECK_SEED"] ?? 20181210),
  endOnFailure: true,
  interruptAfterTimeLimit: 500,
});
