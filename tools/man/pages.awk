# Writes the manual pages, from the headers and man/pages.  Usage:
#
#   awk -v out=FOLDER -v version=0.1.0 -v examples=man/examples -f tools/man/headers.awk -f ... -f tools/man/pages.awk \
#       include/green.h include/green/*.h README.md man/pages man/green.7
#
#   headers.awk       the headers, as blocks: a comment and what it is about
#   text.awk          comments, as paragraphs, items and sentences; troff
#   facts.awk         a block's sentences, sorted by what they tell
#   declarations.awk  SYNOPSIS, and the fields of structures
#   sections.awk      DESCRIPTION to CONFORMING TO
#   markdown.awk      sections of README.md, for green(7)
#   pages.awk         pages, links, topics, green(7)
#
# The header is the one place that says what a call does.  Here it is arranged as a manual page is: prototypes, text,
# result, errors, whether it blocks and who may call it, its twin in POSIX.  man/pages says which calls share a page and
# adds what a header has no room for: the line of apropos(1), the neighbours, an example.  Hand-kept pages were rejected:
# they would say everything a second time, and what is said twice comes to differ.
#
# It fails on a function that is on no page, and on a header that does not say what a page must.

FNR == 1 { header_file(FILENAME) }
FILENAME ~ /\.h$/ { header_line($0); next }
FILENAME ~ /\.md$/ { markdown_line($0); next }
FILENAME ~ /pages$/ { page_line($0); next }
{ overview_lines[++overview_count] = $0 }

function complain(message)
{
    print "man: " message > "/dev/stderr"
    failed = 1
}

# man/pages: a line for each fact, an empty line between pages.
function page_line(line,    word)
{
    if (line ~ /^#/ || line == "")
        return
    word = line
    sub(/ .*/, "", word)
    sub(/^[a-z]+ +/, "", line)
    if (word == "page" || word == "topic") {
        pages++
        page_name[pages] = first_word(line)
        sub(/^[^ ]+ */, "", line)
        page_title[pages] = line
        page_section[pages] = word == "page" ? 3 : 7
    } else if (word ~ /^(of|see|example|header|synopsis|overview)$/)
        page_fact[pages, word] = page_fact[pages, word] (page_fact[pages, word] == "" ? "" : "\n") line
    else
        complain("man/pages: what is " word "?")
}

END {
    known_page["green.7"] = 1
    for (p = 1; p <= pages; p++)
        place(p)
    for (i = 1; i <= function_count; i++)
        if (!(functions[i] in page_of))
            complain("no page for " functions[i] ": see man/pages")
    cancellation_points()
    for (p = 1; p <= pages; p++)
        page_section[p] == 3 ? write_page(p) : write_topic(p)
    write_overview()
    exit failed
}

# Which blocks, and so which functions, a page has.
function place(p,    names, count, i, items, n, j)
{
    known_page[page_name[p] "." page_section[p]] = 1
    count = split(page_fact[p, "of"], names, /[ \n]+/)
    for (i = 1; i <= count; i++) {
        if (!(names[i] in item_block)) {
            complain("man/pages: " names[i] " is not declared")
            continue
        }
        page_blocks[p] = page_blocks[p] " " item_block[names[i]]
        n = split(block_items[item_block[names[i]]], items, " ")
        for (j = 1; j <= n; j++) {
            if (items[j] in page_of)
                complain(items[j] " is on two pages")
            page_of[items[j]] = p
        }
    }
}

# The list in <green/cancel.h>.
function cancellation_points(    text, count, names, i, previous, name)
{
    text = overview["green/cancel.h"]
    gsub(/\n/, " ", text)
    if (!match(text, /Cancellation points, whether they would wait or not: [^.]*\./))
        complain("<green/cancel.h> has no list of cancellation points")
    text = substr(text, RSTART, RLENGTH - 1)
    sub(/^[^:]*: /, "", text)
    count = split(text, names, /, and |, | and /)
    for (i = 1; i <= count; i++) {
        name = names[i]
        if (name ~ /^_/) {
            while (!((previous name) in item_block) && sub(/_[a-z]+$/, "", previous))
                ;
            name = previous name
        }
        if (!(name in item_block))
            complain("<green/cancel.h>: cancellation point " names[i] " is not declared")
        point[name] = 1
        previous = name
    }
}

function write_page(p,    n, list, i, file)
{
    n = split(page_blocks[p], list, " ")
    learn_names(p, list, n)
    file = out "/man3/" page_name[p] ".3"
    title_line(p, file)
    print ".SH NAME" > file
    print name_list(p, list, n) " \\- " escaped(page_title[p]) > file
    print ".SH LIBRARY\nlibgreen, by\n.B pkg-config \\-\\-cflags \\-\\-libs libgreen" > file
    write_synopsis(p, list, n, file)
    write_sections(p, list, n, file)
    if (page_fact[p, "example"] != "") {
        print ".SH EXAMPLES" > file
        write_example(page_fact[p, "example"], file)
    }
    write_neighbours(p, list, file)
    close(file)
}

function title_line(p, file)
{
    print ".\\\" Made from the headers; see tools/man/pages.awk." > file
    print ".TH " page_name[p] " " page_section[p] " \"\" \"libgreen " version "\" \"libgreen\"" > file
    print ".nh\n.ad l" > file
}

# What the page describes, and the names of parameters.
function learn_names(p, list, n,    i, items, count, j, code)
{
    split("", on_page)
    split("", parameter)
    for (i = 1; i <= n; i++) {
        count = split(block_items[list[i]], items, " ")
        for (j = 1; j <= count; j++) {
            on_page[items[j]] = 1
            if (item_kind[items[j]] == "function") {
                code = item_code[items[j]]
                while (match(code, /[a-z_]+[,)]/)) {
                    parameter[substr(code, RSTART, RLENGTH - 1)] = 1
                    code = substr(code, RSTART + RLENGTH)
                }
            }
        }
    }
    count = split(page_fact[p, "synopsis"], items, "\n")
    for (i = 1; i <= count; i++)
        on_page[synopsis_name(items[i])] = 1
}

# Also links the other names to the page.
function name_list(p, list, n,    i, names, count, j, result, extra)
{
    count = split(page_fact[p, "synopsis"], extra, "\n")
    for (i = 1; i <= count; i++)
        result = add_name(p, result, synopsis_name(extra[i]))
    for (i = 1; i <= n; i++) {
        count = split(block_functions(list[i]), names, " ")
        for (j = 1; j <= count; j++)
            result = add_name(p, result, names[j])
    }
    return result
}

function add_name(p, result, name,    file)
{
    if (name != page_name[p]) {
        file = out "/man3/" name ".3"
        print ".so man3/" page_name[p] ".3" > file
        close(file)
        known_page[name ".3"] = 1
    }
    return result (result == "" ? "" : ", ") name
}

function write_example(name, file,    path, line)
{
    path = examples "/" name ".c"
    print ".nf" > file
    while ((getline line < path) > 0) {
        line = escaped(line)
        print (line ~ /^['.]/ ? "\\&" : "") line > file
    }
    if (close(path) != 0)
        complain("cannot read " path)
    print ".fi" > file
}

function write_neighbours(p, list, file,    count, names, i, all, topic, seen)
{
    all = page_fact[p, "see"]
    topic = block_file[list[1]]
    gsub(/\//, "_", topic)
    sub(/\.h$/, "", topic)
    all = all (topic != "green" && ((topic ".7") in known_page) ? " " topic "(7)" : "") " green(7)"
    count = split(all, names, /[ \n]+/)
    print ".SH SEE ALSO" > file
    for (i = 1; i <= count; i++)
        if (names[i] != "" && !(names[i] in seen)) {
            seen[names[i]] = 1
            reference(names[i], file, i < count)
        }
}

function reference(name, file, more,    section)
{
    if (name !~ /\([0-9]\)$/)
        name = name "(3)"
    section = name
    gsub(/^.*\(|\)$/, "", section)
    sub(/\(.*/, "", name)
    if (name ~ /^green/ && !((name "." section) in known_page) && !(name in item_block))
        complain("man/pages: see " name ", which has no page")
    print ".BR " name " (" section ")" (more ? "," : "") > file
}

# A header's first comment, as far as it is more than the title.
function overview_text(h, headings,    i, result)
{
    split("", said)
    split("", here)
    parse_text(overview[h])
    for (i = 1; i <= part_count; i++) {
        if (part_kind[i] == "prose")
            result = result overview_prose(part_text[i], headings, i == 1)
        else if (part_kind[i] == "code")
            result = result code_lines(part_text[i])
        else if (part_kind[i] == "item")
            result = result definition(part_tag[i], part_text[i])
        else
            result = result "\n"
    }
    return paragraphs(result)
}

function overview_prose(text, headings, first,    count, i, result)
{
    count = split_sentences(text)
    for (i = 1; i <= count; i++) {
        if (i == 1 && first)
            continue
        if (i == 1 && sentence[i] ~ /^(Overview|How to use it|Limits|Conventions|The order|What [a-zA-Z ]+)\.$/) {
            sub(/\.$/, "", sentence[i])
            result = result (headings ? ".SS " sentence[i] "\n" : "")
        } else
            result = result styled(sentence[i]) "\n"
    }
    return result
}

function write_topic(p,    file, h, i, title)
{
    file = out "/man7/" page_name[p] ".7"
    h = page_fact[p, "header"]
    split("", on_page)
    split("", parameter)
    if (!(h in overview))
        complain("man/pages: there is no header " h)
    parse_text(overview[h])
    split_sentences(part_text[1])
    title = sentence[1]
    sub(/\.$/, "", title)
    title_line(p, file)
    print ".SH NAME\n" page_name[p] " \\- " tolower(substr(title, 1, 1)) escaped(substr(title, 2)) > file
    print ".SH SYNOPSIS\n.B #include <" include_of(h) ">\n.SH DESCRIPTION" > file
    printf "%s", overview_text(h, 1) > file
    print ".SH SEE ALSO" > file
    for (i = 1; i <= pages; i++)
        if (page_section[i] == 3 && block_file[first_block(i)] == h)
            reference(page_name[i], file, 1)
    reference("green(7)", file, 0)
    close(file)
}

function first_block(p,    list)
{
    split(page_blocks[p], list, " ")
    return list[1]
}

# green(7) is kept by hand, but for what stands elsewhere: `@pages', `@readme HEADING', `@header FILE', `@example NAME'.
function write_overview(    file, i, line)
{
    file = out "/man7/green.7"
    split("", on_page)
    split("", parameter)
    for (i = 1; i <= overview_count; i++) {
        line = overview_lines[i]
        gsub(/@VERSION@/, version, line)
        if (line == "@pages")
            write_index(file)
        else if (sub(/^@readme /, "", line))
            printf "%s", markdown_section(line) > file
        else if (sub(/^@example /, "", line))
            write_example(line, file)
        else if (sub(/^@header /, "", line))
            printf "%s", overview_text(line, 1) > file
        else
            print line > file
    }
    close(file)
}

function write_index(file,    i)
{
    for (i = 1; i <= pages; i++)
        if (page_section[i] == 7)
            print ".TP\n.BR " page_name[i] " (7)\n" index_title(page_fact[i, "header"]) > file
    for (i = 1; i <= pages; i++)
        if (page_section[i] == 3)
            print ".TP\n.BR " page_name[i] " (3)\n" escaped(page_title[i]) > file
}

function index_title(h)
{
    parse_text(overview[h])
    split_sentences(part_text[1])
    sub(/\.$/, "", sentence[1])
    return tolower(substr(sentence[1], 1, 1)) escaped(substr(sentence[1], 2))
}
