// Installs the packed tarball in an empty project and compiles and runs a consumer there: what the
// package promises must hold without our configuration, our Node types or a lib beyond es2022.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const { resolve } = createRequire(import.meta.resolve("tsd"));
const compilers = [
  join(dirname(resolve("@tsd/typescript")), "_tsc.js"), // 5.9, the one tsd carries
  join(root, "node_modules/typescript/bin/tsc"),
  join(root, "node_modules/typescript-7/bin/tsc"),
];
const consumer = `import * as user_page from "user-page";
export type Names = keyof typeof user_page;
export const names: string[] = Object.keys(user_page);
if (names.length === 0) throw new Error("user-page exports nothing");
`;
const tsconfig = {
  compilerOptions: {
    target: "es2022",
    lib: ["es2022"],
    types: [],
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    declaration: true,
  },
  files: ["main.ts"],
};

const project = mkdtempSync(join(tmpdir(), "user-page-consumer-"));
const installed = join(project, "node_modules", "user-page");

/** @param {string} command @param {string[]} args @param {string} cwd */
const run = (command, args, cwd = project) =>
  execFileSync(command, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    shell: process.platform === "win32" && command === "npm",
  }).trim();

try {
  run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", project], root);
  const manifest = /** @type {{ name: string, version: string, dependencies: object }} */ (
    JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
  );
  mkdirSync(installed, { recursive: true });
  const tarball = `${manifest.name}-${manifest.version}.tgz`;
  run("tar", ["-xzf", tarball, "--strip-components=1", "-C", join("node_modules", "user-page")]);
  for (const name of Object.keys(manifest.dependencies))
    cpSync(join(root, "node_modules", name), join(project, "node_modules", name), {
      recursive: true,
    });

  writeFileSync(join(project, "package.json"), '{ "type": "module", "private": true }');
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify(tsconfig));
  writeFileSync(join(project, "main.ts"), consumer);
  for (const compiler of compilers) {
    const version = run(process.execPath, [compiler, "--version"]);
    try {
      run(process.execPath, [compiler, "-p", "."]);
    } catch (error) {
      console.error(`${version} refuses the consumer:`);
      console.error(/** @type {{ stdout: string }} */ (error).stdout);
      process.exitCode = 1;
      continue;
    }
    console.log(`${version} compiles the consumer`);
  }
  run(process.execPath, ["main.js"]);
} finally {
  rmSync(project, { recursive: true, force: true });
}
