/*
 * The unit tests under a tool, Valgrind or ThreadSanitizer: each in a process of its own, by a plain fork().
 *
 * Criterion starts the program anew for each test, which takes Valgrind seconds before the test's first instruction,
 * a thousand times.  Here the program is started once, and its only thread forks: what the tool knows of the program
 * is in the child as it was.  The tests are those that Criterion would find, in the section that its macros fill.
 *
 * A test fails by its status, which is also how the tools say what they found (--error-exitcode), by leaving something
 * in the tool's log of its process (FOLDER/PID, with --logs FOLDER), or by not coming to its end: then gdb, if it is
 * there, says where its kernel threads are.  What a test has left running is ended.  Which tests the tool cannot run is
 * said in a file, by lines of tool, pattern and reason.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plain.h"

#define JOBS_MAX 64
#define LEFT_OUT_MAX 256

extern struct criterion_test *__start_cr_tst[];
extern struct criterion_test *__stop_cr_tst[];

struct job {
    const struct criterion_test *test;
    pid_t process;
    int output;
    time_t begun;
    bool late;
};

static struct {
    unsigned jobs;
    long limit; /* seconds */
    const char *logs;
    const char *tool;
    const char *left_out_file;
    bool verbose;
    bool here; /* run the first test in this process, for a debugger */
    char **patterns; /* up to NULL; none: every test */
} options = {.jobs = 1, .limit = 60};

static struct {
    char *patterns[LEFT_OUT_MAX];
    unsigned used[LEFT_OUT_MAX];
    unsigned count;
} left_out;

static struct job jobs[JOBS_MAX];
static unsigned passed, failed, skipped, omitted;

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static time_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static void read_left_out(void)
{
    FILE *file = fopen(options.left_out_file, "re");
    char line[512];

    if (!file)
        die(options.left_out_file);
    while (fgets(line, sizeof line, file)) {
        char *rest = NULL;
        const char *tool = strtok_r(line, " \t\n", &rest);
        const char *pattern = strtok_r(NULL, " \t\n", &rest);

        if (!tool || tool[0] == '#' || strcmp(tool, options.tool) != 0)
            continue;
        if (!pattern || !strtok_r(NULL, "\n", &rest) || left_out.count == LEFT_OUT_MAX) {
            fprintf(stderr, "%s: %s: no reason is given\n", options.left_out_file, pattern ? pattern : tool);
            exit(2);
        }
        left_out.patterns[left_out.count++] = strdup(pattern);
    }
    fclose(file);
}

static bool is_left_out(const char *name)
{
    for (unsigned i = 0; i < left_out.count; i++)
        if (fnmatch(left_out.patterns[i], name, 0) == 0) {
            left_out.used[i]++;
            return true;
        }
    return false;
}

static bool is_wanted(const char *name)
{
    if (!options.patterns[0])
        return true;
    for (char **pattern = options.patterns; *pattern; pattern++)
        if (fnmatch(*pattern, name, 0) == 0)
            return true;
    return false;
}

static void run_test(const struct criterion_test *test, int output)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    close(output);
    test->test();
    exit(0);
}

/* A file without a name, for what the test prints. */
static int open_output(void)
{
    char name[] = "/tmp/unit-XXXXXX";
    const int file = mkostemp(name, O_CLOEXEC);

    if (file < 0)
        die(name);
    unlink(name);
    return file;
}

static void begin(struct job *job, const struct criterion_test *test)
{
    *job = (struct job){.test = test, .output = open_output(), .begun = now()};
    fflush(NULL);
    job->process = fork();
    if (job->process < 0)
        die("fork");
    if (job->process == 0)
        run_test(test, job->output);
}

static void show(const char *what, int file)
{
    char text[4096];
    ssize_t length;

    printf("%s:\n", what);
    fflush(stdout);
    for (off_t at = 0; (length = pread(file, text, sizeof text, at)) > 0; at += length)
        if (write(STDOUT_FILENO, text, (size_t)length) < 0)
            die("standard output");
}

/* The tool's log of the test's process: true when there is something in it, which is shown. */
static bool show_log(const struct job *job)
{
    char name[4096];
    char byte;

    if (!options.logs)
        return false;
    snprintf(name, sizeof name, "%s/%d", options.logs, (int)job->process);
    const int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    const bool something = pread(file, &byte, 1, 0) == 1;
    if (something)
        show(name, file);
    close(file);
    unlink(name);
    return something;
}

static void finish(struct job *job, int status)
{
    const char *verdict = "ok";

    kill(-job->process, SIGKILL);
    if (job->late)
        verdict = "did not end";
    else if (WIFSIGNALED(status))
        verdict = strsignal(WTERMSIG(status));
    else if (WEXITSTATUS(status) == PLAIN_SKIPPED)
        verdict = "skipped";
    else if (WEXITSTATUS(status) != 0)
        verdict = "FAILED";
    if (show_log(job))
        verdict = "FAILED";
    const bool is_ok = strcmp(verdict, "ok") == 0, is_skipped = strcmp(verdict, "skipped") == 0;
    passed += is_ok;
    skipped += is_skipped;
    failed += !is_ok && !is_skipped;
    if (options.verbose || !is_ok)
        printf("%s: %s (status %#x, %ld s)\n", job->test->data->identifier_, verdict, (unsigned)status,
               (long)(now() - job->begun));
    if (!is_ok)
        show("it printed", job->output);
    close(job->output);
    job->process = 0;
}

/* Among what it printed. */
static void show_threads(const struct job *job)
{
    char command[256];

    snprintf(command, sizeof command,
             "timeout 60 gdb -nx -batch -p %d -ex 'thread apply all backtrace' >>/proc/%d/fd/%d 2>&1",
             (int)job->process, (int)getpid(), job->output);
    if (system(command) != 0)
        dprintf(job->output, "gdb has nothing to say\n");
}

static void end_late(void)
{
    for (struct job *job = jobs; job < jobs + options.jobs; job++)
        if (job->process && now() - job->begun > options.limit) {
            job->late = true;
            show_threads(job);
            kill(-job->process, SIGKILL);
            kill(job->process, SIGKILL);
        }
}

/* A process that has ended, if one does within a tenth of a second.  Tests are given the default SIGCHLD. */
static struct job *await(int *status)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    for (int i = 0; i < 10; i++) {
        const pid_t ended = waitpid(-1, status, WNOHANG);
        for (struct job *job = jobs; ended > 0 && job < jobs + options.jobs; job++)
            if (job->process == ended)
                return job;
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* A job without a process; NULL for none, when all shall end. */
static struct job *await_idle(bool all)
{
    int status;

    for (;;) {
        bool busy = false;
        for (struct job *job = jobs; job < jobs + options.jobs; job++) {
            if (!job->process && !all)
                return job;
            busy = busy || job->process;
        }
        if (!busy)
            return NULL;
        struct job *ended = await(&status);
        if (ended)
            finish(ended, status);
        end_late();
    }
}

/* What the tool has to say of processes that tests forked. */
static void check_logs(void)
{
    DIR *folder = options.logs ? opendir(options.logs) : NULL;
    struct dirent *entry;

    while (folder && (entry = readdir(folder))) {
        const struct job job = {.process = atoi(entry->d_name)};
        if (job.process && job.process != getpid() && show_log(&job))
            failed++;
    }
    if (folder)
        closedir(folder);
}

static void parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"jobs", required_argument, NULL, 'j'},     {"limit", required_argument, NULL, 'l'},
        {"logs", required_argument, NULL, 'o'},     {"tool", required_argument, NULL, 't'},
        {"left-out", required_argument, NULL, 'x'}, {"verbose", no_argument, NULL, 'v'},
        {"here", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };

    for (int option; (option = getopt_long(argc, argv, "j:v", known, NULL)) != -1;)
        switch (option) {
        case 'j': options.jobs = (unsigned)atoi(optarg); break;
        case 'l': options.limit = atol(optarg); break;
        case 'o': options.logs = optarg; break;
        case 't': options.tool = optarg; break;
        case 'x': options.left_out_file = optarg; break;
        case 'v': options.verbose = true; break;
        case 'h': options.here = true; break;
        default: exit(2);
        }
    if (options.jobs < 1 || options.jobs > JOBS_MAX || !options.tool != !options.left_out_file) {
        fprintf(stderr, "usage: %s [--jobs N] [--limit SECONDS] [--logs FOLDER] [--tool NAME --left-out FILE] "
                "[--verbose] [--here] [PATTERN...]\n", argv[0]);
        exit(2);
    }
    options.patterns = argv + optind;
}

/* A line of the file that no test goes by any more is an error, as it would hide a test of that name. */
static void check_left_out(void)
{
    for (unsigned i = 0; i < left_out.count; i++)
        if (!left_out.used[i] && !options.patterns[0]) {
            printf("%s: no test is called %s\n", options.left_out_file, left_out.patterns[i]);
            failed++;
        }
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0); /* should the whole be ended, it has said how far it was */
    if (options.tool)
        read_left_out();
    for (struct criterion_test **test = __start_cr_tst; test < __stop_cr_tst; test++) {
        if (!*test || !is_wanted((*test)->data->identifier_))
            continue;
        if (options.here)
            return (*test)->test(), 0;
        if (is_left_out((*test)->data->identifier_))
            omitted++;
        else
            begin(await_idle(false), *test);
    }
    await_idle(true);
    check_left_out();
    check_logs();
    printf("unit%s%s: %u passed, %u failed, %u skipped, %u left out\n", options.tool ? ", " : "",
           options.tool ? options.tool : "", passed, failed, skipped, omitted);
    return failed || !passed;
}
