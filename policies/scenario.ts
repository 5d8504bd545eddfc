/** What a scenario is, and how most of them begin. */
import { get_user_page, IS_ERR, ITER_DEST, type OwnedUserPage } from "user-page";
import type { World } from "./world.js";

export interface Scenario {
  readonly name: string;
  /** what happens, in a sentence */
  readonly about: string;
  /** The caller holds a plain reference: no policy can know of it. */
  readonly unconverted?: true;
  run(world: World): void;
}
/** What the program stored before, and what the device stores. */
export const CPU = 0x22;
export const DEVICE = 0x33;
/** What it stores after that. */
export const LATE = 0x44;

/** The page is dirty, and pinned to be written. */
export function pin_dirty(world: World): OwnedUserPage<"dest", "short"> {
  world.store(0, CPU);
  const page = get_user_page(world.current, world.at(0), ITER_DEST);
  if (IS_ERR(page)) throw new Error(page.message);
  return page;
}
