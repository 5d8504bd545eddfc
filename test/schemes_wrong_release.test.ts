/** What the four wrong releases do to each way of counting pins, as docs/accounting.md claims. */
import { describe, expect, test } from "vitest";
import { BIAS, EXTENTS, SCHEMES, SEPARATE } from "../schemes/index.js";
import { damage_of, debug_report } from "../schemes/mispairing.js";
import type { SchemeOf } from "../schemes/scheme.js";

describe("a wrong release", () => {
  const silent = (of: SchemeOf, size: 1 | 512): string[] =>
    (["pin ended by put_page", "get ended by unpin"] as const).filter(
      (what) => damage_of(of, what, size).noticed === "never",
    );
  test("never goes by without harm", () => {
    for (const of of SCHEMES) {
      for (const size of [1, 512] as const) {
        const pin = damage_of(of, "pin ended by put_page", size);
        expect(pin.looks_pinned, of.name).toBe(true);
        const get = damage_of(of, "get ended by unpin", size);
        expect(get.hides_a_pin, of.name).toBe(true);
      }
    }
  });
  test("which nobody notices", () => {
    expect(SCHEMES.map((of) => [silent(of, 1), silent(of, 512)])).toEqual([
      [["pin ended by put_page"], []],
      [["get ended by unpin"], ["get ended by unpin"]],
      [[], []],
      [["pin ended by put_page"], []],
    ]);
  });
  test("none is noticed at the call", () => {
    const noticed = SCHEMES.map((of) => damage_of(of, "get ended by unpin", 1).noticed);
    expect(noticed).not.toContain("at the call");
  });
  test("with the separate counter one put_page() too many frees memory under a device", () => {
    const freed = SCHEMES.filter(
      (of) => damage_of(of, "pin ended by put_page", 1).freed_under_a_pin,
    );
    expect(freed.map(({ name }) => name)).toEqual(["separate counter"]);
  });
  test("the zero page's count drifts", () => {
    const drift = (of: SchemeOf): number[] =>
      (
        ["pin of the zero page ended by put_page", "get of the zero page ended by unpin"] as const
      ).map((what) => damage_of(of, what, 1).zero_drift);
    expect(SCHEMES.map(drift)).toEqual([
      [-1, 1],
      [0, 1],
      [0, 0],
      [-1, 1],
    ]);
  });
  test("debug mode sees it at the call, for pages and for extents", () => {
    for (const of of [BIAS, EXTENTS]) {
      expect(debug_report(of, "pin ended by put_page")).toBe("pin-to-put_page");
      expect(debug_report(of, "get ended by unpin")).toBe("page-to-put_user_page");
    }
    expect(debug_report(SEPARATE, "get ended by unpin")).toBeNull();
  });
});
