/**
 * The machine a scheme counts on: files in memory with small or huge folios, and address spaces that map them.  Who asks the
 * questions holds one plain reference on every page, so that it may.
 */
import {
  boot,
  create_task,
  exit_task,
  get_user_pages_fast,
  IS_ERR,
  madvise,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MAP_SHARED,
  memfd_create,
  MFD_HUGE,
  mmap,
  page_mapcount,
  page_ref_freeze,
  page_ref_unfreeze,
  page_to_pfn,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  put_page,
  user_ptr_add,
  type Machine,
  type Memfd,
  type Page,
  type Pfn,
  type Task,
  type UserAddr,
} from "user-page";
import { machine_state } from "../src/machine/machine.js";
import { mm_state } from "../src/mm/mm_types.js";
import { lookup_pte } from "../src/mm/uaccess.js";

/** An address space that maps a whole area. */
export interface Mapping {
  readonly task: Task;
  readonly addr: UserAddr;
  present: boolean;
}
export interface Area {
  readonly file: Memfd;
  readonly nr_pages: number;
  /** pages of one folio */
  readonly folio: 1 | 512;
  /** the asker's references, in order */
  readonly pages: Page[];
  /** the first is the owner's, through which is pinned */
  readonly mappings: Mapping[];
  /** its pages belong to the file */
  in_file: boolean;
}
/** Pages [first, first + nr) of an area. */
export interface Range {
  readonly area: Area;
  readonly first: number;
  readonly nr: number;
}
/** Where the owner has the first page of a range. */
export function address_of({ area, first }: Range): { current: Task; addr: UserAddr } {
  const [owner] = area.mappings;
  if (!owner) throw new RangeError("nobody maps the area");
  return { current: owner.task, addr: user_ptr_add(owner.addr, first * PAGE_SIZE) };
}
/** Pages [first, first + area.folio) of an area. */
export interface Folio {
  readonly area: Area;
  readonly first: number;
}
export const pages_of = ({ area, first }: Folio): readonly Page[] =>
  area.pages.slice(first, first + area.folio);
export function head_of({ area, first }: Folio): Page {
  const page = area.pages[first];
  if (page === undefined) throw new RangeError(`the area has no page ${first}`);
  return page;
}
export const pfn_of = (folio: Folio): Pfn => page_to_pfn(head_of(folio));
export const folios_of = (area: Area): Folio[] =>
  Array.from({ length: area.nr_pages / area.folio }, (_, i) => ({ area, first: i * area.folio }));

export class World {
  readonly machine: Machine;
  readonly areas: Area[] = [];
  readonly #kworker: Task;
  constructor(mem: number, debug = false) {
    this.machine = boot({ mem, CONFIG_DEBUG_USER_PAGE_REFERENCES: debug });
    this.#kworker = create_task(this.machine);
  }
  get base(): number {
    return machine_state(this.machine).base;
  }
  get nr_pages(): number {
    return machine_state(this.machine).nr_pages;
  }
  /** Somebody who maps nothing. */
  get bystander(): Task {
    return this.#kworker;
  }
  open(nr_pages: number, folio: 1 | 512): Area {
    const file = memfd_create(this.#kworker, nr_pages * PAGE_SIZE, folio === 1 ? 0 : MFD_HUGE);
    if (IS_ERR(file)) throw new Error(file.message);
    const area: Area = { file, nr_pages, folio, pages: [], mappings: [], in_file: true };
    const { task, addr } = this.map(area, true);
    const got = get_user_pages_fast(task, addr, nr_pages, 0, area.pages);
    if (got !== nr_pages) throw new Error(`${got} of ${nr_pages} pages`);
    this.areas.push(area);
    return area;
  }
  /** One address space more maps the area: an entry for each page. */
  map(area: Area, write = false): Mapping {
    const task = create_task(this.machine);
    const bytes = area.nr_pages * PAGE_SIZE;
    const addr = mmap(task, null, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, area.file);
    const populate = write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    madvise(task, addr._unsafeUnwrap(), bytes, populate)._unsafeUnwrap();
    const mapping = { task, addr: addr._unsafeUnwrap(), present: true };
    area.mappings.push(mapping);
    return mapping;
  }
  unmap(area: Area, which: number): void {
    const [mapping] = area.mappings.splice(which, 1);
    if (!mapping) return;
    mapping.present = false;
    exit_task(mapping.task);
  }
  /** The file gives its pages up; who holds them keeps them. */
  truncate(area: Area): void {
    while (area.mappings.length > 0) this.unmap(area, 0);
    if (area.in_file) area.file[Symbol.dispose]();
    area.in_file = false;
  }
  /** Nobody asks about the area any more.  With nothing held its pages are free from now on. */
  close(area: Area): void {
    this.truncate(area);
    for (let page = area.pages.pop(); page; page = area.pages.pop()) put_page(page);
    this.areas.splice(this.areas.indexOf(area), 1);
  }
  /** Entries that map the page, looked for in one address space. */
  entry_of({ task, addr }: Mapping, index: number, pfn: Pfn): 0 | 1 {
    const pte = lookup_pte(mm_state(task.mm, "entry_of()"), addr + index * PAGE_SIZE);
    return pte !== 0 && pte >>> 6 === pfn ? 1 : 0;
  }
  mapcount(folio: Folio): number {
    return pages_of(folio).reduce((sum, page) => sum + page_mapcount(page), 0);
  }
  /**
   * What migration, a split and a conversion to secure do: they compute how many references they know of, and freeze the
   * count if it is that many.
   */
  may_freeze(folio: Folio, mapcount: number): boolean {
    const { folio: nr, in_file } = folio.area;
    const expected = nr + (in_file ? nr : 0) + mapcount;
    const frozen = page_ref_freeze(head_of(folio), expected);
    if (frozen) page_ref_unfreeze(head_of(folio), expected);
    return frozen;
  }
}
