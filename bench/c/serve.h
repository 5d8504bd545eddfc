/* The child's half of the line protocol in driver.ts: "ready", then for each line read one number, ns per operation. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define RARE static void __attribute__((noinline, cold))

#define PAGE_HANDLE_SHIFT 6
#define GUP_PIN_COUNTING_BIAS 1024
#define SECTION_SHIFT 10
#define WINDOW 512

RARE die(const char *why)
{
	fprintf(stderr, "%s\n", why);
	exit(1);
}

/* Memory that is there: written once, without huge pages of the host, as typed arrays of Node have none. */
static void *memory(size_t bytes)
{
	char *p = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("out of memory");
	madvise(p, bytes, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < bytes; i += 4096)
		p[i] = 0;
	return p;
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* `chunk(n)` does n windows; per_window is the number of operations in one. */
static void serve(void (*chunk)(long), double per_window)
{
	long windows = 1;
	char line[64];

	for (;;) {
		double t = now_ns();

		chunk(windows);
		if (now_ns() - t >= 4e6)
			break;
		windows *= 2;
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		double best = 1e300;

		for (int k = 0; k < 5; k++) {
			double t = now_ns();

			chunk(windows);
			t = (now_ns() - t) / (windows * per_window);
			if (t < best)
				best = t;
		}
		printf("%.6f\n", best);
		fflush(stdout);
	}
}
