// Module hooks of the process that runs a driver: drivers keep their own names and folders, their code is what the compiler
// emitted, and "user-page" is this package, of which there must be one instance.
import { existsSync, readFileSync } from "node:fs";
import type { InitializeHook, LoadHook, ResolveHook } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

export interface HookData {
  /** where the code of /a/b.ts is: OUT/a/b.js */
  readonly out: string;
  /** of this package, a file URL that ends in "/" */
  readonly root: string;
}
let data: HookData = { out: "", root: "" };

export const initialize: InitializeHook<HookData> = (given) => {
  data = given;
};
/** The code that was emitted for a source, or null. */
function emitted(url: string): string | null {
  if (!url.startsWith("file:") || !/\.[mc]?ts$/.test(url)) return null;
  // On Windows the drive is not part of what follows the root.
  const path = fileURLToPath(url).replace(/^[A-Za-z]:/, "");
  const code = `${data.out}${path.replace(/ts$/, "js")}`;
  return existsSync(code) ? code : null;
}
export const resolve: ResolveHook = async (specifier, context, next) => {
  const { parentURL } = context;
  const from_driver = parentURL !== undefined && emitted(parentURL) !== null;
  if (from_driver && /^user-page(\/|$)/.test(specifier))
    return await next(specifier, { ...context, parentURL: `${data.root}package.json` });
  if (from_driver && /^\.\.?\//.test(specifier)) {
    const asked = new URL(specifier, parentURL).href;
    const names = [asked.replace(/js$/, "ts"), `${asked}.ts`, `${asked}/index.ts`];
    const source = names.find((name) => emitted(name) !== null);
    if (source !== undefined && !existsSync(fileURLToPath(asked.split("?")[0]!)))
      return { url: source, format: "module", shortCircuit: true };
  }
  if (emitted(specifier) !== null) return { url: specifier, format: "module", shortCircuit: true };
  try {
    return await next(specifier, context);
  } catch (error) {
    // What this package depends on is there for drivers too.
    if (!from_driver || /^[./]|^\w+:/.test(specifier)) throw error;
    try {
      return await next(specifier, { ...context, parentURL: `${data.root}package.json` });
    } catch {
      throw error;
    }
  }
};
/** The code with its map inside, and in the map the name of the source, so that places are those of the source. */
function with_map(code: string, url: string): string {
  const text = readFileSync(code, "utf8").replace(/\n?\/\/# sourceMappingURL=\S*\s*$/, "\n");
  if (!existsSync(`${code}.map`)) return text;
  const map = JSON.parse(readFileSync(`${code}.map`, "utf8")) as object;
  const own = JSON.stringify({ ...map, sourceRoot: "", sources: [url] });
  const base64 = Buffer.from(own).toString("base64");
  return `${text}//# sourceMappingURL=data:application/json;base64,${base64}\n`;
}
export const load: LoadHook = async (url, context, next) => {
  const code = emitted(url);
  if (code === null) return await next(url, context);
  return {
    format: "module",
    source: with_map(code, pathToFileURL(fileURLToPath(url)).href),
    shortCircuit: true,
  };
};
