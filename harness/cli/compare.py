"""``harness compare``: paired tests of two runs, models or families."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.common import echo_json, find_run
from harness.errors import UsageError

TESTS = ("auto", "bootstrap", "randomization", "mcnemar", "permutation")


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--metric", "metrics", multiple=True, help="Only this metric; may be repeated.")
@click.option(
    "--test", type=click.Choice(TESTS), default="auto", show_default=True, help="The paired test."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compare(a: str, b: str, metrics: tuple[str, ...], test: str, seed: int, as_json: bool) -> int:
    """Compare A and B sample by sample: does B differ from A, and by how much?

    A and B are runs, or RUN:MODEL, or RUN:FAMILY; in B, an empty RUN means A's. Cells are matched
    by task and model; where each side is one model, those two are compared. Families of at least
    three sizes are compared as scaling curves besides.

    \b
    Exit codes: 0 compared, 2 usage, 4 some data cannot be read or a run is partial,
    5 not comparable (some or all of it).
    """
    from harness import compare as comparing
    from harness.compare.text import comparison_document, comparison_text

    path_a, model_a = find_side(a, None)
    path_b, model_b = find_side(b, path_a)
    settings = comparing.Settings(metrics=metrics, test=test, seed=seed)
    found = comparing.compare(
        comparing.run_side(path_a, model_a), comparing.run_side(path_b, model_b), settings
    )
    if as_json:
        echo_json(comparison_document(found))
    else:
        click.echo(comparison_text(found), nl=False)
    if found.refused:
        return 5
    return 0 if found.a.status == found.b.status == "complete" else 4


def find_side(text: str, default: Path | None) -> tuple[Path, str | None]:
    """A run and perhaps a model or family in it. Names may hold colons, and so may folders.

    An empty run (``:MODEL``) is ``default``, or the latest run. Raises UsageError.
    """
    if text.startswith(":") and len(text) > 1:
        return default if default is not None else find_run(None), text[1:]
    try:
        return find_run(text), None
    except UsageError as error:
        plain = error
    for position in (i for i, character in enumerate(text) if character == ":"):
        try:
            return find_run(text[:position]), text[position + 1 :]
        except UsageError:
            continue
    raise plain
