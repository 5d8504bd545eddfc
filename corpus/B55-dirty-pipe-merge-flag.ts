/**
 * copy_page_to_iter_pipe() of lib/iov_iter.c stored a page-cache page in a recycled slot of the pipe and left the slot's
 * flags as they were (CVE-2022-0847): a later write to the pipe found CAN_MERGE and wrote into the file's page.  C lets a
 * slot be assigned field by field, and so does TypeScript.  A plain page carries no direction here, so neither the types
 * nor debug mode know that this one is only to be read; a record built whole, whose flag and writable page are one
 * variant, cannot be stale.
 */
import {
  alloc_page,
  get_page,
  IS_ERR,
  memcpy_from_page,
  memcpy_to_page,
  put_page,
  type BorrowedPage,
  type Page,
} from "user-page";
import type { Bench } from "./bench.js";

interface PipeBuffer {
  page: Page | null;
  len: number;
  can_merge: boolean;
}
function pipe_release(buf: PipeBuffer) {
  const { page } = buf;
  buf.page = null;
  if (page) put_page(page);
}
/** Appends to the newest buffer if it may. */
function pipe_write(buf: PipeBuffer, bytes: Uint8Array) {
  if (!buf.page || !buf.can_merge) return;
  memcpy_to_page(buf.page, buf.len, bytes);
  buf.len += bytes.length;
}
/** The first byte behind what was spliced, in the file's page. */
function byte_of(page: BorrowedPage, offset: number) {
  const byte = new Uint8Array(1);
  memcpy_from_page(byte, page, offset);
  return byte[0]!;
}
export function wrong({ current }: Bench) {
  const file_page = alloc_page(current);
  const own = alloc_page(current);
  if (IS_ERR(file_page)) return file_page;
  if (IS_ERR(own)) return own;
  const slot: PipeBuffer = { page: own, len: 1, can_merge: true };
  pipe_release(slot); // read by somebody; the slot is used again
  slot.page = get_page(file_page);
  slot.len = 1;
  pipe_write(slot, new Uint8Array([0xee]));
  const overwritten = byte_of(file_page, 1) === 0xee;
  pipe_release(slot);
  put_page(file_page);
  return overwritten ? "the file was overwritten" : undefined;
}

type Slot =
  | { readonly page: Page; readonly can_merge: true; len: number }
  | { readonly page: Page; readonly can_merge: false; readonly len: number };
function append(slot: Slot, bytes: Uint8Array) {
  if (!slot.can_merge) return false;
  memcpy_to_page(slot.page, slot.len, bytes);
  slot.len += bytes.length;
  return true;
}
export function right({ current }: Bench) {
  const file_page = alloc_page(current);
  if (IS_ERR(file_page)) return file_page;
  const slot: Slot = { page: get_page(file_page), can_merge: false, len: 1 };
  append(slot, new Uint8Array([0xee]));
  const overwritten = byte_of(file_page, 1) === 0xee;
  put_page(slot.page);
  put_page(file_page);
  return overwritten ? -5 : 0;
}
