// What mutants of debug mode are run against, the quick ones first.
import "../../test/trust/mutate_setup.ts";
import "../../test/debug/tags.test.ts";
import "../../test/debug/report.test.ts";
import "../../test/debug/foreign_handles.test.ts";
import "../../test/trust/triggers.test.ts";
import "../../test/block/pin_ledger.test.ts";
import "../../test/mm/gup.test.ts";
import "../../test/mm/user_bvec.test.ts";
import "../../test/debug/leaks.test.ts";
import "../../test/properties/counts.test.ts";
import "../../test/debug/ledger.test.ts";
import "../../test/debug/records.test.ts";
import "../../test/debug/history.test.ts";
import "../../test/debug/by_number.test.ts";
import "../../test/debug/right.test.ts";
import "../../test/debug/collected.test.ts";
import "../../test/mm/unpin_pages.test.ts";
import { finish } from "./vitest.mjs";

await finish();
