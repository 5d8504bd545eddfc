/**
 * Numbers that must not be confused.
 *
 * 1. A user address comes from mmap() or u64_to_user_ptr(), a frame number from page_to_pfn(): no plain number is one,
 *    and neither is the other.
 * 2. Both are numbers: they can be printed and compared.  What is computed from one is a plain number again.
 * 3. A frame number leads to a page without a reference only.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  get_user_bvec,
  get_user_page,
  ITER_SOURCE,
  page_to_pfn,
  pfn_to_page,
  u64_to_user_ptr,
  user_ptr_add,
  type Errno,
  type Machine,
  type Page,
  type Pfn,
  type Task,
  type UnreferencedPage,
  type UserAddr,
  type UserPage,
} from "user-page";

export function a_number_is_no_address(current: Task) {
  expectNotAssignable<UserAddr>(0x1000);
  expectNotAssignable<UserAddr>(null);
  // @ts-expect-error
  get_user_page(current, 0x1000, ITER_SOURCE);
  // @ts-expect-error
  get_user_bvec(current, 0x1000, 1, ITER_SOURCE);
}
export function an_address_is_no_length(current: Task, addr: UserAddr) {
  // @ts-expect-error the two are in the wrong order
  get_user_bvec(current, 4096, addr, ITER_SOURCE);
}
export function a_frame_number_is_no_address(current: Task, pfn: Pfn, addr: UserAddr) {
  expectNotAssignable<UserAddr>(pfn);
  expectNotAssignable<Pfn>(addr);
  // @ts-expect-error
  get_user_page(current, pfn, ITER_SOURCE);
}
export function a_page_is_neither(page: Page, pin: UserPage) {
  expectNotAssignable<UserAddr>(page);
  expectNotAssignable<Pfn>(pin);
  expectType<Pfn>(page_to_pfn(page));
  expectType<Pfn>(page_to_pfn(pin));
}
export function both_are_numbers(addr: UserAddr, pfn: Pfn) {
  expectAssignable<number>(addr);
  expectAssignable<number>(pfn);
  expectType<boolean>(addr < 0x2000);
}
export function what_is_computed_is_a_number(current: Task, addr: UserAddr) {
  expectType<number>(addr + 4096);
  // @ts-expect-error user_ptr_add() keeps it an address
  get_user_page(current, addr + 4096, ITER_SOURCE);
  get_user_page(current, user_ptr_add(addr, 4096), ITER_SOURCE);
  get_user_page(current, u64_to_user_ptr(0x1000), ITER_SOURCE);
}
export function a_frame_number_gives_no_reference(machine: Machine, pfn: Pfn) {
  expectType<UnreferencedPage | Errno<"EINVAL">>(pfn_to_page(machine, pfn));
}
export function pfn_to_page_takes_no_number(machine: Machine) {
  // @ts-expect-error
  pfn_to_page(machine, 1);
}
