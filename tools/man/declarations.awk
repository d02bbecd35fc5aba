# Declarations on a page: the synopsis, and structures and enumerations field by field.

function synopsis_name(line)
{
    sub(/\(.*/, "", line)
    sub(/^.*[ *]/, "", line)
    return line
}

function include_of(file)
{
    return file == "green.h" || file in included ? "green.h" : file
}

function write_synopsis(p, list, n, file,    i, items, count, j, seen)
{
    print ".SH SYNOPSIS\n.nf" > file
    for (i = 1; i <= n; i++)
        if (!(include_of(block_file[list[i]]) in seen)) {
            seen[include_of(block_file[list[i]])] = 1
            print ".B #include <" include_of(block_file[list[i]]) ">" > file
        }
    count = split(page_fact[p, "synopsis"], items, "\n")
    if (count)
        print ".PP" > file
    for (i = 1; i <= count; i++)
        print prototype(items[i]) > file
    write_declarations(list, n, 0, file)
    write_declarations(list, n, 1, file)
    print ".fi" > file
}

# Types and constants first, then functions.
function write_declarations(list, n, of_functions, file,    i, items, count, j, lines)
{
    for (i = 1; i <= n; i++) {
        lines = ""
        count = split(block_items[list[i]], items, " ")
        for (j = 1; j <= count; j++)
            if ((item_kind[items[j]] == "function") == of_functions)
                lines = lines synopsis_of(items[j])
        if (lines != "")
            printf ".PP\n%s", lines > file
    }
}

# Opaque types and what has fields to be told of are not shown.
function synopsis_of(name,    code)
{
    code = without_comments(item_code[name])
    sub(/ +$/, "", code)
    if (item_kind[name] == "function")
        return prototype(code) "\n"
    if (item_kind[name] == "macro" && code ~ /[{]/)
        return initialised(name)
    if (name ~ /^__/ || code ~ /[{]/)
        return ""
    return code ~ /\(/ ? prototype(code) "\n" : bold(escaped(code)) "\n"
}

# GREEN_MUTEX_INITIALIZER: `green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;'
function initialised(name,    words, count, i, type)
{
    count = split(tolower(name), words, "_")
    for (i = 2; i <= count; i++) {
        type = "green_" words[i] "_t"
        if (type in item_block)
            return bold(type " " words[i] " = " name ";") "\n"
    }
    complain("what is initialised by " name "?")
}

# Bold, parameters italic, in lines that fit a terminal.
function prototype(code,    parts, count, i, line, result)
{
    sub(/^GREEN_API /, "", code)
    gsub(/\n +/, " ", code)
    sub(/\(/, "(, ", code) # may break there, too
    count = split(code, parts, ", ")
    for (i = 1; i <= count; i++) {
        if (line != "" && length(line) + length(parts[i]) > 70 && (i > 2 || length(line parts[i]) > 72)) {
            result = result prototype_line(line) "\n"
            line = "   "
        }
        line = line (line == "" || line ~ /\($/ ? "" : " ") parts[i] (i < count && i > 1 ? "," : "")
    }
    return result prototype_line(line)
}

function prototype_line(line,    result, name)
{
    while (match(line, /[ *][a-z_]+[,)]/)) {
        name = substr(line, RSTART + 1, RLENGTH - 2)
        result = result substr(line, 1, RSTART) "\\fI" name "\\fB" substr(line, RSTART + RLENGTH - 1, 1)
        line = substr(line, RSTART + RLENGTH)
    }
    return "\\fB" result line "\\fP"
}

# With its keyword, where it has one.
function whole_type(name,    code)
{
    code = item_code[name]
    if (code ~ /^enum [{]/)
        return "Constants"
    sub(/[{][}]$/, "", name)
    return (code ~ /^enum/ ? "enum " : code ~ /^struct/ ? "struct " : "") name
}

# Structures and enumerations, field by field.  Below functions they need a name.
function types_of(b,    names, count, i, code, result)
{
    count = split(block_items[b], names, " ")
    for (i = 1; i <= count; i++) {
        code = item_code[names[i]]
        if (names[i] !~ /[{][}]$/ || names[i] ~ /^__/ || code ~ /[ *]__[a-z]/)
            continue
        if (count > 1)
            result = result ".PP\n" bold(whole_type(names[i])) ":\n"
        result = result fields(code)
    }
    return result
}

# A comment behind a field, on its line, is that field's; one on a line of its own is the next one's.
function fields(code,    result, own_line, field, note, next_note, at, length_of)
{
    code = substr(code, index(code, "{") + 1)
    sub(/[}][^}]*;/, "", code)
    own_line = 1
    while (code !~ /^[ \n]*$/) {
        match(code, /^[ \n]*/)
        own_line = substr(code, 1, RLENGTH) ~ /\n/
        code = substr(code, RLENGTH + 1)
        if (substr(code, 1, 2) == "/*") {
            length_of = index(code, "*/")
            note = substr(code, 3, length_of - 3)
            gsub(/\n *(\* )?/, " ", note)
            gsub(/^ +| +$/, "", note)
            code = substr(code, length_of + 2)
            if (own_line)
                next_note = note
            else if (field != "") {
                result = result field_lines(field, note)
                field = ""
            }
            continue
        }
        if (field != "")
            result = result field_lines(field, "")
        at = entry_end(code)
        field = substr(code, 1, at)
        code = substr(code, at + 1)
        sub(/[ \n]*[;,]?$/, "", field)
        if (next_note != "") {
            result = result field_lines(field, next_note)
            field = next_note = ""
        }
    }
    return field == "" ? result : result field_lines(field, "")
}

# Up to the semicolon or comma that is not inside parentheses, or to a comment.
function entry_end(code,    i, c, depth)
{
    for (i = 1; i <= length(code); i++) {
        c = substr(code, i, 1)
        if (c == "(")
            depth++
        else if (c == ")")
            depth--
        else if (c ~ /[;,]/ && !depth)
            return i
        else if (substr(code, i, 2) == "/*")
            return i - 1
    }
    return length(code)
}

function field_lines(field, note)
{
    gsub(/\n */, " ", field)
    if (field ~ /reserved/)
        return ""
    return ".TP\n" bold(escaped(field)) "\n" lines_of(note)
}
