/*
 * Which of the program's thread-local variables is ThreadSanitizer's.
 *
 * Its runtime is linked into the program, so its state of a thread lies among the program's variables, which start anew
 * in a recycled block while that must not.  Only the program's symbol table names it.  In a program without one, all
 * variables are kept, and a thread may find what the last one on its block has left in them.
 */
#ifdef GREEN_TSAN

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem/tls.h"

static const char state_name[] = "_ZN6__tsan22cur_thread_placeholderE";

static struct tls_part find_in_table(const char *file, const ElfW(Shdr) *sections, const ElfW(Shdr) *table)
{
    const ElfW(Sym) *symbols = (const void *)(file + table->sh_offset);
    const char *names = file + sections[table->sh_link].sh_offset;

    for (size_t i = 0; i < table->sh_size / sizeof *symbols; i++)
        if (ELF64_ST_TYPE(symbols[i].st_info) == STT_TLS && strcmp(names + symbols[i].st_name, state_name) == 0)
            return (struct tls_part){symbols[i].st_value, symbols[i].st_size};
    return (struct tls_part){0, 0};
}

static struct tls_part find_in_file(const char *file)
{
    const ElfW(Ehdr) *header = (const void *)file;
    const ElfW(Shdr) *sections = (const void *)(file + header->e_shoff);

    for (size_t i = 0; i < header->e_shnum; i++)
        if (sections[i].sh_type == SHT_SYMTAB)
            return find_in_table(file, sections, &sections[i]);
    return (struct tls_part){0, 0};
}

static struct tls_part find(void)
{
    struct tls_part part = {0, 0};
    struct stat status;
    const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return part;
    if (fstat(fd, &status) == 0) {
        char *file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (file != MAP_FAILED) {
            part = find_in_file(file);
            munmap(file, (size_t)status.st_size);
        }
    }
    close(fd);
    return part;
}

struct tls_part tls_tsan_part(void)
{
    static struct tls_part part;
    static bool looked;

    if (!looked)
        part = find();
    looked = true;
    return part;
}

#endif
