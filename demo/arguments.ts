// The command line: at most one driver and one file.
import { realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";

const USAGE = `usage: npm start [-- [DRIVER.ts] [FILE]]

  DRIVER.ts   one file, anywhere, that exports dio_read() and dio_write() as
              demo/transfer.ts says; demo/drivers/dio.ts if none is given
  FILE        the bytes to move, at least one; generated if none is given`;

function why_not(given: string): string | null {
  if (given.startsWith("-")) return `no such option: ${given}`;
  const found = statSync(given, { throwIfNoEntry: false });
  if (found === undefined) return `no such file: ${given}`;
  if (!found.isFile()) return `not a file: ${given}`;
  return found.size === 0 ? `an empty file: ${given}` : null;
}
export interface Arguments {
  readonly driver: string | undefined;
  readonly file: string | undefined;
}
/** The paths given; exits if they cannot be used, or if only the usage was asked for. */
export function arguments_of(given: readonly string[]): Arguments {
  if (given.includes("--help") || given.includes("-h")) {
    console.log(USAGE);
    process.exit(0);
  }
  const drivers = given.filter((path) => path.endsWith(".ts"));
  const files = given.filter((path) => !path.endsWith(".ts"));
  const problems = given.map(why_not).filter((problem) => problem !== null);
  if (drivers.length > 1) problems.push(`${drivers.length} drivers given, one is taken`);
  if (files.length > 1) problems.push(`${files.length} files given, one is taken`);
  if (problems.length > 0) {
    console.error(`${problems.join("\n")}\n\n${USAGE}`);
    process.exit(2);
  }
  const [driver, file] = [drivers[0], files[0]];
  return { driver: driver && realpathSync(resolve(driver)), file: file && resolve(file) };
}
