# Comments, read as prose and written as troff.
#
# A comment's lines are paragraphs, code (indented by four), and items (indented by two: a tag, two spaces, a text that
# may go on in lines below it).  Sentences end with a full stop and two spaces, or the line.
#
#   part_count, part_kind[i]  prose, code or item, in order
#   part_tag[i], part_text[i]

function parse_text(text,    lines, count, i, line)
{
    part_count = 0
    count = split(text, lines, "\n")
    for (i = 1; i < count; i++) {
        line = lines[i]
        if (line == "")
            add_part_line("gap", "")
        else if (line ~ /^[^ ]/)
            add_part_line("prose", line)
        else if (line ~ /^        / && part_count && part_kind[part_count] == "item") {
            sub(/^ */, "", line)
            part_text[part_count] = part_text[part_count] " " line
        } else if (line ~ /^  [A-Za-z_]+(, [A-Za-z_]+)*  +[^ ]/ && line !~ /[^ ]   +[^ ].*[^ ]   /)
            add_item_part(line)
        else
            add_part_line("code", line)
    }
    for (i = part_count; i > 0 && part_kind[i] == "gap"; i--)
        part_count--
}

function add_part_line(kind, line)
{
    if (part_count && part_kind[part_count] == kind) {
        line = (kind == "code" ? "\n" : part_text[part_count] ~ /\.$/ ? "  " : " ") line
        part_text[part_count] = part_text[part_count] line
    } else if (kind != "gap" || part_count) {
        part_kind[++part_count] = kind
        part_text[part_count] = line
    }
}

function add_item_part(line)
{
    part_kind[++part_count] = "item"
    sub(/^  /, "", line)
    match(line, /  +/)
    part_tag[part_count] = substr(line, 1, RSTART - 1)
    part_text[part_count] = substr(line, RSTART + RLENGTH)
}

# Into sentence[1...]; returns how many.
function split_sentences(text,    count)
{
    count = 0
    while (match(text, /[.!?][)"]?  +/)) {
        sentence[++count] = substr(text, 1, RSTART + RLENGTH - 1)
        sub(/ +$/, "", sentence[count])
        text = substr(text, RSTART + RLENGTH)
    }
    if (text != "")
        sentence[++count] = text
    return count
}

function capital(text)
{
    return toupper(substr(text, 1, 1)) substr(text, 2)
}

function bold(text)
{
    return "\\fB" text "\\fP"
}

function italic(text)
{
    return "\\fI" text "\\fP"
}

# Names in a sentence: on_page[name] for those that the page describes, parameter[name] for their parameters.
function styled(text,    result, token, next_char)
{
    result = ""
    while (match(text, /`[^`]*`|\*[a-z]+\*|<[a-z\/]+\.h>|[A-Za-z_][A-Za-z0-9_]*(\(\))?/)) {
        token = substr(text, RSTART, RLENGTH)
        next_char = substr(text, RSTART + RLENGTH, 1)
        result = result escaped(substr(text, 1, RSTART - 1)) style_token(token, next_char, substr(text, RSTART - 1, 1))
        text = substr(text, RSTART + RLENGTH)
    }
    result = result escaped(text)
    if (result ~ /^['.]/)
        result = "\\&" result
    return result
}

# A hyphen between words stays one.
function escaped(text)
{
    gsub(/\\/, "\\e", text)
    if (text != "-")
        gsub(/-/, "\\-", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    gsub(/`/, "\\(ga", text)
    return text
}

function style_token(token, next_char, previous,    name)
{
    name = token
    gsub(/[`()]/, "", name)
    if (token ~ /^`/)
        return (name in parameter) ? italic(name) : bold(escaped(substr(token, 2, length(token) - 2)))
    if (token ~ /^</)
        return italic(token)
    if (token ~ /^\*/)
        return italic(substr(token, 2, length(token) - 2))
    if (token ~ /\(\)$/)
        return bold(name) (name in item_block && !(name in on_page) ? "(3)" : "()")
    if (name in parameter && (previous == "*" || name ~ /^(abstime|attr|arg|args|cif|rem|cpus|param)$/))
        return italic(name)
    if (name in item_block || name in macro_pair || name ~ /^green_/ || name ~ /^(pthread|sched|sem|clock)_[a-z]/ ||
        name ~ /^_[a-z]+/ || name ~ /^[A-Z]+_[A-Z0-9_]+$/ || name ~ /^E[A-Z][A-Z][A-Z]+$/ || name ~ /^SIG[A-Z]+$/ ||
        name ~ /^(NULL|errno)$/ || next_char == "(")
        return bold(name)
    return token
}
