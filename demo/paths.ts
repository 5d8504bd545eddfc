// Where things are, from the compiled demo in .build/demo.
import { fileURLToPath } from "node:url";

export const in_repo = (path: string): string =>
  fileURLToPath(new URL(`../../${path}`, import.meta.url));
