/** What a message of the compiler means: every message that is pinned, of three compilers, with its misuse. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { callee_at, members, misuse_of } from "../../cli/misuse_of.js";
import corpus from "../compilers/corpus.json" with { type: "json" };
import messages from "../compilers/messages.json" with { type: "json" };
import { ROOT } from "./command.js";
import { OF_CORPUS } from "./of_corpus.js";

/** The refused line's last call, and where its arguments are. */
function callee_in(folder: string, name: string): string | null {
  const text = readFileSync(join(ROOT, folder, `${name}.ts`), "utf8");
  const marker = text.indexOf("@ts-expect-error");
  const line = text.indexOf("\n", marker) + 1;
  const end = text.indexOf("\n", line);
  const open = text.slice(0, end).lastIndexOf("(");
  return open < line ? null : callee_at(text, open + 1);
}
const lines = (of: string | readonly string[]): string[] =>
  [of].flat().map((line) => line.replace(/^TS\d+: /, ""));

describe("the messages of the misuses", () => {
  test.each(Object.entries(messages))("%s", (id, pinned) => {
    const meant = lines(pinned).map((line) => misuse_of(line, callee_in("types-test/misuse", id)));
    expect(meant.map((one) => one.id)).toEqual(lines(pinned).map(() => id));
  });
});
describe("the messages of the corpus", () => {
  test("each has a meaning or is known to have none", () => {
    expect(Object.keys(OF_CORPUS).sort()).toEqual(Object.keys(corpus).sort());
  });
  test.each(Object.entries(corpus))("%s", (name, pinned) => {
    for (const line of lines(pinned)) {
      const { id, hint } = misuse_of(line, callee_in("corpus", name));
      expect(id ?? hint).toEqual(OF_CORPUS[name]);
    }
  });
});
describe("reading a message", () => {
  test("members of unions and of argument lists", () => {
    expect(members('A<"x" | "y"> | B')).toEqual(['A<"x" | "y">', "B"]);
    expect(members("[true, SoftirqContext]")).toEqual(["true", "SoftirqContext"]);
    expect(members("[mark_dirty: false] | [mark_dirty: boolean, current: ProcessContext]")).toEqual(
      ["false", "boolean", "ProcessContext"],
    );
  });
  test("the function whose argument it is", () => {
    const text = "if (x) { put_page(a); f<T>(g(1), [2, (3)], HERE) } label(";
    expect(callee_at(text, text.indexOf("HERE"))).toBe("f");
    expect(callee_at(text, text.indexOf("a);"))).toBe("put_page");
    expect(callee_at("const x = HERE", 10)).toBeNull();
    expect(callee_at("f(); HERE", 5)).toBeNull();
  });
  test("what is no message of these kinds means nothing", () => {
    expect(misuse_of("Cannot find name 'x'.", null)).toEqual({ id: null, hint: null, here: false });
    const other = "Argument of type 'string' is not assignable to parameter of type 'number'.";
    expect(misuse_of(other, "parseInt")).toEqual({ id: null, hint: null, here: false });
  });
  test("a step to a misuse is told from the misuse", () => {
    const to = (wanted: string) =>
      `Argument of type 'OwnedPage' is not assignable to parameter of type '${wanted}'.`;
    expect(misuse_of(to("HeldUserPage"), "put_user_page").here).toBe(true);
    expect(misuse_of(to("UserPage"), "push")).toMatchObject({
      id: "page-to-put_user_page",
      here: false,
    });
  });
});
