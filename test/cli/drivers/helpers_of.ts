import { put_page, put_user_page, type UserPage } from "user-page";

/** Takes whatever it is given for a plain page. */
export function drop(page: unknown): void {
  put_page(page as never); // BUG pin-to-put_page
}
export function finish(page: UserPage): void {
  put_user_page(page);
}
