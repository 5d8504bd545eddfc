// A file of rows: what a live kernel counted for one phase of one operation.
import { readFileSync } from "node:fs";

export interface Row {
  readonly op: string;
  readonly params: string;
  readonly phase: string;
  /** by how much nr_foll_pin_acquired and nr_foll_pin_released went up during the phase */
  readonly acquired: number;
  readonly released: number;
  readonly result: string;
  /** whether every repetition gave the same numbers */
  readonly deterministic: boolean;
  readonly rule: string;
  readonly fs: string;
}
/** The file cannot be used; the message says why. */
export class RowsError extends Error {}

const TEXTS = ["op", "params", "phase"] as const;
const COUNTS = ["acquired", "released"] as const;

/** One row; what says nothing about the operation may be missing. */
export function to_row(value: unknown, where: string): Row {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new RowsError(`${where} is no object`);
  }
  const field: Record<string, unknown> = { ...value };
  for (const key of TEXTS) {
    if (typeof field[key] !== "string") throw new RowsError(`${where}: "${key}" is no string`);
  }
  for (const key of COUNTS) {
    const count = field[key];
    if (!Number.isSafeInteger(count) || Number(count) < 0) {
      throw new RowsError(`${where}: "${key}" is no count`);
    }
  }
  const { result } = field;
  if (typeof result !== "string" && typeof result !== "number") {
    throw new RowsError(`${where}: "result" is neither a string nor a number`);
  }
  return {
    op: String(field["op"]),
    params: String(field["params"]),
    phase: String(field["phase"]),
    acquired: Number(field["acquired"]),
    released: Number(field["released"]),
    result: String(result),
    deterministic: field["deterministic"] !== false,
    rule: typeof field["rule"] === "string" ? field["rule"] : "no rule",
    fs: typeof field["fs"] === "string" ? field["fs"] : "",
  };
}
/** Reads rows: a list, or an object with the list in `rows`. */
export function read_rows(file: string): Row[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new RowsError(`${file} cannot be read: ${error instanceof Error ? error.message : "?"}`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new RowsError(`${file} is no JSON: ${error instanceof Error ? error.message : "?"}`);
  }
  const list: unknown =
    typeof json === "object" && json !== null && "rows" in json ? json.rows : json;
  if (!Array.isArray(list)) throw new RowsError(`${file} holds no list of rows`);
  return list.map((value: unknown, i) => to_row(value, `${file}, row ${i + 1}`));
}
