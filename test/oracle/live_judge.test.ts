/** The judge of conform:live notices what differs, and never takes others that pin for a difference. */
import { afterEach, describe, expect, it } from "vitest";
import { BLOCK, reach_of, type LiveCase } from "../../conform/live/case.js";
import { minus, same, type Looks, type Pins } from "../../conform/live/counters.js";
import { ALL_CLASSES, generate } from "../../conform/live/generate.js";
import { Judge, type LiveKernel, type LiveModel } from "../../conform/live/judge.js";
import { Contents } from "../../conform/live/kernel.js";
import { Model } from "../../conform/live/model.js";
import type { Seen } from "../../conform/live/seen.js";
import { shrink } from "../../conform/live/shrink.js";
import { debug_mode } from "../fixtures.js";

const LIMITS = { classes: ALL_CLASSES, dma_alignment: 512 };
const DISK_LIMITS = {
  logical_block_size: 512,
  dma_alignment: 512,
  max_sectors: 8192,
  max_segments: 254,
};

// --- judging ------------------------------------------------------------------------------------------------------
const NONE: Pins = { acquired: 0, released: 0 };
/** A machine whose kernel is a second model, and on which others pin when they like. */
class Stage {
  readonly model: Model = new Model(DISK_LIMITS, new Contents(1), debug_mode);
  readonly #second: Model = new Model(DISK_LIMITS, new Contents(1), debug_mode);
  /** changes what the kernel is seen to do */
  change: (seen: Seen) => Seen = (seen) => seen;
  /** pins of others while a case runs, and while it is looked whether there are any */
  others: () => number = () => 0;
  runs = 0;
  #now: Pins = NONE;
  readonly #look = (): Pins => {
    const more = this.others();
    const { acquired, released } = this.#now;
    return (this.#now = { acquired: acquired + more, released: released + more });
  };
  readonly counters: Looks = {
    exact: true,
    now: this.#look,
    settled: () => Promise.resolve(this.#look()),
    quiet: () => {
      const before = this.#now;
      return Promise.resolve(same(before, this.#look()));
    },
  };
  readonly kernel: LiveKernel = {
    pinned: 0,
    forget: () => undefined,
    prepare: (one) => {
      this.runs++;
      const state = one.layout.pieces.length > 0 ? "data" : "hole";
      const extents = [{ offset: 0, bytes: reach_of(one), state }] as const;
      const seen = this.change(this.#second.run(one, extents));
      return Promise.resolve({
        call: () => {
          const before = this.#now;
          const { acquired, released } = minus(this.#look(), before);
          const pins = seen.pins!.map((one, i) =>
            i > 0 ? one : { acquired: one.acquired + acquired, released: one.released + released },
          );
          return Promise.resolve({ pins, result: seen.result });
        },
        after: () => Promise.resolve({ memory: seen.memory, file: seen.file, extents }),
      });
    },
  };
  judge(model: LiveModel = this.model): Judge {
    return new Judge(this.kernel, model, this.counters);
  }
  close(): void {
    this.model.close();
    this.#second.close();
  }
}
const more_pins = (seen: Seen): Seen => ({
  ...seen,
  pins: seen.pins!.map(({ acquired, released }) => ({
    acquired: acquired + 1,
    released: released + 1,
  })),
});
describe("judging", () => {
  const one: LiveCase = {
    seed: 1,
    number: 1,
    name: "whole pages",
    op: "read",
    vector: false,
    way: "sync",
    layout: { pieces: [{ state: "data", blocks: 8 }], size: 8 * BLOCK, scattered: false },
    position: 0,
    pages: "www",
    iovs: [[0, 3 * BLOCK]],
  };
  let stage: Stage;
  const on_stage = async (work: () => Promise<void>): Promise<void> => {
    stage = new Stage();
    await work();
  };
  afterEach(() => stage.close());

  it("finds equal what is equal, at once", () =>
    on_stage(async () => {
      const verdict = await stage.judge().judge(one);
      expect(verdict).toMatchObject({ differences: [], repeats: 0, loud: false, result: "12288" });
      expect(stage.runs).toBe(1);
    }));
  it.each([
    ["one pin more", more_pins, "pins"],
    ["another result", (seen: Seen): Seen => ({ ...seen, result: "EIO" }), "result"],
    [
      "another byte of memory",
      (seen: Seen): Seen => ({
        ...seen,
        memory: seen.memory.map((byte, i) => byte ^ Number(i === 9000)),
      }),
      "memory",
    ],
  ])("notices %s", (_, change, aspect) =>
    on_stage(async () => {
      stage.change = change;
      const { differences, loud } = await stage.judge().judge(one);
      expect(differences.map((found) => found.aspect)).toEqual([aspect]);
      expect(loud).toBe(false);
    }),
  );
  it("notices another byte, and another length, of a file that was written", () =>
    on_stage(async () => {
      const write = { ...one, op: "write" } as const;
      expect((await stage.judge().judge(write)).differences).toEqual([]);
      stage.change = (seen) => ({ ...seen, file: seen.file!.map((b, i) => b ^ Number(i === 5)) });
      expect((await stage.judge().judge(write)).differences[0]).toMatchObject({ aspect: "file" });
      stage.change = (seen) => ({ ...seen, file: seen.file!.subarray(1) });
      expect((await stage.judge().judge(write)).differences[0]).toMatchObject({ aspect: "file" });
    }));
  it("notices a difference in the model", () =>
    on_stage(async () => {
      const wrong: LiveModel = { run: (of, extents) => more_pins(stage.model.run(of, extents)) };
      const { differences } = await stage.judge(wrong).judge(one);
      expect(differences).toEqual([{ aspect: "pins", kernel: "3/3", model: "4/4" }]);
    }));
  it("takes a model that throws for one that differs", () =>
    on_stage(async () => {
      const broken: LiveModel = {
        run: () => {
          throw new RangeError("of the model");
        },
      };
      const { differences } = await stage.judge(broken).judge(one);
      const found = { aspect: "result", kernel: "12288", model: "RangeError: of the model" };
      expect(differences).toEqual([found]);
    }));
  it("repeats a case that others disturbed, and finds it equal", () =>
    on_stage(async () => {
      let looks = 0;
      stage.others = () => (looks++ === 0 ? 7 : 0);
      const verdict = await stage.judge().judge(one);
      expect(verdict).toMatchObject({ differences: [], repeats: 1, loud: false });
    }));
  it("never takes others for a difference, however often they pin", () =>
    on_stage(async () => {
      // In the same case again and again, and in one of the looks between.
      for (const often of [1, 2, 3, 5]) {
        let looks = 0;
        stage.others = () => (looks++ % often === 0 ? 16 : 0);
        const judge = stage.judge();
        for (let i = 0; i < 5; i++) {
          expect((await judge.judge(one)).differences, `every ${often}`).toEqual([]);
        }
      }
    }));
  it("says that it was loud, and compares results and bytes still", () =>
    on_stage(async () => {
      stage.others = () => 1;
      const judge = stage.judge();
      expect(await judge.judge(one)).toMatchObject({ differences: [], loud: true });
      stage.change = (seen) => ({ ...seen, result: "0" });
      expect((await judge.judge(one)).differences.map(({ aspect }) => aspect)).toContain("result");
    }));
  it("takes one pin more of a write to new blocks for a division that cannot be seen, and no other", () =>
    on_stage(async () => {
      const layout = { pieces: [], size: 0, scattered: false };
      const write = { ...one, op: "write", layout, iovs: [[512, 2 * BLOCK]] } as const;
      stage.change = more_pins;
      expect(await stage.judge().judge(write)).toMatchObject({ differences: [], unseen: 1 });
      const at_pages = { ...write, iovs: [[0, 2 * BLOCK]] } as const;
      expect((await stage.judge().judge(at_pages)).differences).toHaveLength(1);
    }));
  it("counts many cases at once without root, and finds the one that differs", () =>
    on_stage(async () => {
      let total = NONE;
      const counted = stage.kernel.prepare;
      const kernel: LiveKernel = {
        ...stage.kernel,
        prepare: async (of) => {
          const { call, after } = await counted(of);
          const wrong = of.number === 5 ? 1 : 0;
          return {
            after,
            call: async () => {
              const { pins, result } = await call(null);
              for (const { acquired, released } of pins ?? []) {
                total = {
                  acquired: total.acquired + acquired + wrong,
                  released: total.released + released + wrong,
                };
              }
              return { pins: null, result };
            },
          };
        },
      };
      const counters: Looks = {
        exact: false,
        now: () => total,
        settled: () => Promise.resolve(total),
        quiet: () => Promise.resolve(true),
      };
      const judge = new Judge(kernel, stage.model, counters);
      const cases = Array.from({ length: 8 }, (_, number) => ({ ...one, number }));
      const verdicts = await judge.judge_together(cases);
      expect(verdicts.map(({ one: { number } }) => number)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      expect(verdicts.filter(({ differences }) => differences.length > 0)).toMatchObject([
        { one: { number: 5 }, differences: [{ aspect: "pins", kernel: "4/4", model: "3/3" }] },
      ]);
    }));
  it("does not divide while others pin", () =>
    on_stage(async () => {
      stage.others = () => 1;
      const counters = { ...stage.counters, exact: false };
      const judge = new Judge(stage.kernel, stage.model, counters);
      const verdicts = await judge.judge_together([one, one, one, one]);
      expect(verdicts.map(({ loud }) => loud)).toEqual([true, true, true, true]);
      expect(stage.runs).toBe(4);
    }));
  it("shrinks a case to the part that matters", () =>
    on_stage(async () => {
      const big = generate(5, 3, { ...LIMITS, classes: ["many parts"] });
      const judge = (of: LiveCase): Promise<never> =>
        Promise.resolve({
          one: of,
          differences: of.iovs.some(([, len]) => len > 512)
            ? [{ aspect: "pins", kernel: "", model: "" }]
            : [],
          loud: false,
          repeats: 0,
          unseen: 0,
          result: "",
        } as never);
      const { one: smallest } = await shrink(await judge(big), judge);
      expect(smallest.iovs).toHaveLength(1);
      expect(smallest.position).toBe(0);
      expect(smallest.layout.pieces).toHaveLength(1);
    }));
});
