// Makes case number N of a seed: by lot, and without a look at any other case.
import {
  BLOCK,
  CLASSES,
  PAGE,
  SECTOR,
  type ClassName,
  type Iov,
  type Layout,
  type LiveCase,
  type PageState,
  type Piece,
} from "./case.js";
import { Random } from "./random.js";

export interface Limits {
  /** classes to draw from */
  readonly classes: readonly ClassName[];
  /** what the disk wants memory to be aligned to, bytes */
  readonly dma_alignment: number;
}
type Kind = "dense" | "holes" | "any size" | "extents";
type Shape = "one" | "scattered" | "packed" | "same page";

/** More of a misaligned request may be pinned before it is refused, by how its memory lies. */
const MISALIGNED_PAGES = 24;
/** Parts of odd lengths that need a second bio are divided by where their pages lie. */
const ONE_BIO = 240 * PAGE;
/** Held requests are let go when the process ends however it ends; they shall not take long then. */
const IN_FLIGHT_BYTES = 128 << 10;
/** Different files of one kind and seed. */
const LAYOUTS = 8;

// --- files ------------------------------------------------------------------------------------------------
function pieces_of(random: Random, states: ReadonlyArray<Piece["state"]>, most: number): Piece[] {
  const pieces: Piece[] = [];
  const count = random.between(2, most);
  for (let last = ""; pieces.length < count;) {
    const state = random.pick(states);
    if (state === last && state !== "data") continue;
    pieces.push({ state, blocks: random.between(1, random.pick([1, 2, 8])) });
    last = state;
  }
  return pieces;
}
const blocks_of = (pieces: readonly Piece[]): number =>
  pieces.reduce((sum, { blocks }) => sum + blocks, 0);

/** File `nr` of a kind: cases of one seed share few files, so that those that are only read are made once. */
function layout_of(seed: number, kind: Kind, nr: number, blocks: number): Layout {
  const random = new Random(seed, 7, kind.length, nr, blocks);
  const dense: Piece[] = [{ state: "data", blocks }];
  if (kind === "dense") return { pieces: dense, size: blocks * BLOCK, scattered: false };
  if (kind === "extents") {
    const pieces = pieces_of(random, ["data", "data", "data", "hole", "unwritten"], 12);
    return { pieces, size: blocks_of(pieces) * BLOCK, scattered: true };
  }
  if (kind === "holes") {
    const states = random.pick([
      ["data", "hole"],
      ["data", "hole", "unwritten"],
    ] as const);
    const pieces = pieces_of(random, states, 10);
    const beyond = random.chance(0.3) ? random.between(1, 8) : 0;
    return { pieces, size: (blocks_of(pieces) + beyond) * BLOCK, scattered: random.chance(0.3) };
  }
  const pieces = random.chance(0.5)
    ? [{ state: "data" as const, blocks: random.between(1, 12) }]
    : pieces_of(random, ["data", "hole", "unwritten"], 5);
  const end = blocks_of(pieces) * BLOCK;
  const cut = random.pick([0, SECTOR * random.below(8), random.below(BLOCK), BLOCK - 1]);
  return random.chance(0.1)
    ? { pieces: [], size: 0, scattered: false }
    : { pieces, size: end - cut, scattered: false };
}

// --- memory -----------------------------------------------------------------------------------------------
/** Lengths that sum to `bytes`, in units; some last one may be longer. */
function lengths_of(random: Random, bytes: number, count: number, unit: number): number[] {
  const units = Math.floor(bytes / unit);
  const parts = Math.max(1, Math.min(count, units));
  const cuts = new Set<number>();
  while (cuts.size < parts - 1) cuts.add(random.between(1, units - 1));
  const sorted = [0, ...[...cuts].sort((a, b) => a - b), units];
  const lengths = sorted.slice(1).map((cut, i) => (cut - sorted[i]!) * unit);
  lengths[lengths.length - 1]! += bytes - units * unit;
  return lengths;
}
function lay_out(random: Random, shape: Shape, lengths: readonly number[], first: number): Iov[] {
  if (shape === "one" || shape === "packed") {
    let next = first;
    return lengths.map((len) => [(next += len) - len, len] as const);
  }
  if (shape === "same page") {
    const places = [first, ...Array.from({ length: 3 }, () => SECTOR * random.below(8))];
    return lengths.map((len) => [random.pick(places), len] as const);
  }
  let next = first;
  return lengths.map((len) => {
    const at = next;
    const gap = random.pick([0, PAGE, PAGE, SECTOR * random.below(12), PAGE * random.below(3)]);
    next = Math.ceil((at + len + gap) / SECTOR) * SECTOR;
    if (random.chance(0.4)) next = Math.ceil(next / PAGE) * PAGE;
    return [at, len] as const;
  });
}
function pages_of(random: Random, iovs: readonly Iov[], states: string): string {
  const end = iovs.reduce((most, [offset, len]) => Math.max(most, offset + len), 1);
  const count = Math.ceil(end / PAGE) + random.below(2);
  let pages = "";
  while (pages.length < count) {
    const state = random.pick([...states]) as PageState;
    pages += state.repeat(Math.min(random.pick([1, 1, 2, 9, count]), count - pages.length));
  }
  return pages;
}

// --- the case ---------------------------------------------------------------------------------------------
interface Recipe {
  readonly kinds: readonly Kind[];
  readonly shapes: readonly Shape[];
  /** parts, at most */
  readonly parts: readonly [number, number];
  readonly bytes: readonly [number, number];
  readonly states: readonly string[];
  readonly whole_pages?: true;
}
const STATES = ["w", "w", "w", "wu", "wr", "wur"] as const;
const BASE: Recipe = {
  kinds: ["dense", "dense", "holes", "any size", "extents"],
  shapes: ["one", "scattered", "packed"],
  parts: [1, 8],
  bytes: [SECTOR, 64 << 10],
  states: STATES,
};
const RECIPES: Readonly<Record<ClassName, Partial<Recipe>>> = {
  "whole pages": { shapes: ["one"], parts: [1, 1], whole_pages: true },
  "inside pages": { shapes: ["one"], parts: [1, 1] },
  scattered: { shapes: ["scattered"], parts: [2, 64], bytes: [2048, 256 << 10] },
  packed: { shapes: ["packed"], parts: [2, 64] },
  "same page": { shapes: ["same page"], parts: [2, 32], bytes: [1024, 32 << 10] },
  "many parts": {
    shapes: ["scattered", "packed", "same page"],
    parts: [65, 1024],
    bytes: [64 << 10, 1 << 20],
    kinds: ["dense", "dense", "holes"],
  },
  large: {
    shapes: ["one", "scattered", "packed"],
    parts: [1, 16],
    bytes: [256 << 10, 4 << 20],
    kinds: ["dense", "dense", "dense", "holes"],
  },
  "zero page": { states: ["u", "r", "ur", "urw"], kinds: ["dense", "holes"] },
  "odd memory": { bytes: [SECTOR, MISALIGNED_PAGES * PAGE], kinds: ["dense", "holes", "any size"] },
  "odd position": { kinds: ["dense", "holes", "any size"] },
  "empty parts": { shapes: ["scattered", "packed"], parts: [2, 16] },
  holes: { kinds: ["holes"] },
  "end of file": { kinds: ["any size"] },
  extents: { kinds: ["extents"] },
  "in flight": {
    bytes: [SECTOR, IN_FLIGHT_BYTES],
    parts: [1, 32],
    shapes: ["one", "scattered", "packed", "same page"],
  },
};
/** Small numbers are as likely as large ones. */
function size_between(random: Random, [least, most]: readonly [number, number]): number {
  const bits = random.between(Math.floor(Math.log2(least)), Math.floor(Math.log2(most)));
  return Math.min(most, Math.max(least, random.between(2 ** bits, 2 ** (bits + 1) - 1)));
}
function position_in(random: Random, name: ClassName, layout: Layout, total: number): number {
  const size = Math.max(layout.size, blocks_of(layout.pieces) * BLOCK);
  if (name === "end of file" && random.chance(0.7)) {
    const near = Math.floor(layout.size / SECTOR) + random.between(-12, 6);
    return Math.max(0, near) * SECTOR;
  }
  if (random.chance(0.2)) return 0;
  const room = random.chance(0.8) ? Math.max(0, size - total) : size;
  const unit = random.pick([SECTOR, BLOCK]);
  return unit * random.below(Math.floor(room / unit) + 1);
}
function iovs_of(
  random: Random,
  name: ClassName,
  { parts, whole_pages }: Recipe,
  shape: Shape,
  unit: number,
  bytes: number,
): Iov[] {
  const count = shape === "one" ? 1 : random.between(...parts);
  const lengths = lengths_of(random, bytes, count, unit);
  const first = whole_pages || random.chance(0.3) ? 0 : SECTOR * random.below(8);
  const iovs = lay_out(random, shape, lengths, first);
  if (name !== "empty parts") return iovs;
  return iovs.flatMap((iov) =>
    random.chance(0.4) ? [[random.below(8) * SECTOR, 0] as const, iov] : [iov],
  );
}
/** Moves some or all parts to where a disk does not take them from. */
function misalign(random: Random, iovs: readonly Iov[], dma_alignment: number): Iov[] {
  const by = (): number => random.between(1, dma_alignment - 1);
  const all = random.chance(0.7) ? by() : 0;
  return iovs.map(([offset, len]) => [offset + (all || (random.chance(0.3) ? by() : 0)), len]);
}
export function generate(seed: number, number: number, limits: Limits): LiveCase {
  const random = new Random(seed, number);
  const name = random.pick(limits.classes);
  const recipe: Recipe = { ...BASE, ...RECIPES[name] };
  let bytes = size_between(random, recipe.bytes);
  const shape = random.pick(recipe.shapes);
  const odd_parts = shape === "packed" && random.chance(0.4) ? random.pick([1, 4, 100]) : SECTOR;
  if (odd_parts !== SECTOR) bytes = Math.min(bytes, ONE_BIO);
  const unit = recipe.whole_pages ? PAGE : SECTOR;
  bytes = Math.ceil(bytes / unit) * unit;
  const odd = name === "odd position" ? random.pick(["position", "length", "both"]) : "";
  let iovs = iovs_of(random, name, recipe, shape, odd_parts, bytes);
  if (name === "odd memory") iovs = misalign(random, iovs, limits.dma_alignment);
  if (odd === "length" || odd === "both") {
    const [offset, len] = iovs.at(-1)!;
    iovs[iovs.length - 1] = [offset, Math.max(1, len - random.between(1, SECTOR - 1))];
  }
  const total = iovs.reduce((sum, [, len]) => sum + len, 0);
  const kind = random.pick(recipe.kinds);
  const blocks = 2 ** Math.ceil(Math.log2(Math.max(16, Math.ceil(total / BLOCK))));
  const layout = layout_of(seed, kind, random.below(LAYOUTS), blocks);
  let position = position_in(random, name, layout, total);
  if (odd === "position" || odd === "both") position += random.between(1, SECTOR - 1);
  const op = random.pick(["read", "write"] as const);
  const way = name === "in flight" ? name : random.chance(0.15) ? "async" : "sync";
  const pages = pages_of(random, iovs, random.pick(recipe.states));
  const vector = iovs.length > 1 || random.chance(0.2);
  return { seed, number, name, op, vector, way, layout, position, pages, iovs };
}
export const ALL_CLASSES = Object.keys(CLASSES) as ClassName[];
