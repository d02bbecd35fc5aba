/*
 * What the stress programs share: options, seeded random numbers, and checks.
 *
 * Every program takes --seconds N and --seed S; the number of processors is GREEN_PROCS.  The slice changes at random
 * between 100 us and 5 ms unless GREEN_SLICE_US sets it.  The seed is printed, so that a run can be repeated.
 */
#ifndef STRESS_COMMON_H
#define STRESS_COMMON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Not assert(): stress programs are optimised, and the line must come out whatever holds stdio's lock. */
#define CHECK(condition) ((condition) ? (void)0 : stress_failed(__FILE__, __LINE__, #condition))

void stress_failed(const char *file, int line, const char *condition) __attribute__((noreturn));

struct stress {
    unsigned seconds;
    uint64_t seed;
};

/*
 * Not with AddressSanitizer, whose malloc's locks stay held in the child when a thread was inside it at the fork, nor
 * with ThreadSanitizer, which takes all its own before it, and never gets them when another of its threads ends then.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STRESS_FORKS = false };
#else
enum { STRESS_FORKS = true };
#endif

/* Read the options, print the seed, start the library at 100 us slices, and a thread that changes them. */
struct stress stress_begin(int argc, char **argv, const char *name);

/* True until the time is up. */
bool stress_goes_on(void);

/* Under Valgrind everything is fifty times slower: leave out what forks or computes for long. */
bool stress_under_valgrind(void);

/* The next number of a generator. */
uint32_t stress_random(uint64_t *state);

/* A generator for thread number n. */
uint64_t stress_generator(const struct stress *stress, unsigned n);

/* Print the closing line and the counters.  Call last. */
void stress_end(const char *name, uint64_t operations);

#endif
