/*
 * The application's modules with TLS: their variables start anew in a recycled block.
 *
 * Static modules (loaded with the program, or initial-exec and opened later) have their image copied from the file's
 * mapping.  Dynamic ones lose their block, and libc makes a new one at the next access; copying images there, too,
 * would need to know which libraries have been closed.  libc's own variables are kept: they hold malloc's cache.  So
 * are a sanitizer's: they hold its idea of the thread.  ThreadSanitizer's runtime is linked into the program (clang), so
 * the program's module then has a part that is kept.
 *
 * dlopen() of a library with static TLS while threads exist: libc fills in the blocks of the threads it knows, so
 * those we made are filled in here, by wrapping dlopen.  The library's constructors, which run before, see zeros on a
 * green thread.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "mem/interpose.h"
#include "mem/tls.h"

enum { MODULES_MAX = 512 };

struct module {
    ptrdiff_t offset; /* from the thread pointer */
    const void *image;
    size_t image_bytes, bytes;
    struct tls_part kept; /* beyond the image */
};

/* Appended under scan_mutex, published by the count; entries never change. */
static struct module modules[MODULES_MAX];
static _Atomic size_t module_count;
static pthread_mutex_t scan_mutex = PTHREAD_MUTEX_INITIALIZER;

/* The highest module id seen: ids above it need a look.  Those below first_dynamic_id came with the program. */
static size_t scanned_id, first_dynamic_id;
/* The dtv's generation when there was no dynamic module: a thread that has still this one has no block of any. */
static void *static_generation;

/* glibc's: the first word of a dtv entry when the module has no block in this thread, and an entry's layout. */
#define DTV_UNALLOCATED ((void *)-1)
struct dtv_entry {
    void *block;
    void *to_free;
};
enum { TCB_DTV = 8, LENGTH = -1, GENERATION = 0 };

static struct dtv_entry *own_dtv(void)
{
    return *(struct dtv_entry **)(void *)((char *)arch_thread_pointer() + TCB_DTV);
}

static void *real_dlopen(const char *file, int mode)
{
    return REAL(dlopen)(file, mode);
}

static bool contains(const struct dl_phdr_info *info, const void *address)
{
    if (!address)
        return false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (uintptr_t)address - info->dlpi_addr - segment->p_vaddr < segment->p_memsz)
            return true;
    }
    return false;
}

bool tls_in_sanitizer(const void *address)
{
    static const char *const runtimes[] = {"__asan_init", "__tsan_init"};
    Dl_info of_address, of_runtime;

    for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++) {
        void *start = dlsym(RTLD_DEFAULT, runtimes[i]);
        if (start && dladdr(address, &of_address) && dladdr(start, &of_runtime) &&
            of_address.dli_fbase == of_runtime.dli_fbase)
            return true;
    }
    return false;
}

static bool has(const struct dl_phdr_info *info, const char *symbol)
{
    return contains(info, dlsym(RTLD_DEFAULT, symbol));
}

/* libc, its loader, and the sanitizers' runtimes keep their variables. */
static bool keeps_variables(const struct dl_phdr_info *info)
{
    static const char *const owners[] = {"gnu_get_libc_version", "_dl_allocate_tls", "__asan_init", "__tsan_init",
                                         "__ubsan_handle_add_overflow", "__lsan_init"};

    if (has(info, "__tsan_init") && tls_tsan_part().bytes > 0)
        return false;
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++)
        if (has(info, owners[i]))
            return true;
    return false;
}

static bool is_static(const struct dl_phdr_info *info)
{
    const ElfW(Dyn) *entry = NULL;

    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            entry = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    for (; entry && entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_FLAGS)
            return entry->d_un.d_val & DF_STATIC_TLS;
    return false;
}

/* A module that was found while the loader's lock was held; what calls the loader waits until it is not. */
struct found {
    size_t id;
    const void *image;
    size_t image_bytes, bytes;
    struct tls_part kept;
};

struct scan {
    bool at_start; /* of the library: a module may be static without the flag, having come with the program */
    size_t above;  /* ids up to this one are known */
    size_t count;
    struct found found[MODULES_MAX];
};

static int find_module(struct dl_phdr_info *info, size_t bytes, void *arg)
{
    struct scan *scan = arg;
    const ElfW(Phdr) *tls = NULL;

    (void)bytes;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS)
            tls = &info->dlpi_phdr[i];
    if (!tls || info->dlpi_tls_modid <= scan->above)
        return 0;
    if (info->dlpi_tls_modid > scanned_id)
        scanned_id = info->dlpi_tls_modid;
    if (!(scan->at_start || is_static(info)) || keeps_variables(info))
        return 0;
    if (scan->count == MODULES_MAX)
        return ENOMEM;
    scan->found[scan->count++] = (struct found){info->dlpi_tls_modid, (const void *)(info->dlpi_addr + tls->p_vaddr),
                                                tls->p_filesz, tls->p_memsz,
                                                has(info, "__tsan_init") ? tls_tsan_part() : (struct tls_part){0, 0}};
    return 0;
}

/* Where the module's block lies in the calling thread. */
static char *own_block(size_t id)
{
    struct { unsigned long module, offset; } index = {id, 0};
    extern void *__tls_get_addr(void *);

    return __tls_get_addr(&index);
}

static bool within_static(ptrdiff_t offset)
{
    ptrdiff_t distance = offset * ARCH_TLS_MODULE_OFFSET_SIGN;

    return distance > 0 && (size_t)distance <= tls_layout.static_bytes;
}

static int add_modules(struct scan *scan)
{
    int error = dl_iterate_phdr(find_module, scan);
    size_t count = atomic_load(&module_count);

    for (size_t i = 0; i < scan->count && !error; i++) {
        const struct found *found = &scan->found[i];
        if (count == MODULES_MAX)
            return ENOMEM;
        ptrdiff_t offset = own_block(found->id) - (char *)arch_thread_pointer();
        if (!within_static(offset)) { /* opened before the start, and dynamic */
            first_dynamic_id = found->id < first_dynamic_id ? found->id : first_dynamic_id;
            continue;
        }
        modules[count++] = (struct module){offset, found->image, found->image_bytes, found->bytes, found->kept};
        atomic_store(&module_count, count);
    }
    return error;
}

/* Scan with an array that is too large for a stack. */
static int scan_modules(bool at_start)
{
    struct scan *scan = calloc(1, sizeof *scan);

    if (!scan)
        return ENOMEM;
    scan->at_start = at_start;
    scan->above = scanned_id;
    int error = add_modules(scan);
    free(scan);
    return error;
}

int tls_modules_init(void)
{
    first_dynamic_id = MODULES_MAX;
    int error = scan_modules(true);

    if (first_dynamic_id > scanned_id) {
        first_dynamic_id = scanned_id + 1;
        static_generation = own_dtv()[GENERATION].block;
    }
    return error;
}

/* By words, as most modules have a few, and a call costs as much as ten.  The barrier keeps the loop one. */
static inline void clear(char *block, size_t bytes)
{
    enum { WORD = 8, FEW = 16 * WORD };

    if (bytes > FEW) {
        memset(block, 0, bytes);
        return;
    }
    for (; bytes >= WORD; block += WORD, bytes -= WORD) {
        memset(block, 0, WORD);
        compiler_barrier();
    }
    for (; bytes > 0; block++, bytes--)
        *block = 0;
}

static void copy_image(const struct module *module, char *tp)
{
    char *block = tp + module->offset;
    const size_t kept = module->kept.bytes > 0 ? module->kept.from : module->bytes, resumes = kept + module->kept.bytes;

    if (module->image_bytes > 0)
        memcpy(block, module->image, module->image_bytes);
    clear(block + module->image_bytes, kept - module->image_bytes);
    clear(block + resumes, module->bytes - resumes);
}

void tls_modules_refresh(void *tp)
{
    size_t count = atomic_load_explicit(&module_count, memory_order_acquire);

    for (size_t i = 0; i < count; i++)
        copy_image(&modules[i], tp);
}

/* The new modules' images, in every block of ours; libc has filled in those of its kernel threads. */
static void fill_blocks(size_t first)
{
    size_t count = atomic_load(&module_count);

    for (struct tls_block *block = tls_blocks(); block; block = block->next)
        for (size_t i = first; i < count; i++)
            copy_image(&modules[i], block->tp);
}

/*
 * A library was opened.  Its image is read for as long as threads are recycled, so one with static TLS stays loaded.
 */
static void *note_library(void *library, const char *file)
{
    pthread_mutex_lock(&scan_mutex);
    size_t known = atomic_load(&module_count);
    if (scan_modules(false) == 0 && atomic_load(&module_count) > known) {
        real_dlopen(file, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
        fill_blocks(known);
    }
    pthread_mutex_unlock(&scan_mutex);
    return library;
}

/* In place of libc's.  The loader takes this library for the caller, and does not look in the caller's RUNPATH. */
GREEN_API void *dlopen(const char *file, int mode)
{
    void *library = real_dlopen(file, mode);

    return library && atomic_load(&module_count) ? note_library(library, file) : library;
}

void tls_modules_fork_reset(void)
{
    pthread_mutex_init(&scan_mutex, NULL);
}

/* The calling thread's dynamic blocks: libc makes new ones when they are next asked for. */
void tls_dynamic_release(void)
{
    struct dtv_entry *dtv = own_dtv();

    if (dtv[GENERATION].block == static_generation)
        return;
    size_t length = (size_t)dtv[LENGTH].block;
    for (size_t i = first_dynamic_id; i <= length; i++)
        if (dtv[i].to_free) {
            free(dtv[i].to_free);
            dtv[i] = (struct dtv_entry){DTV_UNALLOCATED, NULL};
        }
}
