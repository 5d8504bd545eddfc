/**
 * smc_rx_splice() of net/smc/smc_rx.c gave its pages to a pipe and took the references for it afterwards, when a reader may
 * have put them already: "net/smc: fix warning in smc_rx_splice() when calling get_page()" and a second repair.  An entry
 * of the pipe is a struct page * that promises nothing.  Here an entry asks for a reference, and the connection's own is
 * one, so the same handle is given to two owners: debug mode reports its use after the reader's release, and the compiler
 * refuses it where the hand-over is declared with Narrows<>.
 */
import {
  alloc_page,
  get_page,
  IS_ERR,
  memcpy_from_page,
  put_page,
  type HeldPage,
  type Narrows,
  type Page,
  type SpentPage,
} from "user-page";
import type { Bench } from "./bench.js";

interface Connection {
  readonly rmb: Page;
}
type Pipe = Page[];
function splice_to_pipe(pipe: Pipe, pages: readonly Page[]) {
  pipe.push(...pages);
  return pages.length;
}
/** The reader, who may run at once. */
function pipe_read(pipe: Pipe) {
  const first = new Uint8Array(1);
  for (let page = pipe.shift(); page; page = pipe.shift()) {
    memcpy_from_page(first, page, 0);
    put_page(page);
  }
}
export function wrong({ current }: Bench) {
  const rmb = alloc_page(current);
  if (IS_ERR(rmb)) return rmb;
  const conn: Connection = { rmb };
  const pipe: Pipe = [];
  const spliced = splice_to_pipe(pipe, [conn.rmb]);
  pipe_read(pipe);
  if (spliced > 0) get_page(conn.rmb); // for the pipe, too late
  put_page(conn.rmb); // the connection ends
}

/** Makes an entry of a reference, which the pipe owns then. */
const add_to_pipe: Narrows<HeldPage, { is: SpentPage<"moved by add_to_pipe()"> }, [pipe: Pipe]> = (
  page,
  pipe,
) => {
  splice_to_pipe(pipe, [page]);
};
/** The same bug, with a hand-over that says what it is. */
export function stricter({ current }: Bench) {
  const rmb = alloc_page(current);
  if (IS_ERR(rmb)) return rmb;
  const conn: Connection = { rmb };
  const pipe: Pipe = [];
  add_to_pipe(conn.rmb, pipe);
  pipe_read(pipe);
  // @ts-expect-error moved by add_to_pipe()
  put_page(get_page(conn.rmb));
}
export function right({ current }: Bench) {
  const rmb = alloc_page(current);
  if (IS_ERR(rmb)) return rmb;
  const conn: Connection = { rmb };
  const pipe: Pipe = [];
  const for_pipe = get_page(conn.rmb);
  add_to_pipe(for_pipe, pipe);
  pipe_read(pipe);
  put_page(conn.rmb);
}
