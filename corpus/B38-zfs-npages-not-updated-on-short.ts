/**
 * The direct I/O of OpenZFS compared the count before it added it to its own: a short pin returned EFAULT and the clean-up
 * did not know of the pages (pull request 16856, found in review).  In C the pages lie in the caller's array already, and
 * only the count makes them its own.  Leaving out the step compiles here too and debug mode lists the pins; owning first
 * and judging then is one line.
 */
import {
  IS_ERR,
  IS_SHORT,
  ITER_SOURCE,
  pin_user_pages_unlocked,
  unpin_user_page,
  type UserPage,
} from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

interface Dio {
  readonly pages: UserPage[];
}
/** The caller's clean-up, on success and on error. */
function dio_free(dio: Dio) {
  for (let page = dio.pages.pop(); page; page = dio.pages.pop()) unpin_user_page(page);
}
function get_dio_pages({ current, buf, fails }: Bench, dio: Dio) {
  const got = pin_user_pages_unlocked(current, buf, fails ? 20 : 16, ITER_SOURCE);
  if (IS_ERR(got)) return 14;
  if (IS_SHORT(got)) return 14; // before they are counted
  dio.pages.push(...got);
  return 0;
}
export function wrong(bench: Bench) {
  const dio: Dio = { pages: [] };
  const error = get_dio_pages(bench, dio);
  dio_free(dio);
  return -error;
}

function own_then_judge({ current, buf, fails }: Bench, dio: Dio) {
  const got = pin_user_pages_unlocked(current, buf, fails ? 20 : 16, ITER_SOURCE);
  if (IS_ERR(got)) return 14;
  dio.pages.push(...(IS_SHORT(got) ? got.partial : got));
  return IS_SHORT(got) ? 14 : 0;
}
export function right(bench: Bench) {
  const dio: Dio = { pages: [] };
  const error = own_then_judge(bench, dio);
  if (!error) for (const page of dio.pages) dma_to_device(bench.device, page);
  dio_free(dio);
  return -error;
}
