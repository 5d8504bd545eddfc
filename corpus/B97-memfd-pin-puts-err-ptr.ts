/**
 * memfd_pin_folios() of mm/gup.c went on when the folio was there already, with the error pointer in the variable that its
 * loop puts: "mm/gup: fix memfd_pin_folios alloc race panic".  One error of two leaves the function; C has one type for all
 * three.  Here the variable is a folio or that error, and the put takes a folio.
 */
import { ERR_PTR, folio_alloc, folio_put, IS_ERR, type Errno, type OwnedFolio } from "user-page";
import type { Bench } from "./bench.js";

type Allocated = OwnedFolio | Errno<"EINVAL" | "ENOMEM" | "EEXIST">;
/** Another thread may have been faster. */
function memfd_alloc_folio({ current, fails }: Bench): Allocated {
  return fails ? ERR_PTR("EEXIST", "another thread was faster") : folio_alloc(current, 0);
}
const is_eexist = (error: Errno<"EINVAL" | "ENOMEM" | "EEXIST">): error is Errno<"EEXIST"> =>
  error.errno === "EEXIST";

export function wrong(bench: Bench) {
  const folio = memfd_alloc_folio(bench);
  if (IS_ERR(folio) && !is_eexist(folio)) return folio;
  // @ts-expect-error perhaps an error
  folio_put(folio);
}

export function right(bench: Bench) {
  const folio = memfd_alloc_folio(bench);
  if (!IS_ERR(folio)) folio_put(folio);
  else if (!is_eexist(folio)) return folio;
}
