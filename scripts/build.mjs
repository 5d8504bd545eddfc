// Builds dist: the declarations, one a source file, and one module of code.  In one module the engine sees the arena's
// columns and the constants as what they are; across modules each is a cell that every access reads again, which made
// reference counting two to four times slower.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { rolldown } from "rolldown";

rmSync("dist", { recursive: true, force: true });
const tsc = ["node_modules/typescript-7/bin/tsc", "-p", ".", "--emitDeclarationOnly"];
const { status } = spawnSync(process.execPath, tsc, { stdio: "inherit" });
if (status !== 0) process.exit(1);

const bundle = await rolldown({
  input: "src/index.ts",
  platform: "node",
  external: ["neverthrow", "ts-brand"],
  transform: { target: "es2022" },
});
await bundle.write({ file: "dist/index.js", format: "esm", sourcemap: true });
await bundle.close();
