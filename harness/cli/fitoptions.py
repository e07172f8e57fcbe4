"""The options that ``fit`` and ``predict`` share, without the laws that they choose from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def fit_options(function: FunctionT) -> FunctionT:
    """The options that say what to fit, and how."""
    for option in reversed(
        (
            click.argument("source"),
            click.option("--law", "-l", help="A law's name, or auto; see `harness laws`."),
            click.option("--x", help="Columns of the law's variables: N, or N,D. COLUMN*FACTOR."),
            click.option("--y", help="Column of the score; for a run, a metric."),
            click.option(
                "--through",
                help="With a law of a loss, such as loss-to-score: foretell the loss by this law.",
            ),
            click.option("--loss", help="huber:DELTA, lad, log-mse, mse, weighted or binomial."),
            click.option("--resample", help="points, residuals, cluster:COLUMN, seeds or items."),
            click.option("--error", help="Column with the standard error of each score."),
            click.option("--items", help="Column with the number of test items of each score."),
            click.option("--group", help="Fit each combination of these columns' values apart."),
            click.option("--where", multiple=True, help="Only rows with COLUMN=VALUE, COLUMN>1."),
            click.option(
                "--hold-out", multiple=True, help="Rows to foretell instead of fitting: N>1e9."
            ),
            click.option("--chance", type=float, help="The score of a guess."),
            click.option("--ceiling", type=float, help="The perfect score; default 1 or 100."),
            click.option(
                "--interval", type=click.Choice(["percentile", "bca"]), default="percentile"
            ),
            click.option("--replicates", type=int, default=1000, show_default=True),
            click.option("--seed", type=int, default=0, show_default=True),
        )
    ):
        function = option(function)
    return function
