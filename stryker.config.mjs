// Mutation testing, docs/mutation.md: of what counts, or with MUTATE=debug of what reports.
const debug = process.env["MUTATE"] === "debug";
const suite = debug ? "debug" : "counts";
const counts = [
  "src/mm/{page_ref,page_pin,page,folio,unpin,unpin_pages,vaddr_pin}.ts",
  "src/mm/{pin_user_pages,get_user_pages,gup,gup_fast,gup_bvec,gup_longterm}.ts",
  "src/mm/{user_bvec,bvec_state}.ts",
  "src/machine/{arena,machine}.ts",
  "src/block/bio_state.ts",
];

export default {
  mutate: debug ? ["src/debug/*.ts", "src/machine/{misuse,leaks}.ts"] : counts,
  // The sentences of reports and errors are tests of their own.
  mutator: { excludedMutations: ["StringLiteral"] },
  testRunner: "command",
  buildCommand: "node scripts/mutate/build.mjs",
  commandRunner: {
    command: `MUTATE=${suite} USER_PAGE_DEBUG=${debug ? 1 : 0} node --enable-source-maps dist/mutate.mjs`,
  },
  concurrency: 1,
  timeoutMS: 4000,
  timeoutFactor: 1.25,
  dryRunTimeoutMinutes: 15,
  reporters: ["clear-text", "progress-append-only", "json"],
  clearTextReporter: { logTests: false, reportTests: false, allowColor: false },
  jsonReporter: { fileName: `.cache/mutation/${suite}.json` },
  tempDirName: ".cache/stryker",
  ignorePatterns: [
    "dist",
    "docs",
    "coverage",
    ".build",
    ".cache",
    "bench",
    "cli",
    "conform",
    "demo",
    "vitest",
  ],
};
