/*
 * references <memdesc|linux> <get|pin> <seq|rand> <log2 of pages>
 *
 * One operation is taking a reference or pin and putting it again, in windows of 512 takes and 512 puts.
 *
 * memdesc  what src/mm/page.ts does: one column of counts, a table for folios, a counter of pins for each 1024
 *          pages; plain loads and stores
 * linux    what Linux does: 64-byte struct page, compound_head lookup, sequentially consistent atomics, a counter
 *          of the node that is kept per CPU and folded into an atomic one
 */
#include "serve.h"
#include <string.h>

static uint32_t nr_pages, random_shift;

/* --- memdesc ------------------------------------------------------------------------------------------- */
static int32_t *ref, *folio_table;
static int64_t *pins_acquired, *pins_released;

static void __attribute__((noinline, cold)) count_folio(uint32_t pfn, int refs, int pins)
{
	int32_t r = ref[pfn], *folio;

	if (r >= 0)
		die("a count left its range");
	folio = folio_table + ((size_t)(uint32_t)~r << 2);
	folio[0] += refs;
	folio[1] += pins;
	if (folio[0] <= 0)
		die("a folio was freed");
}
ALWAYS_INLINE void memdesc_get(uint32_t page)
{
	uint32_t pfn = page >> PAGE_HANDLE_SHIFT;
	int32_t r = ref[pfn];

	if (r > 0 && r < INT32_MAX)
		ref[pfn] = r + 1;
	else
		count_folio(pfn, 1, 0);
}
ALWAYS_INLINE void memdesc_put(uint32_t page)
{
	uint32_t pfn = page >> PAGE_HANDLE_SHIFT;
	int32_t r = ref[pfn];

	if (r > 1)
		ref[pfn] = r - 1;
	else
		count_folio(pfn, -1, 0);
}
ALWAYS_INLINE void memdesc_pin(uint32_t page)
{
	uint32_t pfn = page >> PAGE_HANDLE_SHIFT;
	int32_t r = ref[pfn];

	if (r > 0 && r <= INT32_MAX - GUP_PIN_COUNTING_BIAS)
		ref[pfn] = r + GUP_PIN_COUNTING_BIAS;
	else
		count_folio(pfn, 1, 1);
	pins_acquired[pfn >> SECTION_SHIFT]++;
}
ALWAYS_INLINE void memdesc_unpin(uint32_t page)
{
	uint32_t pfn = page >> PAGE_HANDLE_SHIFT;
	int32_t r = ref[pfn];

	if (r > GUP_PIN_COUNTING_BIAS)
		ref[pfn] = r - GUP_PIN_COUNTING_BIAS;
	else
		count_folio(pfn, -1, -1);
	pins_released[pfn >> SECTION_SHIFT]++;
}

/* --- linux --------------------------------------------------------------------------------------------- */
struct page {
	uint64_t flags; /* the node stands in the upper bits */
	uint64_t compound_head; /* bit 0: a tail page, the rest is the head */
	uint64_t others[4];
	int32_t mapcount;
	int32_t refcount;
	uint64_t memcg;
};
_Static_assert(sizeof(struct page) == 64, "struct page has 64 bytes");
#define PG_HEAD 0x40
#define NODE_SHIFT 58
#define STAT_THRESHOLD 125

struct node {
	int64_t acquired, released;
	int8_t cpu_acquired, cpu_released;
};
static struct page *pages, *zero_page;
static struct node nodes[4];

ALWAYS_INLINE struct page *compound_head(struct page *page)
{
	uint64_t head = page->compound_head;

	return __builtin_expect(head & 1, 0) ? (struct page *)(head - 1) : page;
}
/* A per-CPU difference, folded when it leaves its range. */
ALWAYS_INLINE void count_event(int64_t *total, int8_t *cpu, int n)
{
	int sum = *cpu + n;

	if (__builtin_expect(sum > STAT_THRESHOLD, 0)) {
		__atomic_fetch_add(total, sum, __ATOMIC_SEQ_CST);
		sum = 0;
	}
	*(volatile int8_t *)cpu = sum;
}
ALWAYS_INLINE void linux_get(struct page *page)
{
	struct page *head = compound_head(page);

	__atomic_fetch_add(&head->refcount, 1, __ATOMIC_SEQ_CST);
}
ALWAYS_INLINE void linux_put(struct page *page)
{
	struct page *head = compound_head(page);

	if (__atomic_sub_fetch(&head->refcount, 1, __ATOMIC_SEQ_CST) == 0)
		die("a page was freed");
}
ALWAYS_INLINE void linux_pin(struct page *page)
{
	struct page *head = compound_head(page);
	struct node *node = &nodes[head->flags >> NODE_SHIFT];

	if (__atomic_load_n(&head->refcount, __ATOMIC_RELAXED) <= 0)
		die("no reference");
	if (page == zero_page)
		return;
	if (head->flags & PG_HEAD) {
		__atomic_fetch_add(&head->refcount, 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&head[1].mapcount, 1, __ATOMIC_SEQ_CST);
	} else
		__atomic_fetch_add(&head->refcount, GUP_PIN_COUNTING_BIAS, __ATOMIC_SEQ_CST);
	count_event(&node->acquired, &node->cpu_acquired, 1);
}
ALWAYS_INLINE void linux_unpin(struct page *page)
{
	struct page *head = compound_head(page);
	struct node *node = &nodes[head->flags >> NODE_SHIFT];
	int refs = GUP_PIN_COUNTING_BIAS;

	if (page == zero_page)
		return;
	count_event(&node->released, &node->cpu_released, 1);
	if (head->flags & PG_HEAD) {
		__atomic_fetch_sub(&head[1].mapcount, 1, __ATOMIC_SEQ_CST);
		refs = 1;
	}
	if (__atomic_sub_fetch(&head->refcount, refs, __ATOMIC_SEQ_CST) == 0)
		die("a page was freed");
}

/* --- both ---------------------------------------------------------------------------------------------- */
static uint32_t position;
static uint32_t lcg = 12345;

#define SEQUENTIAL(name, TAKE, DROP, AT)                                                           \
	static void __attribute__((noinline)) name##_seq(long windows)                             \
	{                                                                                          \
		for (long w = 0; w < windows; w++) {                                               \
			uint32_t b = position;                                                     \
			for (uint32_t j = 0; j < WINDOW; j++)                                      \
				TAKE(AT(b + j));                                                   \
			for (uint32_t j = 0; j < WINDOW; j++)                                      \
				DROP(AT(b + j));                                                   \
			position = (b + WINDOW) & (nr_pages - 1);                                  \
		}                                                                                  \
	}
#define RANDOM(name, TAKE, DROP, AT)                                                               \
	static void __attribute__((noinline)) name##_rand(long windows)                            \
	{                                                                                          \
		uint32_t shift = random_shift;                                                     \
		for (long w = 0; w < windows; w++) {                                               \
			uint32_t y = lcg;                                                          \
			for (int j = 0; j < WINDOW; j++) {                                         \
				y = y * 1664525u + 1013904223u;                                    \
				TAKE(AT(y >> shift));                                              \
			}                                                                          \
			y = lcg;                                                                   \
			for (int j = 0; j < WINDOW; j++) {                                         \
				y = y * 1664525u + 1013904223u;                                    \
				DROP(AT(y >> shift));                                              \
			}                                                                          \
			lcg = y;                                                                   \
		}                                                                                  \
	}
#define HANDLE(n) ((uint32_t)(n) << PAGE_HANDLE_SHIFT)
#define STRUCT_PAGE(n) (pages + (n))
#define KERNELS(name, TAKE, DROP, AT) SEQUENTIAL(name, TAKE, DROP, AT) RANDOM(name, TAKE, DROP, AT)
KERNELS(memdesc_refs, memdesc_get, memdesc_put, HANDLE)
KERNELS(memdesc_pins, memdesc_pin, memdesc_unpin, HANDLE)
KERNELS(linux_refs, linux_get, linux_put, STRUCT_PAGE)
KERNELS(linux_pins, linux_pin, linux_unpin, STRUCT_PAGE)

static void check(int is_linux, int pins)
{
	int64_t acquired = 0, released = 0;

	for (uint32_t i = 0; i < nr_pages; i++)
		if ((is_linux ? pages[i].refcount : ref[i]) != 1)
			die("a count is wrong");
	if (is_linux) {
		acquired = nodes[0].acquired + nodes[0].cpu_acquired;
		released = nodes[0].released + nodes[0].cpu_released;
	} else {
		for (uint32_t i = 0; i < nr_pages >> SECTION_SHIFT; i++) {
			acquired += pins_acquired[i];
			released += pins_released[i];
		}
	}
	if (acquired != released || (acquired > 0) != pins)
		die("the pins do not balance");
}

int main(int argc, char **argv)
{
	int is_linux, pins, seq;
	void (*chunk)(long);

	if (argc != 5)
		die("references <memdesc|linux> <get|pin> <seq|rand> <log2 of pages>");
	is_linux = !strcmp(argv[1], "linux");
	pins = !strcmp(argv[2], "pin");
	seq = !strcmp(argv[3], "seq");
	nr_pages = 1u << atoi(argv[4]);
	random_shift = 32 - atoi(argv[4]);
	if (is_linux) {
		pages = memory(sizeof(struct page) * (size_t)nr_pages);
		for (uint32_t i = 0; i < nr_pages; i++)
			pages[i].refcount = 1;
		chunk = pins ? (seq ? linux_pins_seq : linux_pins_rand)
			     : (seq ? linux_refs_seq : linux_refs_rand);
	} else {
		ref = memory(4 * (size_t)nr_pages);
		folio_table = memory(16);
		pins_acquired = memory(8 * (size_t)(nr_pages >> SECTION_SHIFT));
		pins_released = memory(8 * (size_t)(nr_pages >> SECTION_SHIFT));
		for (uint32_t i = 0; i < nr_pages; i++)
			ref[i] = 1;
		chunk = pins ? (seq ? memdesc_pins_seq : memdesc_pins_rand)
			     : (seq ? memdesc_refs_seq : memdesc_refs_rand);
	}
	serve(chunk, WINDOW);
	check(is_linux, pins);
	return 0;
}
