// user-page conform: the model beside the counters of a live kernel, row by row.
import { compare } from "../conform/compare.js";
import { to_json, to_text } from "../conform/report.js";
import { read_rows, RowsError } from "../conform/rows.js";
import { existing_file } from "./files.js";
import { read_options, UsageError } from "./options.js";
import { EXIT, type Answer } from "./output.js";
import { in_package, version } from "./root.js";

const RECORDED = "conform/linux-6.18-pins.json";
const SHAPES = { json: "flag", debug: "flag", help: "flag" } as const;

export function conform(args: readonly string[]): Answer {
  const { options, rest } = read_options(args, SHAPES);
  if (rest.length > 1) throw new UsageError(`one file of rows at a time: ${rest.join(", ")}`);
  const file = rest[0] === undefined ? in_package(RECORDED) : existing_file(rest[0]);
  const seen = (() => {
    try {
      return read_rows(file);
    } catch (error) {
      if (error instanceof RowsError) throw new UsageError(error.message);
      throw error;
    }
  })();
  process.stderr.write(`... comparing ${seen.length} rows\n`);
  const verdicts = compare(seen, options.debug);
  const differs = verdicts.some(({ verdict }) => verdict === "mismatched");
  return {
    exit: differs ? EXIT.findings : EXIT.fine,
    text: to_text(verdicts),
    json: { command: "conform", version: version(), ...(JSON.parse(to_json(verdicts)) as object) },
  };
}
