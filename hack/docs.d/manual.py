"""Manual pages that people write (man/*.7), as pages of the site."""

import re

MACROS = {"B": "B", "I": "I", "BR": "BR", "RB": "RB", "BI": "BI", "IR": "IR", "IB": "IB", "RI": "RI"}
"""Macros of man(7) that set words in fonts -> the fonts, in turns."""
MARKS = {"B": "`", "I": "*", "R": ""}
ESCAPES = {"\\-": "-", "\\(aq": "'", "\\e": "\\", "\\&": ""}
OF_A_VERB = re.compile(r"`ocirt-(\w+)`\(1\)")
"""How a page names another one, which is a part of the page on verbs here."""


def markdown(text: str, title: str) -> str:
    """The page in Markdown, without its head and without SEE ALSO.

    :raises ValueError: the page has a macro that this function does not know.
    """
    lines = ["# " + title, ""]
    body = text[text.index(".SH DESCRIPTION") :].partition(".SH SEE ALSO")[0]
    is_tag = is_code = False
    for line in body.splitlines()[1:]:
        macro, _, rest = line[1:].partition(" ") if line.startswith(".") else ("", "", line)
        if macro in ("SH", "SS"):
            lines += ["", "## " + (plain(rest).capitalize() if macro == "SH" else plain(rest)) + "\n"]
        elif macro in ("TP", "PP"):
            is_tag = macro == "TP"
            lines.append("")
        elif macro in ("nf", "fi"):
            is_code = macro == "nf"
            lines.append("")
        elif macro in ("RS", "RE", "TH"):
            continue
        elif is_code:
            lines.append("    " + plain(line))
        elif macro and macro not in MACROS:
            raise ValueError(f"a manual page has the macro .{macro}, which hack/docs.d/manual.py does not know")
        else:
            words = in_fonts(macro, rest) if macro else plain(rest)
            lines.append(f"- {words}:" if is_tag else words)
            is_tag = False
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"
    return OF_A_VERB.sub(r"[`ocirt \1`](verbs.md#\1)", text)


def in_fonts(macro: str, rest: str) -> str:
    """The words of a macro, which take its fonts in turns and stand without spaces between them."""
    words = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', rest)]
    fonts = MACROS[macro]
    if len(fonts) == 1:
        return MARKS[fonts] + plain(" ".join(words)) + MARKS[fonts]
    pairs = [(plain(word), MARKS[fonts[index % 2]]) for index, word in enumerate(words)]
    return "".join([f"{mark}{word}{mark}" if word.strip(" ,.:)(") else word for word, mark in pairs])


def plain(text: str) -> str:
    for escape, letter in ESCAPES.items():
        text = text.replace(escape, letter)
    return text
