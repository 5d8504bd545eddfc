// Builds dist, first the library: the declarations, one a source file, and one module of code.  In one module the engine sees the arena's
// columns and the constants as what they are; across modules each is a cell that every access reads again, which made
// reference counting two to four times slower.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { rolldown } from "rolldown";

/** @param {string} project */
function declarations(project) {
  const tsc = ["node_modules/typescript-7/bin/tsc", "-p", project, "--emitDeclarationOnly"];
  const { status } = spawnSync(process.execPath, tsc, { stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
/** @param {import("rolldown").InputOptions} input @param {import("rolldown").OutputOptions} output */
async function bundle(input, output) {
  const made = await rolldown({ platform: "node", transform: { target: "es2022" }, ...input });
  await made.write({ format: "esm", sourcemap: true, ...output });
  await made.close();
}

rmSync("dist", { recursive: true, force: true });
declarations(".");
await bundle(
  { input: "src/index.ts", external: ["neverthrow", "ts-brand"] },
  { file: "dist/index.js" },
);

// Then what uses it by its name, as everybody does, so that there is one instance of the arena: the command, and the entry
// for tests.  Shared parts of the command are files beside it; the hooks are loaded by another thread.
const external = ["user-page", "neverthrow", "vitest", "typescript"];
const command = ["main", "child", "hooks"];
await bundle(
  { input: Object.fromEntries(command.map((name) => [name, `cli/${name}.ts`])), external },
  { dir: "dist/cli", chunkFileNames: "[name]-[hash].js", sourcemap: false },
);
declarations("tsconfig.vitest.json");
await bundle(
  { input: "vitest/index.ts", external },
  { file: "dist/vitest/index.js", sourcemap: false },
);
