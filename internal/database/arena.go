package database

/*
#include <malloc.h>

// The GNU C library gives threads that allocate at a time an arena each, up to eight for
// each processor, and keeps in each what has been freed there. SQLite runs on whatever
// thread Go has at hand, so that in time all of them become as large as one has to be:
// the memory of a program that runs for months creeps up, for nothing (docs/BENCHMARKS.md,
// Soak). This runs before main, and so before Go has any thread with an arena.
__attribute__((constructor)) static void one_arena(void) {
#ifdef M_ARENA_MAX
	mallopt(M_ARENA_MAX, 1);
#endif
}
*/
import "C"
