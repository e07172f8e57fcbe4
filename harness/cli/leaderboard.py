"""``harness leaderboard``: models of any runs, ranked in one table."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.common import find_run

SUFFIXES = {
    ".md": "md", ".csv": "csv", ".html": "html", ".htm": "html", ".tex": "latex", ".json": "json",
}  # fmt: skip


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--format",
    "style",
    type=click.Choice(["md", "csv", "html", "latex", "json"]),
    help="Default: by the name of -o, else md.",
)
@click.option("--task", "-t", "tasks", multiple=True, help="Only this task, or a glob; repeatable.")
@click.option("--metric", "metrics", multiple=True, help="This metric, not the headline of a task.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file."
)
def leaderboard(
    runs: tuple[str, ...],
    style: str | None,
    tasks: tuple[str, ...],
    metrics: tuple[str, ...],
    seed: int,
    as_json: bool,
    output: Path | None,
) -> int:
    """Rank the models of all RUNs in one table, one column a task.

    Ranks are shared where a paired test does not separate two models. With several tasks, models
    are ranked by the mean of their scaled scores; --metric adds columns for other metrics.

    \b
    Exit codes: 0 done, 2 usage, 4 a run is partial or something cannot be read or written,
    5 not comparable: a task's fingerprints differ between runs.
    """
    from harness import leaderboard as boards
    from harness.check import save_text

    paths = dict.fromkeys(find_run(run) for run in runs)
    sources = [boards.read_source(path) for path in paths]
    request = boards.BoardRequest(tasks=tasks, metrics=metrics, seed=seed)
    board = boards.build_board(sources, request)
    style = "json" if as_json else style or _by_name(output)
    if style == "json":
        text = json.dumps(boards.board_document(board), indent=1, ensure_ascii=False) + "\n"
    else:
        writers = {
            "md": boards.board_markdown,
            "csv": boards.board_csv,
            "html": boards.board_html,
            "latex": boards.board_latex,
        }
        text = writers[style](board)
    if output is None:
        click.echo(text, nl=False)
    else:
        save_text(output, text)
    return 4 if board.partial else 0


def _by_name(output: Path | None) -> str:
    return "md" if output is None else SUFFIXES.get(output.suffix.lower(), "md")
