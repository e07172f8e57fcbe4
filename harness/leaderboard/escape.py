"""Names that anyone may have chosen, made harmless in each format."""

from __future__ import annotations

import html
import re

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "[": "{[}", "]": "{]}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "◆": r"$\blacklozenge$",
    "†": r"\dag{}", "−": "--", "·": r"$\cdot$",
}  # fmt: skip
MARKDOWN = re.compile(r"([\\`*_{}\[\]|~#$])")
FORMULA = tuple("=+-@\t\r＝＋－＠")


def visible(text: str) -> str:
    """Control characters, line ends and marks that turn the writing direction, readable."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def markdown_text(text: str) -> str:
    """For a table cell or a line: no markup, no HTML, no end of the cell."""
    return MARKDOWN.sub(r"\\\1", html.escape(visible(text), quote=False))


def markdown_code(text: str) -> str:
    """A code span; inside it nothing but a backtick has a meaning."""
    return f"`{visible(text).replace('`', chr(0x2019))}`"


def html_text(text: str) -> str:
    """For an element's content or a quoted attribute."""
    return html.escape(visible(text))


def latex_text(text: str) -> str:
    """Every character that TeX takes for a command, as the command that prints it."""
    return "".join(LATEX.get(character, character) for character in visible(text))


def csv_text(text: str) -> str:
    """No spreadsheet takes it for a formula."""
    plain = visible(text)
    return f"'{plain}" if plain.lstrip().startswith(FORMULA) else plain
