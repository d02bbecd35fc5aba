# A block's comment, sorted: what it says of results, of blocking, of signal handlers, of its source, and the errors are
# sections of their own on the page; the rest describes.
#
#   said[section]    for sections text, result, wait, handler, source, lead (of the errors)
#   error_count, error_tag[i], error_text[i]
#
# Every block that declares functions must say whether they block and whether a signal handler may call them.

function parse_block(b,    i, functions_here)
{
    split("", said)
    error_count = 0
    names_of(b)
    parse_text(block_text[b])
    for (i = 1; i <= part_count; i++) {
        if (part_kind[i] == "prose")
            sort_sentences(b, part_text[i], part_kind[i + 1] == "item" && i < part_count)
        else if (part_kind[i] == "code")
            said["text"] = said["text"] code_lines(part_text[i])
        else if (part_kind[i] == "gap")
            said["text"] = said["text"] "\n"
        else if (part_tag[i] ~ /^E[A-Z]+/)
            add_error(part_tag[i], part_text[i])
        else
            said["text"] = said["text"] definition(part_tag[i], part_text[i])
    }
    sub(/\n+$/, "\n", said["text"])
    functions_here = block_functions(b)
    if (functions_here == "")
        return
    if (said["wait"] == "" || said["handler"] == "")
        complain(functions_here ": the header does not say whether it blocks, or may be called from a signal handler")
    if (said["result"] == "" && (item_code[first_word(functions_here)] !~ /^GREEN_API (int|void) green/))
        complain(functions_here ": the header does not say what is returned")
    if (said["text"] ~ /^\n*$/) {
        said["text"] = said["result"]
        said["result"] = "-"
    }
}

function first_word(text)
{
    sub(/ .*/, "", text)
    return text
}

function block_functions(b,    names, count, i, result)
{
    count = split(block_items[b], names, " ")
    for (i = 1; i <= count; i++)
        if (item_kind[names[i]] == "function")
            result = result (result == "" ? "" : " ") names[i]
    return result
}

function code_lines(text)
{
    gsub(/\n    /, "\n", text)
    sub(/^    /, "", text)
    text = escaped(text)
    gsub(/\n'/, "\n\\\\\\&'", text)
    gsub(/\n\./, "\n\\\\\\&.", text)
    return ".PP\n.nf\n.RS\n" text "\n.RE\n.fi\n.PP\n"
}

function definition(tag, text)
{
    return ".TP\n" bold(tag) "\n" lines_of(text)
}

# One sentence a line, which troff likes best.
function lines_of(text,    count, i, result)
{
    count = split_sentences(text)
    for (i = 1; i <= count; i++)
        result = result styled(sentence[i]) "\n"
    return result
}

function sort_sentences(b, text, before_items,    count, i, s, section)
{
    count = split_sentences(text)
    for (i = 1; i <= count; i++) {
        s = sentence[i]
        section = block_text[b] ~ /Signal[ \n]handler:/ ? section_of(s) : "text"
        if (before_items && i == count && s !~ /\.$/)
            section = "lead"
        if (section == "source")
            said[section] = said[section] source_names(b, s)
        else if (section != "none")
            said[section] = said[section] styled(section == "handler" ? handler_sentence(s) : with_names(s)) "\n"
    }
}

function section_of(s)
{
    if (s ~ /^Signal handler:/)
        return "handler"
    if (s ~ /^Source:/)
        return "source"
    if (s ~ /^Not a cancellation point/)
        return "none" # told by the list in <green/cancel.h>
    if (is_of_blocking(s))
        return "wait"
    if (s ~ /^(Returns|Both return|All return|Each returns|Always|Non-zero when) / ||
        s ~ /^[a-z_()]+( and [a-z_()]+)* returns? /)
        return "result"
    return "text"
}

function is_of_blocking(s)
{
    return s ~ /^(None of these|None|Neither) blocks/ || s ~ /^(Does|Do) not block/ ||
           s ~ /^(Blocks|All block|Leaving blocks)/ || s ~ /^(They )?[Mm]ay block/ || s ~ /, so it blocks,/ ||
           s ~ /^[a-z_]+(\(\))?((,| and) [a-z_]+)* (block|blocks|may block|does not block|do not block)[,.;: ]/
}

function handler_sentence(s)
{
    sub(/^Signal handler: */, "", s)
    sub(/\.$/, "", s)
    if (s == "no")
        return "Must not be called from a signal handler."
    if (sub(/^yes/, "", s))
        return "May be called from a signal handler" s "."
    if (sub(/\(\)/, "() may be called", s))
        return "From a signal handler only " s "."
    return "May be called from a signal handler: " s "."
}

# What begins with functions' short names, `send and timedsend block', has the whole ones.
function with_names(s,    result, word, name, rest)
{
    rest = s
    while (match(rest, /^[a-z_]+/)) {
        word = substr(rest, 1, RLENGTH)
        if (word in parameter || substr(rest, RLENGTH + 1, 1) == "(")
            break
        if (word == "and")
            name = "and"
        else if ((name = whole_name(word)) == "")
            break
        else
            name = name "()"
        rest = substr(rest, RLENGTH + 1)
        if (!match(rest, /^(, | )/))
            break
        result = result name substr(rest, 1, RLENGTH)
        name = ""
        rest = substr(rest, RLENGTH + 1)
    }
    s = result name rest
    return s
}

# The one function of the block that is called so for short; empty where there is none, or several.
function whole_name(word,    name, found)
{
    for (name in here)
        if (name ~ ("_" word "(_np)?$") || (word ~ /^[gs]et$/ && name ~ ("_" word "[a-z]+(_np)?$"))) {
            if (found != "")
                return ""
            found = name
        }
    return found
}

function names_of(b,    names, count, i)
{
    split("", here)
    count = split(block_functions(b), names, " ")
    for (i = 1; i <= count; i++)
        here[names[i]] = 1
}

function add_error(tag, text,    part)
{
    error_tag[++error_count] = tag
    error_text[error_count] = styled(error_names(text))
}

# `trylock: somebody holds it; destroy: ...'
function error_names(text,    count, clauses, i, result, lead, names, j, name, whole)
{
    count = split(text, clauses, "; ")
    for (i = 1; i <= count; i++) {
        lead = clauses[i]
        whole = ""
        if (match(lead, /^[a-z_]+(, [a-z_]+)*: /)) {
            j = split(substr(lead, 1, RLENGTH - 2), names, ", ")
            for (; j > 0; j--)
                whole = ((name = whole_name(names[j])) == "" ? names[j] : name "()") (whole == "" ? "" : ", ") whole
            lead = whole substr(lead, RLENGTH - 1)
        }
        result = result (i > 1 ? "; " : "") lead
    }
    return result
}

# `Source: pthread_mutex_lock, _trylock.': each name whole, one a line.
function source_names(b, s,    count, names, i, result, previous, here_names, n)
{
    sub(/^Source: */, "", s)
    sub(/\.$/, "", s)
    if (sub(/\*$/, "", s)) {
        n = split(block_functions(b), here_names, " ")
        for (i = 1; i <= n; i++) {
            sub(/^green/, "pthread", here_names[i])
            result = result here_names[i] "\n"
        }
        return result
    }
    count = split(s, names, ", ")
    for (i = 1; i <= count; i++) {
        if (names[i] !~ /^_?[a-z][a-z_]*$/)
            complain(block_items[b] ": a source that is no name: " names[i])
        if (names[i] ~ /^_/)
            names[i] = twin(previous, names[i])
        previous = names[i]
        result = result names[i] "\n"
    }
    return result
}

# pthread_mutex_lock and _trylock make pthread_mutex_trylock: the longest for which there is one of ours.
function twin(previous, tail,    name)
{
    while (sub(/_[a-z]+$/, "", previous)) {
        name = previous tail
        if (ours(name) in item_block)
            return name
    }
    complain("no twin of " tail)
}

function ours(name)
{
    sub(/^pthread_/, "", name)
    return "green_" name
}
