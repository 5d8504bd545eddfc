// The one test command: every script named below, at most two at a time; the first failure stops the rest.
import { spawn } from "node:child_process";

/** @typedef {{ name: string, after?: string[], alone?: true }} Step */

/** @type {Step[]} */
const steps = [
  { name: "build" },
  { name: "format:check" },
  { name: "check:ts7" },
  { name: "build:tools", after: ["build"] },
  { name: "demo:run", after: ["build:tools"] },
  { name: "conform:live:short", after: ["build:tools"] },
  { name: "unused" },
  { name: "types", after: ["build"] },
  { name: "check:ts6" },
  { name: "lint" },
  { name: "check:package", after: ["build"] },
  { name: "test:run", alone: true },
];
const lanes = 2;
const started = performance.now();
/** @type {Set<string>} */
const done = new Set();
let waiting = steps;
let running = 0;
let failed = 0;

/** @param {number} since */
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`.padStart(7);

/** @param {Step} step */
const ready = ({ after = [], alone }) =>
  alone ? done.size === steps.length - 1 : after.every((name) => done.has(name));

/** @param {Step} step */
function run({ name, alone }) {
  const since = performance.now();
  // The last step owns the terminal; the others are heard only when they fail.
  const child = spawn(`npm run --silent ${name}`, {
    shell: true,
    stdio: alone ? "inherit" : ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text) => (output += String(text)));
  running++;
  child.on("close", (code) => {
    running--;
    if (code === 0) {
      done.add(name);
    } else {
      failed++;
      process.stdout.write(`\n${output}\n`);
    }
    console.log(`${code === 0 ? "ok    " : "FAILED"} ${seconds(since)}  ${name}`);
    for (const line of output.split("\n")) if (line.startsWith("SKIPPED")) console.log(line);
    next();
  });
}

function next() {
  while (failed === 0 && running < lanes) {
    const step = waiting.find(ready);
    if (step === undefined) break;
    waiting = waiting.filter((other) => other !== step);
    run(step);
  }
  if (running > 0) return;
  const skipped = waiting.length === 0 ? "" : `, ${waiting.length} not run`;
  console.log(
    `\n${done.size} steps passed, ${failed} failed${skipped} (${seconds(started).trim()})`,
  );
  process.exitCode = failed === 0 ? 0 : 1;
}

next();
