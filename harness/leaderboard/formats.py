"""The table for people: Markdown, HTML, LaTeX, from one grid of words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.leaderboard.escape import (
    LATEX_WIDE,
    LATEX_WIDE_MEANS,
    html_text,
    latex_text,
    markdown_code,
    markdown_text,
    visible,
)
from harness.leaderboard.records import Board, Column, Entry, Row
from harness.types import Metric
from harness.wording import MISSING, count, partial_words

ARROWS = {True: "↑", False: "↓"}
FRONT = "◆"
REMARK = "†"
MOST_REMARKS = 40
LEFT = 2
"""So many columns hold words; the rest are numbers, to the right."""

STYLE = """
:root{color-scheme:light dark;--ink:#1d2127;--paper:#fff;--line:#d5dae1;--soft:#f3f5f8}
@media(prefers-color-scheme:dark){:root{--ink:#e3e7ec;--paper:#14171b;--line:#363d46;--soft:#1d2228}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:2rem;
overflow-wrap:anywhere}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .7rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{background:var(--soft);white-space:normal;min-width:4rem;vertical-align:bottom}td:nth-child(2),th:nth-child(2){text-align:left}
code{font-size:.85em}
"""


@dataclass(frozen=True, kw_only=True)
class Text:
    """One cell of the grid. ``strong``: in the best rank of its column."""

    text: str
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Rows of texts under a header."""

    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]


def board_markdown(board: Board) -> str:
    """A GitHub-flavoured table, what it means, and the signatures."""
    grid = _grid(board)
    lines = [_markdown_row(map(markdown_text, grid.header))]
    lines.append(_markdown_row(["---:", "---"] + ["---:"] * (len(grid.header) - LEFT)))
    for row in grid.rows:
        lines.append(_markdown_row(_styled(cell, markdown_text, "**{}**") for cell in row))
    notes = [f"- {markdown_text(note)}" for note in _notes(board)]
    signatures = [f"- {markdown_text(name)}: {markdown_code(s)}" for name, s in _signatures(board)]
    parts = ["# Leaderboard", "\n".join(lines), "\n".join(notes)]
    return "\n\n".join([*parts, "## Signatures", "\n".join(signatures)]) + "\n"


def board_html(board: Board) -> str:
    """A page of its own, without scripts."""
    grid = _grid(board)
    head = "".join(f'<th scope="col">{html_text(name)}</th>' for name in grid.header)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{_styled(cell, html_text, '<strong>{}</strong>')}</td>" for cell in row)
        + "</tr>\n"
        for row in grid.rows
    )
    notes = "".join(f"<li>{html_text(note)}</li>\n" for note in _notes(board))
    signatures = "".join(
        f"<li>{html_text(name)}: <code>{html_text(text)}</code></li>\n"
        for name, text in _signatures(board)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>Leaderboard</title><style>{STYLE}</style></head><body>\n<h1>Leaderboard</h1>\n"
        f'<div class="wide" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>\n<ul>\n{notes}</ul>\n"
        f"<h2>Signatures</h2>\n<ul>\n{signatures}</ul>\n</body></html>\n"
    )


def board_latex(board: Board) -> str:
    """A tabular that needs booktabs and amssymb; notes and signatures as comments below."""
    grid = _grid(board)
    align = "rl" + "r" * (len(grid.header) - LEFT)
    lines = [
        f"\\begin{{tabular}}{{{align}}}",
        "\\toprule",
        " & ".join(map(latex_text, grid.header)) + " \\\\",
        "\\midrule",
    ]
    for row in grid.rows:
        lines.append(" & ".join(_styled(c, latex_text, "\\textbf{{{}}}") for c in row) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    head = ["% needs \\usepackage[T1]{fontenc} and \\usepackage{booktabs,amssymb,textcomp}"]
    if any(LATEX_WIDE in line for line in lines):
        head.append(LATEX_WIDE_MEANS)
    # A comment ends with its line; what is visible has no line end, and nothing runs in a comment.
    lines += [f"% {visible(note)}" for note in _notes(board)]
    lines += [f"% {visible(name)}: {visible(text)}" for name, text in _signatures(board)]
    return "\n".join(head + lines) + "\n"


def _styled(cell: Text, escape: Callable[[str], str], strong: str) -> str:
    text = escape(cell.text)
    return strong.format(text) if cell.strong else text


def _markdown_row(cells: Iterator[str] | Sequence[str] | map[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _grid(board: Board) -> Grid:
    """The columns of which at least one row has something."""
    columns: list[tuple[str, list[Text]]] = [
        ("rank", [Text(text=MISSING if r.rank is None else str(r.rank)) for r in board.rows]),
        ("model", [Text(text=row.name) for row in board.rows]),
        ("params", [Text(text=count(row.model.parameters.total)) for row in board.rows]),
    ]
    if any(row.mean is not None for row in board.rows):
        columns.append(("mean ↑", [_mean(row) for row in board.rows]))
    for number, column in enumerate(board.columns):
        name = f"{column.title} {column.metric.name} {ARROWS[column.metric.higher_is_better]}"
        columns.append((name, [_entry(column, row.entries[number]) for row in board.rows]))
    costs = [
        ("tokens/s", [_amount(row.tokens_per_second, 1) for row in board.rows]),
        ("peak MB", [_amount(row.peak_bytes, 1e6) for row in board.rows]),
        ("Pareto", [Text(text=FRONT if row.pareto else "") for row in board.rows]),
    ]
    columns += [(name, cells) for name, cells in costs if any(c.text.strip("-") for c in cells)]
    return Grid(
        header=tuple(name for name, _ in columns),
        rows=tuple(zip(*(cells for _, cells in columns), strict=True)),
    )


def _mean(row: Row) -> Text:
    if row.mean is None:
        return Text(text=MISSING)
    ci = "" if row.mean_ci is None else f" [{row.mean_ci[0]:.1f}, {row.mean_ci[1]:.1f}]"
    return Text(text=f"{row.mean:.1f}{ci}", strong=row.rank == 1)


def _entry(column: Column, entry: Entry | None) -> Text:
    if entry is None:
        return Text(text=MISSING)
    text = _number(column.metric, entry.value)
    if entry.ci is not None:
        text += f" [{', '.join(_number(column.metric, end) for end in entry.ci)}]"
    if entry.centred is not None:
        text += f" ({entry.centred:.1f})"
    if entry.remark:
        text += f" {REMARK}"
    return Text(text=text, strong=entry.rank == 1)


def _number(metric: Metric, value: float) -> str:
    return f"{value:.1f}" if metric.bounds == (0, 100) else f"{value:.3g}"


def _amount(value: float | None, unit: float) -> Text:
    return Text(text=MISSING if value is None else f"{value / unit:,.0f}")


def _notes(board: Board) -> Iterator[str]:
    """What a reader must know to read the table."""
    for label in board.partial:
        yield partial_words(label)
    yield (
        f"Ranked by {board.ranked_by}. A rank is shared with the best model of it where no test "
        "separates the two (5 % over the column, Bonferroni); bold: first rank of its column. "
        "Brackets: 95 % intervals."
    )
    if any(row.mean is not None for row in board.rows):
        outside = [f"{c.title} {c.metric.name}" for c in board.columns if not c.in_mean]
        without = f" It leaves out {', '.join(outside)}, which has no two ends." if outside else ""
        yield (
            "The mean is over scores on 0-100, 0 at chance where it is known, else at the worst "
            f"score; rows that lack a score have none.{without}"
        )
    if any(entry and entry.centred is not None for row in board.rows for entry in row.entries):
        yield "In parentheses: the centred score, 0 at chance, 100 at the best."
    if any(row.pareto for row in board.rows):
        yield f"{FRONT}: on the Pareto front; no other model is as good without being larger."
    if any(row.tokens_per_second for row in board.rows):
        yield "tokens/s and peak MB: as measured in the run, on its machine; - where not measured."
    yield from _tests(board.columns)
    yield from board.notes
    yield from _remarks(board)


def _remarks(board: Board) -> Iterator[str]:
    """What is to be known of single cells, row by row."""
    number = 0
    for row in board.rows:
        for column, entry in zip(board.columns, row.entries, strict=True):
            if entry is not None and entry.remark:
                number += 1
                if number <= MOST_REMARKS:
                    name = f"{column.title} {column.metric.name}"
                    yield f"{REMARK} {row.name}, {name}: {entry.remark}."
    if number > MOST_REMARKS:
        yield f"{REMARK} and {number - MOST_REMARKS} more; --format csv and json count them all."


def _tests(columns: Sequence[Column]) -> Iterator[str]:
    """Which test told the models apart, said once for all columns that share it."""
    said: dict[str, list[str]] = {}
    for column in columns:
        said.setdefault(column.test, []).append(f"{column.title} {column.metric.name}")
    for test, names in said.items():
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        yield f"{', '.join(names[:4])}{more}: {test}."


def _signatures(board: Board) -> Iterator[tuple[str, str]]:
    """The settings of every column, then the identity of every model."""
    for column in board.columns:
        for signature in column.signatures:
            yield f"{column.title} {column.metric.name}", signature
    for row in board.rows:
        yield row.name, row.model.identity
