import {
  FOLL_LONGTERM,
  FOLL_PCI_P2PDMA,
  get_user_bvec,
  gup_flags,
  IS_ERR,
  ITER_SOURCE,
  put_user_bvec,
} from "user-page";
import type { Bench } from "./bench.js";

export function wrong({ current, buf }: Bench) {
  // @ts-expect-error peer-to-peer memory may not be pinned for long
  const flags = gup_flags(FOLL_LONGTERM, FOLL_PCI_P2PDMA);
  const bvecs = get_user_bvec(current, buf, 4096, ITER_SOURCE, flags);
  if (IS_ERR(bvecs)) return bvecs;
  put_user_bvec(bvecs);
}
export function right({ current, buf }: Bench) {
  const bvecs = get_user_bvec(current, buf, 4096, ITER_SOURCE, FOLL_LONGTERM);
  if (IS_ERR(bvecs)) return bvecs;
  put_user_bvec(bvecs);
}
