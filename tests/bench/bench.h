/*
 * What the drivers of `make bench` have in common: the clock, the loop that times a batch, and the one line
 * of output.
 *
 * A driver measures one row per process, `driver row`, and prints "name value unit" lines on standard output,
 * nothing else.  tests/bench/run starts the drivers, table.awk makes the table.
 *
 * The rows in C are libgreen programs, and the same files compiled with nptl/ before include/ on the search
 * path are the kernel's: nptl/green.h renames them.  A row that needed an #ifdef would mean that porting is
 * more than a rename.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CLOCK_MONOTONIC. */
uint64_t bench_now_ns(void);

/* Do ops operations. */
typedef void bench_batch(unsigned ops);

/*
 * Nanoseconds per operation: batch(ops) is called again and again for 0.4 s, after one call that is not counted.
 * The batch makes its own threads, so ops must be large enough for that not to matter.
 */
double bench_ns_per_op(bench_batch *batch, unsigned ops);

/*
 * Report that, and NAME_least, what an operation took in the shortest batch: a machine's other work, on the other half of
 * the same core for instance, adds to a cost, and to that of many instructions more than to that of a slow one.
 */
void bench_report_switch(const char *name, bench_batch *batch, unsigned ops);

/* Print one result. */
void bench_report(const char *name, double value, const char *unit);

/* Sort the values, nanoseconds, and print two of them in microseconds: the median, NAME_p50, and NAME_p99. */
void bench_report_percentiles(const char *name, uint64_t *values, size_t count);

/* What this process occupies: resident memory plus page tables. */
double bench_memory_bytes(void);

/* The most resident memory that this process has had. */
double bench_peak_bytes(void);

/* BENCH_THREADS: how many threads the rows `parked` and `timed` make; 100,000 unless told. */
unsigned bench_threads(void);

/* End the program unless error is 0. */
void bench_must(int error, const char *what);

/* A loop of multiplications that lives in registers and that no compiler can shorten.  Returns a value to keep. */
uint64_t bench_compute(uint64_t seed, unsigned rounds);

/* The rows. */
void bench_yield(void);
void bench_create(void);
void bench_mutex(void);
void bench_pingpong(void);
void bench_channel(void);
void bench_lateness(void);
void bench_block(void);
void bench_tick(void);
void bench_parked(void);
void bench_skynet(void);
void bench_fib(void);
void bench_sigmask(void);
void bench_signal(void);
void bench_contend(void);
void bench_timed(void);

#ifdef __cplusplus
}
#endif

#endif
