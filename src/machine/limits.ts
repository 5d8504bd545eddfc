/** Every size and upper bound, with its reason. */

export const PAGE_SHIFT = 12;
/** bytes in a page */
export const PAGE_SIZE = 4096;
/** order of a folio mapped by one PMD entry: 512 pages, 2 MiB */
export const HPAGE_PMD_ORDER = 9;
export const HPAGE_PMD_NR = 512;
export const PMD_SIZE = 2097152;
/** largest order the allocator hands out, as on x86-64: 1024 pages, 4 MiB */
export const MAX_PAGE_ORDER = 10;
/** first byte above user space on x86-64 with four levels: one guard page below 2^47 */
export const TASK_SIZE: number = 2 ** 47 - PAGE_SIZE;
/** what one pin adds to the reference count of a page of order 0 */
export const GUP_PIN_COUNTING_BIAS = 1024;
/** bytes of one read or write: the largest int, rounded down to pages */
export const MAX_RW_COUNT = 0x7ffff000;
/** pages of a pipe, unless asked for otherwise */
export const PIPE_DEF_BUFFERS = 16;
/** segments of one bio */
export const BIO_MAX_VECS = 256;
/** bytes of one bio: bi_size has 32 bits */
export const MAX_BIO_BYTES: number = 2 ** 32 - 1;
/** bytes of one sector */
export const SECTOR_SIZE = 512;

/** 2^25 pages of 64 bytes are 2^31: the last size at which every handle is an int32.  128 GiB of model memory. */
export const MAX_PAGES: number = 2 ** 25;
/** Folio table entries: enough for half of all pages to be heads. */
export const MAX_FOLIOS: number = 2 ** 24;
/** Machines begin at a multiple of this many pages, so that blocks of MAX_PAGE_ORDER are aligned. */
export const SECTION_SHIFT = 10;
export const SECTION_PAGES = 1024;
/** Page tables of all machines together; 2^17 map 256 GiB by 4 KiB entries. */
export const MAX_PAGE_TABLES: number = 2 ** 17;
/** Memory is allocated from the host in pieces of this many pages (256 MiB), when it is first touched. */
export const CHUNK_SHIFT = 16;
export const CHUNK_PAGES = 65536;
/** Acquisitions a debugging machine can tell apart before serial numbers are used again. */
export const MAX_RECORDS: number = 2 ** 21;
/** Ended acquisitions of which a debugging machine remembers where they happened. */
export const MAX_ENDED_SITES: number = 2 ** 12;
/** Bios of which a debugging machine remembers that they were submitted and completed. */
export const MAX_DEBUG_OWNERS: number = 2 ** 16;
/** Lines `dmesg()` keeps. */
export const MAX_DMESG = 1000;
/** Work items and completions run before the machine decides that they feed themselves. */
export const MAX_SOFTIRQ_RUN = 1_000_000;
