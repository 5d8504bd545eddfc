/** The model against the kernel this runs on, and the command that compares them. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterAll, describe, expect, it, vi } from "vitest";
import { main } from "../../conform/live/cli.js";
import { Skip } from "../../conform/live/host.js";
import { to_json, to_text } from "../../conform/live/report.js";
import { run, type RunOptions, type Summary } from "../../conform/live/run.js";
import { debug_mode } from "../fixtures.js";

// --- the kernel ---------------------------------------------------------------------------------------------------
describe("the kernel this runs on", { timeout: 120_000 }, () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const options: RunOptions = {
    dir: tmpdir(),
    seed,
    cases: 300,
    seconds: 20,
    debug: debug_mode,
    in_flight: false, // a test moves no process into a control group
  };
  it("does what the model does", async ({ skip }) => {
    let summary: Summary;
    try {
      summary = await run(options);
    } catch (error) {
      if (error instanceof Skip) return skip(`SKIPPED: ${error.message}`);
      throw error;
    }
    const text = to_text(summary);
    console.log(`seed ${seed}\n${text}`);
    expect(summary.cases).toBeGreaterThan(0);
    if (!summary.host.is_modelled) return skip("another kernel than the model's");
    expect(summary.mismatched, text).toBe(0);
    expect(JSON.parse(to_json(summary))).toMatchObject({ seed, mismatched: 0 });
  });
});

// --- the command --------------------------------------------------------------------------------------------------
describe("the command", { timeout: 60_000 }, () => {
  // tmpfs, where there is one: it has no direct I/O that pins.
  const memory = existsSync("/dev/shm") ? mkdtempSync("/dev/shm/live-") : null;
  afterAll(() => {
    if (memory !== null) rmSync(memory, { recursive: true });
  });
  const said: string[] = [];
  const say = (...words: unknown[]): void => void said.push(words.join(" "));
  async function command(...args: string[]): Promise<[status: number, text: string]> {
    said.length = 0;
    const spies = [vi.spyOn(console, "log"), vi.spyOn(console, "error")];
    for (const spy of spies) spy.mockImplementation(say);
    try {
      return [await main(args), said.join("\n")];
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
  }
  it.each([
    [["--sedd", "1"], /sedd/],
    [["--seed", "x"], /--seed x: not a whole number/],
    [["--cases", "-1"], /--cases/],
    [["--seconds", ""], /--seconds/],
    [["--case", "3"], /--case needs --seed/],
    [["--dir", "/no/such/folder"], /no such folder/],
    [["7"], /7/],
  ])("refuses %j", async (args, message) => {
    const [status, text] = await command(...args);
    expect(status).toBe(2);
    expect(text).toMatch(message);
    expect(text).toMatch(/usage: npm run conform:live/);
  });
  it("helps", async () => {
    expect(await command("--help")).toEqual([0, expect.stringMatching(/--require/)]);
  });
  it("says why it compares nothing, and fails only where it must not skip", async ({ skip }) => {
    if (memory === null) return skip();
    const [status, text] = await command("--dir", memory);
    expect(text).toMatch(/SKIPPED: /);
    expect(status).toBe(0);
    expect((await command("--dir", memory, "--require"))[0]).toBe(1);
    const [, json] = await command("--dir", memory, "--json");
    expect(json).toContain('{"skipped":');
  });
});
