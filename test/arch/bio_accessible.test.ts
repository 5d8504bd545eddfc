/** I/O that asks for accessible pages, by type. */
import {
  bio_add_page,
  bio_alloc,
  copy_to_user,
  make_accessible,
  put_page,
  secure_bio_add_page,
  secure_rw_page,
  uv_stat,
} from "user-page";
import { describe, expect, test } from "vitest";
import { forced, must } from "../fixtures.js";
import { at, lookup, make_world, read, secure, share } from "./uv_world.js";

describe("I/O by type", () => {
  test("reference, accessible, transfer, release: the bytes of a shared page reach the disk", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    share(w.guest, w.buf);
    const page = lookup(w.guest, w.buf);
    if (!make_accessible(page, w.guest)) throw new Error("not accessible");
    expect(secure_rw_page(w.disk, "REQ_OP_WRITE", 8, page, w.guest)).toBeNull();
    put_page(page);
    const back = must(lookup(w.guest, w.buf));
    if (!make_accessible(back, w.guest)) throw new Error("not accessible");
    copy_to_user(w.guest, w.buf, new Uint8Array(4096))._unsafeUnwrap();
    expect(secure_rw_page(w.disk, "REQ_OP_READ", 8, back, w.guest)).toBeNull();
    put_page(back);
    expect(read(w.guest, w.buf)).toEqual(w.plain);
  });
  test("a page that was not made accessible is reported before the device sees it", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const page = lookup(w.guest, w.buf);
    const rw = forced(secure_rw_page);
    expect(() => rw(w.disk, "REQ_OP_WRITE", 0, page, w.guest)).toThrow("inaccessible-page");
    using bio = bio_alloc(w.disk, 1, "REQ_OP_WRITE");
    expect(() => forced(secure_bio_add_page)(bio, page, 4096, 0)).toThrow("inaccessible-page");
    expect(uv_stat(w.machine).access_exceptions).toBe(0);
    put_page(page);
  });
  test("a full bio gives the page back", () => {
    using w = make_world(undefined, {}, 2);
    const [first, second] = [lookup(w.guest, w.buf), lookup(w.guest, at(w.buf, 1))];
    if (!make_accessible(first, w.guest) || !make_accessible(second, w.guest)) return;
    using bio = bio_alloc(w.disk, 1, "REQ_OP_WRITE");
    bio_add_page(bio, first, 512, 2048);
    expect(secure_bio_add_page(bio, second, 512, 512)).toBe(false);
    put_page(second);
    put_page(first);
  });
});
