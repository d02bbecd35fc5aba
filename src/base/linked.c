/* Relocations of the files that are loaded, as ELF and the loader leave them in memory. */
#include "base/linked.h"

#include <link.h>
#include <string.h>

struct file {
    const ElfW(Sym) *symbols;
    const char *names;
    const ElfW(Rela) *tables[2];
    size_t bytes[2];
};

/* The loader has made addresses of what was offsets, in most files. */
static const void *address(const struct dl_phdr_info *info, ElfW(Addr) value)
{
    return (const void *)(value < info->dlpi_addr ? info->dlpi_addr + value : value);
}

static void read_dynamic(const struct dl_phdr_info *info, const ElfW(Dyn) *entry, struct file *file)
{
    for (; entry->d_tag != DT_NULL; entry++)
        switch (entry->d_tag) {
        case DT_SYMTAB: file->symbols = address(info, entry->d_un.d_ptr); break;
        case DT_STRTAB: file->names = address(info, entry->d_un.d_ptr); break;
        case DT_RELA: file->tables[0] = address(info, entry->d_un.d_ptr); break;
        case DT_RELASZ: file->bytes[0] = entry->d_un.d_val; break;
        case DT_JMPREL: file->tables[1] = address(info, entry->d_un.d_ptr); break;
        case DT_PLTRELSZ: file->bytes[1] = entry->d_un.d_val; break;
        }
}

static bool refers(const struct file *file, const char *symbol)
{
    if (!file->symbols || !file->names)
        return false;
    for (int table = 0; table < 2; table++)
        for (size_t i = 0; file->tables[table] && i < file->bytes[table] / sizeof(ElfW(Rela)); i++) {
            const size_t index = file->tables[table][i].r_info >> 32; /* in every 64-bit ELF */
            const ElfW(Sym) *found = &file->symbols[index];
            if (index && found->st_shndx == SHN_UNDEF && strcmp(file->names + found->st_name, symbol) == 0)
                return true;
        }
    return false;
}

static int look(struct dl_phdr_info *info, size_t bytes, void *symbol)
{
    struct file file = {NULL, NULL, {NULL, NULL}, {0, 0}};

    (void)bytes;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            read_dynamic(info, (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr), &file);
    return refers(&file, symbol);
}

bool linked_against(const char *symbol)
{
    return dl_iterate_phdr(look, (void *)(uintptr_t)symbol) != 0;
}
