// What a message of the compiler means: by the types in it and the function that was called, the misuse of the table of
// the library, or a hint where the table has no word for it.  The first rule that fits counts.
import { ENDS, type MisuseId } from "user-page";

export interface Rule {
  /** one member of the given type, which may be a union */
  readonly given: RegExp;
  /** the wanted type, as a whole */
  readonly wanted?: RegExp;
  readonly callee?: RegExp;
  readonly means: MisuseId | { readonly hint: string };
}

/** References of each sort, whatever the state: the names that messages use. */
const PIN =
  /^(?!Spent)\w*?(UserPage|UserPages|Bvec|BvecList|DestPages?|IterUserPages)(PinnedFor)?\b/;
const PLAIN = /^(?!Spent|Unreferenced)\w*?(?<!User|Dest)(Page|Pages|Folio)(Ref)?\b(?!PinnedFor)/;
const WANTS_PIN = /^(?!Lent).*(UserPage|Bvec|HeldDest)/;
const WANTS_PLAIN = /^(Held|Owned)?(Accessible)?(Page|Folio)\b/;
/** What a function that adds to a bio takes, which keeps no reference of its own. */
const ANY_PLAIN = /^(Held|Owned|Borrowed|Any)?(Page|Folio)\b/;
/** A function that ends a handle takes it by such a type; what only uses it borrows. */
const TAKES = /\bHeld|PinnedFor/;
const KEEPS = /\bHeld|PinnedFor|^(User)?Page\b|^PinnedBvec|^OwnedUserPages|^Folio\b/;
const ADDS_TO_BIO = /^(__|secure_)?bio_(try_)?add_/;
const ENDING = new RegExp(`^(${Object.keys(ENDS).join("|")})$`);
const ADDRESS = /^(UserAddr|Pfn)$/;
const WORD = /^(number|string|boolean|bigint|\d+|".*"|true|false|null)$/;

export const RULES: readonly Rule[] = [
  // contexts and locks
  {
    given: /^SoftirqContext$|^AnyContext$/,
    wanted: /ProcessContext|Task/,
    means: "sleep-in-atomic",
  },
  { given: /^(true|boolean)$/, wanted: /mark_dirty/, means: "sleep-in-atomic" },
  { given: /./, wanted: /LockedMm|HeldMmapLock/, means: "lock-not-held" },
  // flags
  { given: /./, wanted: /IllegalTogether|(Get|Pin|Gup|Any|Legal)Flags/, means: "illegal-flags" },
  // bios
  { given: /^Spent\w*Bio/, means: "bio-reused" },
  { given: /Bio\b/, wanted: /BioWithoutPins/, means: "bio-put-with-pins" },
  { given: /^EmptiedBio/, wanted: /BioWithPins/, means: "double-release" },
  { given: /^EmptiedBio/, means: "use-after-release" },
  {
    given: /"source"/,
    wanted: /(Bio|Bvec|Page|BvecList)(Pinned)?For<"dest">/,
    means: "wrong-direction",
  },
  { given: /Bio\b/, wanted: /Bio\b|BioFor|BioOf|BioWithPins/, means: "mixed-bio" },
  // handles that ended
  { given: /^Spent/, wanted: TAKES, means: "double-release" },
  { given: /^Spent/, callee: ENDING, means: "double-release" },
  { given: /^Spent/, means: "use-after-release" },
  // answers that were not looked at
  { given: /^ShortPin/, means: "short-pin" },
  // pages that are only found
  { given: /^UnreferencedPage$/, callee: /make_accessible/, means: "accessible-before-reference" },
  { given: /^UnreferencedPage$/, means: "no-reference" },
  { given: /Page/, wanted: /AccessiblePage/, means: "inaccessible-page" },
  // kinds of references
  { given: PIN, wanted: ANY_PLAIN, callee: ADDS_TO_BIO, means: "mixed-bio" },
  { given: PLAIN, wanted: WANTS_PIN, callee: ADDS_TO_BIO, means: "mixed-bio" },
  { given: /^(Lent|Borrowed)/, wanted: KEEPS, means: "release-lent" },
  { given: /"source"/, wanted: /Dest|"dest"/, means: "wrong-direction" },
  {
    given: /^(Owned)?(Page|Folio)$/,
    wanted: /BorrowedDest/,
    means: {
      hint: 'only a page that is pinned with "dest" may be written: its file was asked first',
    },
  },
  { given: PIN, wanted: WANTS_PLAIN, means: "pin-to-put_page" },
  { given: PLAIN, wanted: WANTS_PIN, means: "page-to-put_user_page" },
  // what is no handle
  { given: ADDRESS, means: "address-confusion" },
  { given: WORD, wanted: /UserAddr|Pfn/, means: "address-confusion" },
  { given: WORD, wanted: /Held|Borrowed|AnyPage|Page\b|Folio\b/, means: "not-a-handle" },
  {
    given: /^(GupError|BlkError|OpenError|MmError|UvError|Errno\b.*|AnyErrno)$/,
    means: { hint: "the call may have failed: ask IS_ERR() before the value is used" },
  },
  {
    given: /^undefined$/,
    means: { hint: "nothing may be there: the index may lie behind the end of what was got" },
  },
  {
    given: /"short"/,
    wanted: /Longterm|"longterm"/,
    means: { hint: "what is kept for long is pinned with FOLL_LONGTERM" },
  },
];
