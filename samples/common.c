/*
 * See common.h.
 */
#include "common.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <green/sched.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

void must(int error, const char *what)
{
    if (error) {
        fprintf(stderr, "%s: %s\n", what, strerror(error));
        exit(1);
    }
}

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void sleep_until(uint64_t when_ns)
{
    struct timespec when = {.tv_sec = (time_t)(when_ns / 1000000000u), .tv_nsec = (long)(when_ns % 1000000000u)};
    MUST(green_clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL));
}

green_t start_thread(const char *name, void *(*function)(void *), void *arg)
{
    green_attr_t attr;
    green_t thread;
    MUST(green_attr_init(&attr));
    MUST(green_attr_setname_np(&attr, name));
    MUST(green_create(&thread, &attr, function, arg));
    MUST(green_attr_destroy(&attr));
    return thread;
}

unsigned char *read_file(const char *path, size_t bytes)
{
    unsigned char *content = malloc(bytes);
    FILE *file = fopen(path, "r");
    must(content && file ? 0 : errno, path);
    size_t filled = fread(content, 1, bytes, file);
    must(filled == 0 ? ENODATA : 0, path);
    fclose(file);
    while (filled < bytes) {
        size_t more = filled < bytes - filled ? filled : bytes - filled;
        memcpy(content + filled, content, more);
        filled += more;
    }
    return content;
}

void start_library(unsigned procs, bool preemptive)
{
    struct green_config config = {.procs = procs, .preempt = preemptive ? GREEN_ON : GREEN_OFF};
    MUST(green_init(&config));
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void sort_values(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
}

uint64_t percentile(const uint64_t *sorted, size_t count, unsigned percent)
{
    return count ? sorted[(count - 1) * percent / 100] : 0;
}

void print_duration(char *text, size_t bytes, uint64_t ns)
{
    static const struct {
        double ns;
        const char *name;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
    size_t i = 0;
    while (i < 3 && (double)ns < units[i].ns) {
        i++;
    }
    double value = (double)ns / units[i].ns;
    snprintf(text, bytes, "%.*f %s", value < 10, value, units[i].name);
}

int in_child(void (*function)(const void *settings, void *result), const void *settings, void *result, size_t bytes)
{
    int ends[2];
    must(pipe(ends) ? errno : 0, "pipe");
    fflush(NULL);
    pid_t child = fork();
    must(child < 0 ? errno : 0, "fork");
    if (child == 0) {
        must(prctl(PR_SET_PDEATHSIG, SIGKILL) ? errno : 0, "prctl"); /* it ends with us, whatever ends us */
        function(settings, result);
        exit(write(ends[1], result, bytes) != (ssize_t)bytes);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], result, bytes);
    close(ends[0]);
    int status;
    waitpid(child, &status, 0);
    if (got != (ssize_t)bytes || status != 0) {
        fprintf(stderr, "a run failed: wait status 0x%x\n", (unsigned)status);
        return 1;
    }
    return 0;
}

struct work {
    unsigned procs;
    bool preemptive;
    void *(*function)(void *);
};

static void time_work(const void *settings, void *elapsed_ns)
{
    const struct work *work = settings;
    start_library(work->procs, work->preemptive);
    unsigned count = 2 * work->procs;
    green_t threads[count];
    uint64_t start_ns = now_ns();
    for (unsigned i = 0; i < count; i++) {
        threads[i] = start_thread("work", work->function, NULL);
    }
    for (unsigned i = 0; i < count; i++) {
        MUST(green_join(threads[i], NULL));
    }
    *(uint64_t *)elapsed_ns = now_ns() - start_ns;
}

int cost_of_preemption(unsigned procs, void *(*work)(void *), double *percent)
{
    uint64_t best_ns[2] = {UINT64_MAX, UINT64_MAX};
    for (unsigned round = 0; round < 10; round++) {
        unsigned preemptive = round % 2;
        struct work settings = {procs, preemptive, work};
        uint64_t ns;
        if (in_child(time_work, &settings, &ns, sizeof ns)) {
            return 1;
        }
        best_ns[preemptive] = ns < best_ns[preemptive] ? ns : best_ns[preemptive];
    }
    *percent = 100.0 * ((double)best_ns[1] / (double)best_ns[0] - 1);
    return 0;
}

/* The size that the first line of a picture names. */
static void picture_size(FILE *picture, unsigned *width, unsigned *height)
{
    int found = fscanf(picture, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\"", width,
                       height);
    must(found == 2 ? 0 : EBADMSG, "size of a picture");
    rewind(picture);
}

bool under_valgrind(void)
{
#ifdef RUNNING_ON_VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}

/* SVG pictures may stand inside one another as they are, moved by an <svg y="..."> around each. */
int stack_pictures(const char *path, const char *const *parts, size_t count)
{
    FILE *file[count];
    unsigned y[count + 1], width = 0;
    y[0] = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned height;
        file[i] = fopen(parts[i], "r");
        must(file[i] ? 0 : errno, parts[i]);
        picture_size(file[i], &width, &height);
        y[i + 1] = y[i] + height;
    }
    FILE *out = fopen(path, "w");
    must(out ? 0 : errno, path);
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\"", width, y[count]);
    fprintf(out, " viewBox=\"0 0 %u %u\">\n", width, y[count]);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "<svg y=\"%u\">\n", y[i]);
        for (int c = fgetc(file[i]); c != EOF; c = fgetc(file[i])) {
            fputc(c, out);
        }
        fputs("</svg>\n", out);
        fclose(file[i]);
        remove(parts[i]);
    }
    fputs("</svg>\n", out);
    return fclose(out);
}
