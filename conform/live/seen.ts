// What was seen of a case, on the kernel or on the model, and how the two differ.
import { overlaps_of, type LiveCase } from "./case.js";
import { same, type Pins } from "./counters.js";

export interface Seen {
  /** by how much the counters moved: at all, or until it was in flight and from then on; null where they were not looked at */
  readonly pins: readonly Pins[] | null;
  /** bytes, or the errno */
  readonly result: string;
  /** all of the memory, afterwards */
  readonly memory: Uint8Array;
  /** all of the file, afterwards; null after a read */
  readonly file: Uint8Array | null;
}
export type Aspect = "pins" | "result" | "memory" | "file";
export interface Difference {
  readonly aspect: Aspect;
  readonly kernel: string;
  readonly model: string;
}
const spell = (pins: readonly Pins[]): string =>
  pins.map(({ acquired, released }) => `${acquired}/${released}`).join(" then ");

/** Where two texts of bytes differ first, and in how many places. */
function compare_bytes(
  aspect: "memory" | "file",
  kernel: Uint8Array,
  model: Uint8Array,
): Difference | null {
  if (Buffer.compare(kernel, model) === 0) return null;
  if (kernel.length !== model.length) {
    return { aspect, kernel: `${kernel.length} bytes`, model: `${model.length} bytes` };
  }
  const first = kernel.findIndex((byte, i) => byte !== model[i]);
  const count = kernel.reduce((sum, byte, i) => sum + Number(byte !== model[i]), 0);
  const at = (bytes: Uint8Array): string =>
    `${Buffer.from(bytes.subarray(first, first + 8)).toString("hex")} at ${first} (${count} bytes differ)`;
  return { aspect, kernel: at(kernel), model: at(model) };
}
/** A copy in which what several parts of a read cover is blank. */
function masked({ memory }: Seen, one: LiveCase): Uint8Array {
  const overlaps = one.op === "read" ? overlaps_of(one) : [];
  if (overlaps.length === 0) return memory;
  const copy = memory.slice();
  for (const [offset, len] of overlaps) copy.fill(0, offset, offset + len);
  return copy;
}
export function differences(one: LiveCase, kernel: Seen, model: Seen): Difference[] {
  const found: Difference[] = [];
  if (kernel.result !== model.result) {
    found.push({ aspect: "result", kernel: kernel.result, model: model.result });
  }
  if (kernel.pins && model.pins && !are_same(kernel.pins, model.pins)) {
    found.push({ aspect: "pins", kernel: spell(kernel.pins), model: spell(model.pins) });
  }
  const memory = compare_bytes("memory", masked(kernel, one), masked(model, one));
  if (memory) found.push(memory);
  const file = kernel.file && model.file && compare_bytes("file", kernel.file, model.file);
  if (file) found.push(file);
  return found;
}
const are_same = (a: readonly Pins[], b: readonly Pins[]): boolean =>
  a.length === b.length && a.every((pins, i) => same(pins, b[i]!));
