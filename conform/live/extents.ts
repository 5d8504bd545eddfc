// Where a file lies: what the model is told of it, and nothing else, comes from here.
import { BLOCK, type PieceState } from "./case.js";
import { Random } from "./random.js";

/** A run of a file in one place of the disk, bytes. */
export interface Extent {
  readonly offset: number;
  readonly bytes: number;
  readonly state: PieceState;
}
/** What `filefrag -v` says; holes are what it leaves out, up to `bytes`. */
export function parse_filefrag(text: string, bytes: number): Extent[] {
  const extents: Extent[] = [];
  let end = 0;
  for (const line of text.split("\n")) {
    const [, first, last, rest] = /^\s*\d+:\s*(\d+)\.\.\s*(\d+):(.*)$/.exec(line) ?? [];
    if (first === undefined || last === undefined || rest === undefined) continue;
    const offset = Number(first) * BLOCK;
    if (offset > end) extents.push({ offset: end, bytes: offset - end, state: "hole" });
    end = (Number(last) + 1) * BLOCK;
    const state = /\bunwritten\b/.test(rest) ? "unwritten" : "data";
    extents.push({ offset, bytes: end - offset, state });
  }
  if (end < bytes) extents.push({ offset: end, bytes: bytes - end, state: "hole" });
  return extents;
}
/**
 * The runs that a write met.  A hole is divided where what was put into it lies in several places; what was behind the end is
 * a part of a hole before it.
 */
export function runs_met(
  before: readonly Extent[],
  now: readonly Extent[],
  bytes: number,
): Extent[] {
  const runs = [...before];
  const last = runs.at(-1);
  const end = last ? last.offset + last.bytes : 0;
  const from = last?.state === "hole" ? last.offset : end;
  if (from < end) runs.pop();
  const hole = { offset: from, bytes: Math.max(end, bytes) - from, state: "hole" } as const;
  if (hole.bytes > 0) runs.push(hole);
  const places = now.filter((run, i) => run.state !== "hole" && now[i - 1]?.state !== "hole");
  return divided(
    runs,
    places.map(({ offset }) => offset),
  );
}
/** Holes divided there. */
function divided(runs: readonly Extent[], cuts: readonly number[]): Extent[] {
  return runs.flatMap((run) => {
    if (run.state !== "hole") return [run];
    const inside = cuts.filter((at) => at > run.offset && at < run.offset + run.bytes);
    const starts = [run.offset, ...inside];
    const ends = [...inside, run.offset + run.bytes];
    return starts.map((offset, i) => ({ offset, bytes: ends[i]! - offset, state: run.state }));
  });
}
/**
 * The same, with what is put into holes from `from` to `end` allocated in `more` pieces more, by lot: pieces that follow each other
 * on the disk cannot be told apart afterwards.  Null where it cannot be.
 */
export function allocated_in_more(
  runs: readonly Extent[],
  from: number,
  end: number,
  more: number,
  lot: number,
): Extent[] | null {
  const places: number[] = [];
  for (const { state, offset, bytes } of runs) {
    if (state !== "hole") continue;
    const first = Math.max(offset + BLOCK, (Math.floor(from / BLOCK) + 1) * BLOCK);
    for (let at = first; at < Math.min(end, offset + bytes); at += BLOCK) places.push(at);
  }
  if (places.length < more) return null;
  const random = new Random(lot, more);
  const cuts = new Set<number>();
  while (cuts.size < more) cuts.add(random.pick(places));
  return divided(
    runs,
    [...cuts].sort((a, b) => a - b),
  );
}
