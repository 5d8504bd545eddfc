// Compares the model with the counters of a live kernel.
// npm run conform -- [--json] [ROWS.json]
import { fileURLToPath } from "node:url";
import { compare } from "./compare.js";
import { to_json, to_text } from "./report.js";
import { read_rows, RowsError } from "./rows.js";

const USAGE = "usage: npm run conform -- [--json] [ROWS.json]";
const RECORDED = fileURLToPath(new URL("../../conform/linux-6.18-pins.json", import.meta.url));

/** After two seconds a line that says how far it is, if somebody looks. */
function show_progress(): (done: number, of: number) => void {
  const begin = Date.now();
  return (done, of) => {
    if (!process.stderr.isTTY || Date.now() - begin < 2000) return;
    process.stderr.write(done < of ? `\r${done} of ${of} rows` : "\r\x1b[K");
  };
}
function main(args: readonly string[]): number {
  const files = args.filter((arg) => !arg.startsWith("--"));
  const unknown = args.find((arg) => arg.startsWith("--") && arg !== "--json");
  if (unknown !== undefined || files.length > 1) {
    console.error(unknown === undefined ? USAGE : `${unknown} is no option\n${USAGE}`);
    return 2;
  }
  try {
    const rows = read_rows(files[0] ?? RECORDED);
    const verdicts = compare(rows, process.env["USER_PAGE_DEBUG"] === "1", show_progress());
    console.log(args.includes("--json") ? to_json(verdicts) : to_text(verdicts));
    return verdicts.some(({ verdict }) => verdict === "mismatched") ? 1 : 0;
  } catch (error) {
    if (!(error instanceof RowsError)) throw error;
    console.error(error.message);
    return 2;
  }
}
process.exitCode = main(process.argv.slice(2));
