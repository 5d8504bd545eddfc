// The process in which a driver runs, so that one that does not end can be ended.  It is told what to do in its first
// argument, and answers in lines of JSON on descriptor 3.
import { writeSync } from "node:fs";
import { drive } from "./drive.js";
import { driver_of, NoDriver, type DriverModule } from "./driver_module.js";
import { load_driver, place_in, thrown_text } from "./load.js";
import type { Message, RunRequest } from "./outcome.js";
import { try_each } from "./try_each.js";
import { watch_of } from "./watch.js";

const ANSWERS = 3;
function tell(message: Message): void {
  const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let sent = 0; sent < bytes.length;) {
    try {
      sent += writeSync(ANSWERS, bytes, sent);
    } catch (error) {
      // Whoever reads is slower.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
}
async function load({ file, out }: RunRequest): Promise<DriverModule | null> {
  try {
    return driver_of(await load_driver(file, out));
  } catch (error) {
    const stack = error instanceof Error ? error.stack : undefined;
    const at = error instanceof NoDriver ? null : place_in(stack);
    const text = error instanceof NoDriver ? error.message : thrown_text(error);
    tell({ refused: { text, at } });
    return null;
  }
}
async function main(): Promise<void> {
  const request = JSON.parse(process.argv[2]!) as RunRequest;
  const module = await load(request);
  if (module === null) return;
  tell({ progress: "running the driver" });
  try {
    const { inject } = request;
    if (inject !== "all") {
      tell({ ran: await drive(request, module, inject, watch_of(request)) });
      return;
    }
    const say = (what: string): void => tell({ progress: what });
    tell({ tried: await try_each(request, module, say) });
  } catch (error) {
    // What was asked for is refused: a specification, a machine without memory enough.
    if (!(error instanceof RangeError)) throw error;
    tell({ wrong: error.message });
  }
}
// An exception from deep inside the library names the driver's line too.
Error.stackTraceLimit = 40;
await main();
// A driver may have left timers behind.
process.exit(0);
