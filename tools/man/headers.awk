# The public headers, read into blocks: a comment at the margin and the declarations right below it, up to an empty line
# or the next such comment.
#
#   blocks                 how many
#   block_file[b]          the header, as a program includes it: green/chan.h
#   block_text[b]          the comment, line by line, without its frame
#   block_items[b]         the names that it declares, separated by spaces
#   item_block[name]       where a name is declared; a structure's or enumeration's ends in {}, as a function may have
#                          the same
#   item_kind[name]        function, macro or type
#   item_code[name]        its declaration as it stands there
#   overview[file]         the header's first comment
#   included[file]         green.h includes that one
#
# What stands between #if or #ifdef and #endif is passed over: it is for C++, or the inside of a macro.

function header_file(path)
{
    header = path
    sub(/^.*include\//, "", header)
    pending = declaration = ""
    open_block = in_comment = skipping = 0
}

function header_line(line)
{
    if (skipping) {
        if (line ~ /^# *if/)
            skipping++
        else if (line ~ /^# *endif/)
            skipping--
    } else if (in_comment) {
        if (line ~ /^ \*\/$/) {
            in_comment = 0
            comment_over()
        } else
            pending = pending substr(line, 4) "\n"
    } else if (declaration != "" || !margin_line(line))
        declaration_line(line)
}

# What only separates, or begins a comment.
function margin_line(line)
{
    if (line ~ /^\/\*/) {
        open_block = 0
        pending = ""
        if (line ~ /\*\/$/) {
            pending = substr(line, 4, length(line) - 6) "\n"
            comment_over()
        } else
            in_comment = 1
    } else if (line ~ /^# *if(def)? /)
        skipping = 1
    else if (line ~ /^#include <green\//) {
        sub(/^#include </, "", line)
        sub(/>.*/, "", line)
        if (header == "green.h")
            included[line] = 1
    } else if (line == "") {
        open_block = 0
        pending = ""
    } else if (line !~ /^#(ifndef|endif|include|pragma)/ && line !~ /^#define [A-Z_]+_H$/)
        return 0
    return 1
}

function comment_over()
{
    if (!(header in overview)) {
        overview[header] = pending
        pending = ""
    }
}

function declaration_line(line)
{
    declaration = declaration == "" ? line : declaration "\n" line
    if (declaration_ends(declaration)) {
        declare(declaration)
        declaration = ""
    }
}

function declaration_ends(code,    bare)
{
    if (code ~ /^#/)
        return code !~ /\\$/
    bare = without_comments(code)
    return bare !~ /\/\*/ && gsub(/[{]/, "{", bare) == gsub(/[}]/, "}", bare) && bare ~ /; *$/
}

function without_comments(code,    begin, length_of)
{
    while ((begin = index(code, "/*")) && (length_of = index(substr(code, begin + 2), "*/")))
        code = substr(code, 1, begin - 1) substr(code, begin + length_of + 3)
    return code
}

function declare(code,    name, kind)
{
    kind = code ~ /^#define/ ? "macro" : code ~ /^GREEN_API/ ? "function" : "type"
    name = declared_name(without_comments(code), kind)
    if (name == "" || name == "GREEN_API")
        return
    if (!open_block) {
        open_block = ++blocks
        block_file[blocks] = header
        block_text[blocks] = pending
        pending = ""
    }
    block_items[open_block] = block_items[open_block] (block_items[open_block] == "" ? "" : " ") name
    item_block[name] = open_block
    item_kind[name] = kind
    item_code[name] = code
    if (kind == "function")
        functions[++function_count] = name
}

# Empty for what is only announced.
function declared_name(code, kind,    tail)
{
    if (kind == "macro")
        sub(/^#define /, "", code)
    else if (kind == "function") {
        sub(/\(.*/, "", code)
        sub(/^.*[ *]/, "", code)
    } else if (code ~ /^typedef [^{]*\(/) {
        sub(/\(.*/, "", code)
        sub(/^.*[ *]/, "", code)
    } else if (code ~ /^typedef/) {
        sub(/; *$/, "", code)
        sub(/^.*[ *\n]/, "", code)
    } else if (code ~ /^(struct|enum) ([a-z_]+ )?[{]/) {
        sub(/^(struct|enum) ([{] *)?/, "", code)
        tail = "{}"
    } else
        return ""
    sub(/[^A-Za-z0-9_].*/, "", code)
    return code tail
}
