"""``harness run``: the main job."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.common import track_option


class BatchSize(click.ParamType[int | None]):
    """``auto`` or a whole number."""

    name = "auto|N"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """None stands for auto."""
        if value is None or value == "auto":
            return None
        try:
            return int(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither 'auto' nor a whole number.", param, ctx)


@click.command()
@click.option("--models", "-m", multiple=True, help="Models or families; default: the embedded.")
@click.option("--tasks", "-t", multiple=True, help="Tasks; default: those of the embedded family.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The run's directory, to go on in too."
)
@click.option("--limit", type=int, help="Only the first N samples of each task.")
@click.option("--shots", type=int, help="Worked examples before each question.")
@click.option(
    "--chat-template",
    is_flag=False,
    flag_value="default",
    metavar="[FILE|NAME]",
    help="Put prompts into a chat template: the tokenizer's own, one of its several, or a file.",
)
@click.option("--system", metavar="TEXT", help="The system message before each prompt.")
@click.option("--seed", type=int, default=0, show_default=True, help="For all that is drawn.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option(
    "--dtype", default="auto", show_default=True, help="auto, float32, bfloat16, float16."
)
@click.option(
    "--batch-size", type=BatchSize(), default="auto", show_default=True, help="auto or a number."
)
@click.option(
    "--max-errors",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Exit with 4 only when more samples than this have no answer.",
)
@click.option(
    "--allow-code-execution",
    is_flag=True,
    help="Let tasks that need it run what the model wrote, confined, on this machine.",
)
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0.0),
    help="What all models together may spend, in the currency of their prices.",
)
@track_option
@click.option("--efficiency", is_flag=True, help="Also print what the answers cost.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def run(
    models: tuple[str, ...],
    tasks: tuple[str, ...],
    output: Path | None,
    max_errors: int,
    max_cost: float | None,
    track: tuple[str, ...],
    efficiency: bool,
    as_json: bool,
    **numbers: object,
) -> int:
    """Run models over tasks; print performance-versus-size tables and scaling fits.

    Names take shell-like braces and commas: --models 'nano,hf:org/pythia-{70m,160m}'. A family's
    name stands for all its sizes. Answers are stored as they come: the same command again goes on
    where it stopped, and a finished cell costs nothing.

    \b
    Exit codes: 0 done, 2 usage, 3 a plugin broke its contract, 4 something failed or is missing,
    130 interrupted.
    """
    # Registry, plan and engine would take twice as long to import as `run --help` takes in all.
    from harness.cli.running import Wishes, evaluate
    from harness.plan import RunRequest

    wishes = Wishes(
        output=output,
        max_errors=max_errors,
        max_cost=max_cost,
        track=track,
        efficiency=efficiency,
        as_json=as_json,
    )
    return evaluate(RunRequest(models=models, tasks=tasks, **numbers), wishes)  # type: ignore[arg-type]
