/*
 * gup
 *
 * What pin_user_pages_fast() and put_user_pages() do for 512 pages: walks four levels of tables, pins what each
 * entry maps, writes the handles to an array, and unpins from the array.  1 GiB of single pages, one call after
 * another through it.  Layout and counters as in src/mm: see references.c, memdesc.
 */
#include "serve.h"

#define NR_PAGES (1u << 18)
#define FIRST_PFN 1024u
#define BASE 0x7f0000000000ull
#define PRESENT 1
#define RW 2
#define PSE 32
#define PTE_FLAGS 63
#define REF_MAX (INT32_MAX - GUP_PIN_COUNTING_BIAS)

static int32_t *ref, *folio_table, *tables, *handles;
static int64_t *pins_acquired, *pins_released;
static uint32_t next_table = 1, pgd, position;

static int32_t table_below(uint32_t slot)
{
	if (tables[slot] == 0)
		tables[slot] = (next_table++ << 6) | PRESENT;
	return (uint32_t)tables[slot] >> 6;
}
static void map_page(uint64_t addr, uint32_t pfn)
{
	uint32_t pmd = addr >> 21;
	uint32_t pud_table = table_below((pgd << 9) + (pmd >> 18));
	uint32_t pmd_table = table_below((pud_table << 9) + ((pmd >> 9) & 511));
	uint32_t pte_table = table_below((pmd_table << 9) + (pmd & 511));

	tables[(pte_table << 9) + ((addr >> 12) & 511)] = (pfn << 6) | PRESENT | RW;
}

static int __attribute__((noinline, cold)) grab_odd(uint32_t pfn)
{
	int32_t r = ref[pfn], *folio;

	if (r >= 0)
		return 0;
	folio = folio_table + ((size_t)(uint32_t)~r << 2);
	if (folio[0] <= 0)
		return 0;
	folio[0]++;
	folio[1]++;
	return 1;
}
static int pin_pages_fast(uint64_t start, int nr, int want, int32_t *out)
{
	uint32_t pmd = start >> 21;
	uint32_t index = (start >> 12) & 511;
	int done = 0;

	while (done < nr) {
		uint32_t pud = tables[(pgd << 9) + (pmd >> 18)];
		uint32_t table = pud ? tables[((pud & ~PTE_FLAGS) << 3) + ((pmd >> 9) & 511)] : 0;
		int32_t entry = table ? tables[((table & ~PTE_FLAGS) << 3) + (pmd & 511)] : 0;
		int room = 512 - (int)index;
		int here = room < nr - done ? room : nr - done;
		const int32_t *pte;

		if (entry == 0 || (entry & PSE))
			break;
		pte = tables + (((uint32_t)entry >> 6) << 9) + index;
		for (int j = 0; j < here; j++) {
			uint32_t pfn = (uint32_t)pte[j] >> PAGE_HANDLE_SHIFT;
			int32_t r;

			if ((pte[j] & want) != want)
				return done + j;
			r = ref[pfn];
			if (r > 0 && r < REF_MAX && (pte[j] & RW))
				ref[pfn] = r + GUP_PIN_COUNTING_BIAS;
			else if (!grab_odd(pfn))
				return done + j;
			out[done + j] = pte[j] & ~PTE_FLAGS;
		}
		done += here;
		pmd++;
		index = 0;
	}
	if (done > 0)
		pins_acquired[(uint32_t)out[0] >> (PAGE_HANDLE_SHIFT + SECTION_SHIFT)] += done;
	return done;
}
static void __attribute__((noinline, cold)) unpin_rare(uint32_t pfn)
{
	if (ref[pfn] >= 0)
		die("a page was freed");
	folio_table[(size_t)(uint32_t)~ref[pfn] << 2]--;
}
static void unpin_pages(const int32_t *pages, int nr)
{
	for (int j = 0; j < nr; j++) {
		uint32_t pfn = (uint32_t)pages[j] >> PAGE_HANDLE_SHIFT;
		int32_t r = ref[pfn];

		if (r > GUP_PIN_COUNTING_BIAS) {
			ref[pfn] = r - GUP_PIN_COUNTING_BIAS;
			pins_released[pfn >> SECTION_SHIFT]++;
		} else
			unpin_rare(pfn);
	}
}

static void chunk(long windows)
{
	for (long w = 0; w < windows; w++) {
		uint64_t addr = BASE + (uint64_t)position * 4096;

		if (pin_pages_fast(addr, WINDOW, PRESENT | RW, handles) != WINDOW)
			die("not all pages were pinned");
		unpin_pages(handles, WINDOW);
		position = (position + WINDOW) & (NR_PAGES - 1);
	}
}

int main(void)
{
	int64_t acquired = 0, released = 0;
	uint32_t end = FIRST_PFN + NR_PAGES;

	ref = memory(4 * (size_t)end);
	folio_table = memory(16);
	tables = memory(4 * 512 * 1024);
	handles = memory(4 * WINDOW);
	pins_acquired = memory(8 * ((end >> SECTION_SHIFT) + 1));
	pins_released = memory(8 * ((end >> SECTION_SHIFT) + 1));
	pgd = next_table++;
	for (uint32_t i = 0; i < NR_PAGES; i++) {
		ref[FIRST_PFN + i] = 1;
		map_page(BASE + (uint64_t)i * 4096, FIRST_PFN + i);
	}
	serve(chunk, WINDOW);
	for (uint32_t i = FIRST_PFN; i < end; i++)
		if (ref[i] != 1)
			die("a count is wrong");
	for (uint32_t i = 0; i <= end >> SECTION_SHIFT; i++) {
		acquired += pins_acquired[i];
		released += pins_released[i];
	}
	if (acquired != released || acquired == 0)
		die("the pins do not balance");
	return 0;
}
