"""Names that anyone may have chosen, made harmless in each format."""

from __future__ import annotations

import html
import re

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "[": "{[}", "]": "{]}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "◆": r"$\blacklozenge$",
    "†": r"\dag{}", "−": "$-$", "·": r"$\cdot$", "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
}  # fmt: skip
LATEX_WIDE = r"\harnesswide"
LATEX_WIDE_MEANS = (
    LATEX_WIDE.join((r"\providecommand{", "}")) + r"[2]{\ifdefined\Umathchar#1\else\texttt{#2}\fi}"
)
"""For what pdfLaTeX's T1 fonts lack: XeLaTeX and LuaLaTeX print it, pdfLaTeX its code point."""
_NOT_IN_T1 = frozenset("\u00ad\u0126\u0127\u0138\u013f\u0140\u0149\u0166\u0167")
_ALSO_IN_T1 = frozenset("‐–—‘’‚“”„‡•…‰‹›€™")
_LIGATURES = frozenset("-,")
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
    """Every character that TeX takes for a command, or its fonts lack, as what prints it.

    A text outside of Western and Central European scripts needs :data:`LATEX_WIDE_MEANS` above.
    """
    parts: list[str] = []
    before = ""
    for character in visible(text):
        if character == before and character in _LIGATURES:
            parts.append("{}")  # two hyphens would become a dash
        parts.append(LATEX.get(character) or _in_t1(character))
        before = character
    return "".join(parts)


def _in_t1(character: str) -> str:
    known = " " <= character <= "~" or ("\u00a1" <= character <= "\u017e")
    if (known and character not in _NOT_IN_T1) or character in _ALSO_IN_T1:
        return character
    return f"{LATEX_WIDE}{{{character}}}{{U+{ord(character):04X}}}"


def csv_text(text: str) -> str:
    """No spreadsheet takes it for a formula."""
    plain = visible(text)
    return f"'{plain}" if plain.lstrip().startswith(FORMULA) else plain
