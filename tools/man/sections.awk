# The sections of a page that come from comments, which tools/man/facts.awk has sorted.

# The sections that come from comments; blocks that share a page are told apart by the names before them.
function write_sections(p, list, n, file,    i, b)
{
    split("", text)
    for (i = 1; i <= n; i++) {
        b = list[i]
        parse_block(b)
        label[b] = labels(b, page_fact[p, "synopsis"])
        text[b, "text"] = paragraphs(said["text"]) types_of(b)
        text[b, "result"] = said["result"] == "-" ? "" : said["result"]
        if (said["result"] == "" && item_code[first_word(block_functions(b))] ~ /^GREEN_API int/)
            text[b, "result"] = "0 on success, else an error number.\n"
        text[b, "error"] = error_section()
        text[b, "context"] = said["wait"] == "" ? "" : said["wait"] point_sentence(b) said["handler"]
        text[b, "source"] = said["source"]
    }
    print ".SH DESCRIPTION" > file
    if (page_fact[p, "overview"] != "")
        printf "%s", overview_text(page_fact[p, "overview"], 0) > file
    write_section(list, n, "text", file)
    write_titled("RETURN VALUE", list, n, "result", file)
    write_titled("ERRORS", list, n, "error", file)
    write_titled("CONTEXT", list, n, "context", file)
    write_sources(list, n, file)
}

# Where a block has no name that a program may use, it is about the page's macros.
function labels(b, macros,    names, count, i, result)
{
    count = split(block_functions(b), names, " ")
    if (!count)
        count = split(block_items[b], names, " ")
    for (i = 1; i <= count; i++)
        if (names[i] !~ /^__/)
            result = result (result == "" ? "" : ", ") bold(whole_type(names[i])) \
                     (item_kind[names[i]] == "function" ? "()" : "")
    if (result == "") {
        count = split(macros, names, "\n")
        for (i = 1; i <= count; i++)
            result = result (i > 1 ? ", " : "") bold(synopsis_name(names[i])) "()"
    }
    return result
}

# Empty lines, which would be blank on the page, are paragraphs.
function paragraphs(text)
{
    sub(/^\n+/, "", text)
    gsub(/\n\n+/, "\n.PP\n", text)
    gsub(/\.PP\n(\.PP\n)+/, ".PP\n", text)
    sub(/(\.PP\n)+$/, "", text)
    gsub(/\.PP\n\.TP/, ".TP", text)
    gsub(/\.PP\n\.SS/, ".SS", text)
    while (match(text, /\.SS [^\n]*\n\.PP\n/))
        text = substr(text, 1, RSTART + RLENGTH - 5) substr(text, RSTART + RLENGTH)
    return text
}

function write_titled(title, list, n, section, file,    i, any)
{
    for (i = 1; i <= n; i++)
        any = any text[list[i], section]
    if (any != "") {
        print ".SH " title > file
        write_section(list, n, section, file)
    }
}

# Without names where they would tell nothing apart.
function write_section(list, n, section, file,    i, j, told, names)
{
    if (speaks_as_one(list, n, section)) {
        for (i = 1; i <= n && told == ""; i++)
            told = text[list[i], section]
        printf "%s", told > file
        return
    }
    for (i = 1; i <= n; i++) {
        if ((told = text[list[i], section]) == "")
            continue
        names = label[list[i]]
        for (j = i + 1; j <= n; j++) # those that say the same share it
            if (section != "text" && text[list[j], section] == told) {
                names = names ", " label[list[j]]
                text[list[j], section] = ""
            }
        print ".TP\n" names > file
        if (told ~ /(^|\n)\.TP/)
            told = ".RS\n" told ".RE\n"
        else
            gsub(/\.PP\n/, ".IP\n", told)
        printf "%s", told > file
    }
}

# Descriptions: only one block has any.  Else: all blocks that have functions say the same.
function speaks_as_one(list, n, section,    i, told, count)
{
    for (i = 1; i <= n; i++) {
        if (section == "text")
            count += text[list[i], section] != ""
        else if (block_functions(list[i]) != "") {
            if (count++ && text[list[i], section] != told)
                return 0
            told = text[list[i], section]
        }
    }
    return section != "text" || count < 2
}

function error_section(    i, result)
{
    result = said["lead"]
    for (i = 1; i <= error_count; i++)
        result = result ".TP\n" error_tags(error_tag[i]) "\n" capital_text(error_text[i]) "\n"
    return result
}

function error_tags(tag,    count, tags, i, result)
{
    count = split(tag, tags, ", ")
    for (i = 1; i <= count; i++)
        result = result (i > 1 ? ", " : "") bold(tags[i])
    return result
}

function capital_text(text)
{
    if (text !~ /\.$|\.\)$/)
        text = text "."
    return capital(text)
}

function point_sentence(b,    names, count, i, points, some)
{
    count = split(block_functions(b), names, " ")
    for (i = 1; i <= count; i++)
        if (names[i] in point) {
            points++
            some = some (some == "" ? "" : ", ") bold(names[i]) "()"
        }
    if (!points)
        return count != 1 ? "No cancellation points.\n" : "Not a cancellation point.\n"
    if (points == count)
        return count > 1 ? "Cancellation points.\n" : "A cancellation point.\n"
    return "Cancellation " (points > 1 ? "points: " : "point: ") some ".\n"
}

function write_sources(list, n, file,    i, j, count, names, standard, gnu)
{
    for (i = 1; i <= n; i++) {
        count = split(text[list[i], "source"], names, "\n")
        for (j = 1; j < count; j++)
            if (names[j] ~ /_np$|_clock[a-z]*(lock|wait)$|^sem_clockwait$|^pthread_sigqueue$|^usleep$/)
                gnu = gnu (gnu == "" ? "" : ", ") bold(names[j]) "()"
            else
                standard = standard (standard == "" ? "" : ", ") bold(names[j]) "()"
    }
    print ".SH CONFORMING TO" > file
    if (standard != "")
        print "POSIX.1\\-2017, but for the name and what is said above: " standard "." > file
    if (gnu != "")
        print "The GNU C library: " gnu "." > file
    if (standard gnu == "")
        print "No standard: this is libgreen's own." > file
}
