/**
 * The names in messages: what a variable was declared as, and how it is reached, decides which alias the compiler prints.
 * A line each, and the first line of what all three compilers print.
 */
import { describe, expect, test } from "vitest";
import { compile, COMPILER_NAMES } from "./compile.js";

const HEAD = `import {
  __free, all_or_none, bio_put, bio_release_pages, folio_put, get_user_bvec, get_user_page, IS_ERR, ITER_SOURCE,
  pin_user_pages_fast, put_page, put_user_bvec, put_user_page, put_user_pages, put_user_pages_dirty_lock, submit_bio,
  type BorrowedUserPage, type EndedBio, type Folio, type LongtermBvecList, type OwnedUserPages, type PinnedBio,
  type PinnedBvec, type PinnedBvecList, type ShortPin, type Task, type UserAddr, type UserPage,
} from "user-page";
declare const current: Task, addr: UserAddr;
declare function perhaps(): boolean;
declare function helper(page: UserPage): void;
export const unused = [all_or_none, folio_put, get_user_bvec, IS_ERR, helper, perhaps, current, addr];
`;
const refused = (given: string, wanted: string) =>
  `TS2345: Argument of type '${given}' is not assignable to parameter of type '${wanted}'.`;

/** [what, parameters, body, message]; where compilers order a union differently, both. */
const NAMES: ReadonlyArray<readonly [string, string, string, ...string[]]> = [
  [
    "parameter",
    "p: UserPage",
    "put_user_page(p); put_user_page(p);",
    refused(`SpentUserPageRef<"released by put_user_page()">`, "HeldUserPage"),
  ],
  [
    "joined",
    "",
    "const p = get_user_page(current, addr, ITER_SOURCE); if (IS_ERR(p)) return; if (perhaps()) put_user_page(p); put_user_page(p);",
    refused(
      `SpentUserPage<"released by put_user_page()"> | OwnedUserPage<"source", "short">`,
      "HeldUserPage",
    ),
    refused(
      `OwnedUserPage<"source", "short"> | SpentUserPage<"released by put_user_page()">`,
      "HeldUserPage",
    ),
  ],
  [
    "array",
    "",
    "const p = all_or_none(pin_user_pages_fast(current, addr, 4, ITER_SOURCE)); if (IS_ERR(p)) return; put_user_pages(p); put_user_pages(p);",
    refused(`SpentUserPages<"released by put_user_pages()">`, "HeldUserPages"),
  ],
  [
    "own_array",
    "p: UserPage[]",
    "put_user_pages(p); put_user_pages(p);",
    refused(`SpentUserPagesRef<"released by put_user_pages()">`, "HeldUserPages"),
  ],
  [
    "element",
    "p: UserPage[]",
    "put_user_pages(p); for (const x of p) put_user_page(x);",
    refused(`SpentUserPageRef<"released by put_user_pages()">`, "HeldUserPage"),
  ],
  [
    "dirty_source",
    `p: OwnedUserPages<"source">`,
    "put_user_pages_dirty_lock(p, current);",
    refused(`OwnedUserPages<"source">`, "HeldDestPages"),
  ],
  ["short", "p: ShortPin", "put_user_pages(p);", refused("ShortPin<Dir, Term>", "HeldUserPages")],
  [
    "borrowed",
    "p: BorrowedUserPage",
    "put_user_page(p);",
    refused("BorrowedUserPage", "HeldUserPage"),
  ],
  ["borrowed_on", "p: BorrowedUserPage", "helper(p);", refused("BorrowedUserPage", "UserPage")],
  [
    "lent",
    "b: PinnedBvec",
    "put_user_page(b.page);",
    refused("LentUserPage<Dir, Term>", "HeldUserPage"),
  ],
  [
    "list",
    "b: PinnedBvecList",
    "put_user_bvec(b); put_user_bvec(b);",
    refused(`SpentBvecRef<"released by put_user_bvec()">`, "HeldBvecOrList"),
  ],
  [
    "term",
    "f: { b: LongtermBvecList | null }",
    "const b = get_user_bvec(current, addr, 1, ITER_SOURCE); if (IS_ERR(b)) return; f.b = b;",
    `TS2322: Type 'OwnedBvecList<"source", "short">' is not assignable to type 'LongtermBvecList | null'.`,
  ],
  [
    "emptied",
    "b: PinnedBio",
    "bio_release_pages(b, false); bio_release_pages(b, false);",
    refused("EmptiedBio", "BioWithPins"),
  ],
  [
    "ended",
    `b: EndedBio<"pinned user pages">`,
    "bio_put(b);",
    refused(`EndedBio<"pinned user pages">`, "BioWithoutPins"),
  ],
  [
    "submitted",
    "b: PinnedBio",
    "submit_bio(b); submit_bio(b);",
    refused(`SpentBioRef<"submitted by submit_bio()">`, "HeldBio"),
  ],
  [
    "folio",
    "f: Folio",
    "folio_put(f); folio_put(f);",
    refused(`SpentFolioRef<"released by folio_put()">`, "HeldFolio"),
  ],
  ["kind", "f: Folio", "put_page(f);", refused("Folio", "HeldPage")],
  [
    "scope",
    "",
    "return __free(put_page, get_user_page(current, addr, ITER_SOURCE));",
    refused(`GupError | OwnedUserPage<"source", "short">`, "AnyErrno | HeldPage"),
    refused(`OwnedUserPage<"source", "short"> | GupError`, "HeldPage | AnyErrno"),
    refused(`GupError | OwnedUserPage<"source", "short">`, "HeldPage | AnyErrno"),
    refused(`OwnedUserPage<"source", "short"> | GupError`, "AnyErrno | HeldPage"),
  ],
];
const files = new Map(
  NAMES.map(([what, params, body]) => [
    `${what}.ts`,
    `${HEAD}export function ${what}(${params}) { ${body} }\n`,
  ]),
);

describe.each(COMPILER_NAMES)("TypeScript %s", (compiler) => {
  const { errors } = compile(compiler, files);
  test.each(NAMES)("%s", (what, _params, _body, ...messages) => {
    expect(errors.get(`${what}.ts`)).toHaveLength(1);
    expect(messages).toContain(errors.get(`${what}.ts`)![0]);
  });
});
