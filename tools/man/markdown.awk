# Sections of README.md as troff: paragraphs, lists and tables of the kind it has.  A table's row is a tag, the last
# column's text, and what the others say, each after its heading.

function markdown_line(line)
{
    if (line ~ /^## /)
        markdown_heading = substr(line, 4)
    else
        markdown_text[markdown_heading] = markdown_text[markdown_heading] line "\n"
}

function markdown_section(heading,    lines, count, i, line, result, cells, paragraph)
{
    if (!(heading in markdown_text)) {
        complain("README.md has no section " heading)
        return
    }
    count = split(markdown_text[heading], lines, "\n")
    for (i = 1; i <= count; i++) {
        line = lines[i]
        if (line ~ /^[|-] *|^$/) {
            if (paragraph != "")
                result = result styled(paragraph) "\n"
            paragraph = ""
        }
        if (line == "")
            result = result "\n"
        else if (line ~ /^\|/)
            result = result (line ~ /^\|[-|]+$/ ? "" : table_row(line, cells))
        else {
            sub(/^ +/, "", line)
            if (sub(/^- /, "", line))
                result = result ".IP \\(bu 2\n"
            paragraph = paragraph (paragraph == "" ? "" : " ") line
        }
    }
    return paragraphs(result)
}

# The first row names the columns.
function table_row(line, titles,    cell, count, i, result)
{
    count = split(line, cell, / *\| */)
    if (!(2 in titles)) {
        for (i = 1; i <= count; i++)
            titles[i] = cell[i]
        return ""
    }
    result = ".TP\n" styled(cell[2]) "\n" styled(capital(cell[count - 1])) ".\n"
    for (i = 3; i < count - 1; i++)
        result = result capital(titles[i]) ": " styled(cell[i]) (cell[i] ~ /\.$/ ? "" : ".") "\n"
    return result
}
