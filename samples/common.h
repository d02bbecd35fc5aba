/*
 * What the samples share and what is not about threads: time, files, child processes, pictures.
 */
#ifndef SAMPLES_COMMON_H
#define SAMPLES_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <green.h>

/* End the program with a line that names the call when an error number is not 0. */
#define MUST(call) must((call), #call)
void must(int error, const char *what);

/* CLOCK_MONOTONIC in nanoseconds, and sleeping until then. */
uint64_t now_ns(void);
void sleep_until(uint64_t when_ns);

/* green_create() with a name, which traces and pictures show. */
green_t start_thread(const char *name, void *(*function)(void *), void *arg);

/* `bytes` bytes of a file, from its start again when it is shorter.  Ends the program when it cannot be read. */
unsigned char *read_file(const char *path, size_t bytes);

/* The value that `percent` of the sorted values do not exceed. */
void sort_values(uint64_t *values, size_t count);
uint64_t percentile(const uint64_t *sorted, size_t count, unsigned percent);

/* A length of time as people say it: "27 us", "1.4 s". */
void print_duration(char *text, size_t bytes, uint64_t ns);

/* green_init() with these settings and defaults. */
void start_library(unsigned procs, bool preemptive);

/*
 * Run function(settings, result) in a child process, since green_init() can be called once in each, and take the
 * `bytes` of its result.  0 when it ended well.
 */
int in_child(void (*function)(const void *settings, void *result), const void *settings, void *result, size_t bytes);

/*
 * What preemption costs, in percent.  Two threads for each processor call work(NULL), without preemption one after
 * the other, with it in turns.  The work is the same, so what it takes longer is ticks, switches and caches gone
 * cold. Either is done several times, in turns, and the shortest counts, as what else the machine does only adds. 0
 * when it ended well.
 */
int cost_of_preemption(unsigned procs, void *(*work)(void *), double *percent);

/* Valgrind runs one thread at a time: there, what several do at once is not shown. */
bool under_valgrind(void);

/* One SVG picture out of several, from top to bottom; those are removed. */
int stack_pictures(const char *path, const char *const *parts, size_t count);

#endif
