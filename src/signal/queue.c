/*
 * What is pending, and the siginfo that came with it.
 *
 * A set of bits and a list, sorted by number and within one by age.  A standard signal that is pending already is
 * dropped; a real-time one is queued again.  The list's nodes come from mapped slabs that are kept: malloc is out of
 * the question here.  There are as many as RLIMIT_SIGPENDING says; what the kernel has counted against that limit
 * before is taken on top.  When there is no node a standard signal is pending all the same, without its siginfo, as
 * in the kernel.
 */
#include <sys/mman.h>
#include <sys/resource.h>

#include <green/sched.h>

#include "signal/signal.h"

enum { SLAB_BYTES = 65536, LIMIT_MAX = 1 << 20 };

struct signal_node {
    struct signal_node *next;
    siginfo_t info;
};

struct lock signal_lock;
_Atomic uint64_t signal_process_set;
_Atomic uint64_t signal_counters[SIGNAL_COUNTERS];

/* Guarded by the signal lock. */
static struct signal_node *process_list;
static struct signal_node *free_nodes;
static unsigned used, limit;
static _Atomic uint64_t pending_now;

struct pending pending_of(struct thread *thread)
{
    return (struct pending){&thread->sigpending, &thread->siginfos};
}

struct pending pending_of_process(void)
{
    return (struct pending){&signal_process_set, &process_list};
}

void pending_init(void)
{
    struct rlimit allowed;

    limit = LIMIT_MAX;
    if (getrlimit(RLIMIT_SIGPENDING, &allowed) == 0 && allowed.rlim_cur < LIMIT_MAX)
        limit = (unsigned)allowed.rlim_cur;
}

static bool more_nodes(void)
{
    struct signal_node *slab =
        mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (slab == MAP_FAILED)
        return false;
    for (size_t i = 0; i < SLAB_BYTES / sizeof *slab; i++) {
        slab[i].next = free_nodes;
        free_nodes = &slab[i];
    }
    return true;
}

static struct signal_node *node_take(bool forced)
{
    struct signal_node *node;

    if ((!forced && used >= limit) || (!free_nodes && !more_nodes()))
        return NULL;
    node = free_nodes;
    free_nodes = node->next;
    used++;
    return node;
}

static void node_release(struct signal_node *node)
{
    node->next = free_nodes;
    free_nodes = node;
    used--;
}

static void set_bits(struct pending of, uint64_t bits)
{
    atomic_store(of.set, bits);
}

static uint64_t bits_of(struct pending of)
{
    return atomic_load_explicit(of.set, memory_order_relaxed);
}

enum queued pending_add(struct pending to, const siginfo_t *info, bool forced)
{
    struct signal_node **link = to.list, *node;
    const uint64_t bit = signal_bit(info->si_signo);
    const bool standard = info->si_signo < SIGRTMIN;

    if (standard && (bits_of(to) & bit))
        return COALESCED;
    node = node_take(forced);
    if (!node && !standard && !forced)
        return QUEUE_FULL;
    if (node) {
        node->info = *info;
        while (*link && (*link)->info.si_signo <= info->si_signo)
            link = &(*link)->next;
        node->next = *link;
        *link = node;
    }
    set_bits(to, bits_of(to) | bit);
    atomic_fetch_add_explicit(&pending_now, 1, memory_order_relaxed);
    return QUEUED;
}

bool pending_take(struct pending from, uint64_t wanted, siginfo_t *info)
{
    struct signal_node **link = from.list, *node;

    if (!(bits_of(from) & wanted))
        return false;
    const int number = signal_lowest(bits_of(from) & wanted);
    atomic_fetch_sub_explicit(&pending_now, 1, memory_order_relaxed);
    while (*link && (*link)->info.si_signo < number)
        link = &(*link)->next;
    node = *link;
    if (!node || node->info.si_signo != number) { /* there was no node for it */
        signal_fill_info(info, number, SI_USER);
        set_bits(from, bits_of(from) & ~signal_bit(number));
        return true;
    }
    *info = node->info;
    *link = node->next;
    node_release(node);
    if (!*link || (*link)->info.si_signo != number)
        set_bits(from, bits_of(from) & ~signal_bit(number));
    return true;
}

/* The lower number first, wherever it is; of one number the thread's own. */
bool pending_take_for(struct thread *thread, uint64_t wanted, siginfo_t *info)
{
    struct pending own = pending_of(thread), all = pending_of_process();
    const uint64_t either = (bits_of(own) | bits_of(all)) & wanted;

    if (!either)
        return false;
    const uint64_t lowest = signal_bit(signal_lowest(either));
    return pending_take(bits_of(own) & lowest ? own : all, lowest, info);
}

void pending_discard(struct pending from, uint64_t which)
{
    siginfo_t info;

    while (pending_take(from, which, &info))
        signal_count(SIGNALS_DISCARDED);
}

/* Who held the lock may have been in the middle of it: all nodes are left behind. */
void pending_fork_reset(void)
{
    signal_lock.word = 0;
    free_nodes = process_list = NULL;
    used = 0;
    atomic_store(&pending_now, 0);
    set_bits(pending_of_process(), 0);
}

void signal_stats(struct green_stats *stats)
{
    stats->signals_here = atomic_load(&signal_counters[SIGNALS_HERE]);
    stats->signals_woken = atomic_load(&signal_counters[SIGNALS_WOKEN]);
    stats->signals_directed = atomic_load(&signal_counters[SIGNALS_DIRECTED]);
    stats->signals_held = atomic_load(&signal_counters[SIGNALS_HELD]);
    stats->signals_handled = atomic_load(&signal_counters[SIGNALS_HANDLED]);
    stats->signals_waited = atomic_load(&signal_counters[SIGNALS_WAITED]);
    stats->signals_coalesced = atomic_load(&signal_counters[SIGNALS_COALESCED]);
    stats->signals_discarded = atomic_load(&signal_counters[SIGNALS_DISCARDED]);
    stats->signals_returned = atomic_load(&signal_counters[SIGNALS_RETURNED]);
    stats->signals_pending = atomic_load(&pending_now);
}
