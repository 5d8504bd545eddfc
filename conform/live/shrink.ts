// Looks for a smaller case that the kernel and the model do differently.
import { BLOCK, PAGE, total_of, type Layout, type LiveCase } from "./case.js";
import type { Verdict } from "./judge.js";

/** Cases tried. */
const MOST = 80;

const dense = (blocks: number): Layout => ({
  pieces: [{ state: "data", blocks }],
  size: blocks * BLOCK,
  scattered: false,
});
/** Memory as long as the parts need, without whole pages before them. */
function trimmed(one: LiveCase): LiveCase {
  const offsets = one.iovs.map(([offset]) => offset);
  const skip = Math.floor(Math.min(...offsets) / PAGE);
  const iovs = one.iovs.map(([offset, len]) => [offset - skip * PAGE, len] as const);
  const end = Math.max(...iovs.map(([offset, len]) => offset + Math.max(1, len)));
  const pages = one.pages
    .slice(skip, skip + Math.ceil(end / PAGE))
    .padEnd(Math.ceil(end / PAGE), "w");
  return { ...one, iovs, pages };
}
/** Cases that are simpler in one respect, the simplest first. */
function* simpler(one: LiveCase): Generator<LiveCase> {
  const { iovs, layout } = one;
  if (one.way === "async") yield { ...one, way: "sync" };
  for (let keep = 1; keep < iovs.length; keep *= 2) {
    yield { ...one, iovs: iovs.slice(0, keep) };
    yield { ...one, iovs: iovs.slice(-keep) };
  }
  if (iovs.length > 1) {
    yield { ...one, iovs: iovs.slice(0, -1) };
    yield { ...one, iovs: iovs.slice(1) };
  }
  for (const [i, [offset, len]] of iovs.entries()) {
    for (const less of [512, PAGE, Math.ceil(len / 1024) * 512]) {
      if (less >= len) continue;
      yield { ...one, iovs: iovs.map((iov, j) => (i === j ? ([offset, less] as const) : iov)) };
    }
  }
  if (/[ur]/.test(one.pages)) yield { ...one, pages: "w".repeat(one.pages.length) };
  if (one.position > 0) {
    yield { ...one, position: 0 };
    yield { ...one, position: one.position % BLOCK };
  }
  const needed = Math.ceil((one.position + total_of(one)) / BLOCK);
  if (layout.pieces.length > 1) {
    yield { ...one, layout: dense(needed) };
    for (let i = 0; i < layout.pieces.length; i++) {
      const pieces = layout.pieces.filter((_, j) => j !== i);
      const size = pieces.reduce((sum, { blocks }) => sum + blocks * BLOCK, 0);
      yield { ...one, layout: { ...layout, pieces, size } };
    }
  }
  if (layout.scattered) yield { ...one, layout: { ...layout, scattered: false } };
  if (one.vector && iovs.length === 1) yield { ...one, vector: false };
}
const key_of = ({ differences }: Verdict): string =>
  [...new Set(differences.map(({ aspect }) => aspect))].sort().join();

export async function shrink(
  from: Verdict,
  judge: (one: LiveCase) => Promise<Verdict>,
): Promise<Verdict> {
  let smallest = from;
  for (let tried = 0; tried < MOST;) {
    let found = false;
    for (const one of simpler(smallest.one)) {
      if (tried++ >= MOST) break;
      const verdict = await judge(trimmed(one));
      if (key_of(verdict) !== key_of(from)) continue;
      smallest = verdict;
      found = true;
      break;
    }
    if (!found) break;
  }
  return smallest;
}
