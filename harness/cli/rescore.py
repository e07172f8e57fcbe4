"""``harness rescore``: grade a run's saved answers anew."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import click

from harness.cli.common import find_run
from harness.cli.show import print_run
from harness.errors import HarnessError, UsageError
from harness.metrics.scorer import Scorer
from harness.plan import RunRequest, plan_task
from harness.plugins import load_registry
from harness.rescore import kinds_asked
from harness.rescore import rescore as rescore_cell
from harness.results import RunDirectory


@click.command()
@click.argument("run")
@click.option(
    "--metrics",
    multiple=True,
    metavar="M,...",
    help="Besides the task's own: bleu, chrf++, ter, rougeL, f1, bleu:tokenize=zh, ...",
)
@click.option(
    "--allow-code-execution",
    is_flag=True,
    help="Let tasks that need it run what the model wrote, confined, on this machine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def rescore(run: str, metrics: tuple[str, ...], allow_code_execution: bool, as_json: bool) -> int:
    """Grade the saved answers of RUN anew, without a model, and print its tables.

    The tasks are those installed now: after a metric was added or a grader mended, every score of
    the run follows. A task that now asks other questions is refused with exit code 5. With
    --metrics, tasks that generate texts are graded by further metrics too, under the names as
    written; rescoring without it leaves them out again.
    """
    further = _scorers(metrics)
    registry = load_registry()
    directory = RunDirectory(find_run(run))
    first: HarnessError | None = None
    suited = not further
    for record in directory.read_run().cells:
        if record.status == "failed":
            continue
        request = RunRequest(
            shots=record.shots,
            seed=record.seed,
            limit=record.limit,
            allow_code_execution=allow_code_execution,
        )
        kinds = kinds_asked(list(itertools.islice(directory.read_samples(record), 1)))
        try:
            planned = plan_task(registry, record.task, kinds, request)
            more = further if "generate" in kinds else {}
            suited |= bool(more)
            rescore_cell(directory, record, planned, more)
        except HarnessError as error:
            click.echo(f"harness: {error}", err=True)
            first = first or error
    if not suited:
        raise UsageError(f"No task of {run} generates texts that {', '.join(further)} could grade.")
    code = print_run(directory, as_json=as_json)
    return first.exit_code if first is not None else code


def _scorers(given: Sequence[str]) -> dict[str, Scorer]:
    """The scorers named, by name; ``bleu:tokenize=zh,lowercase=yes`` is one of them."""
    from harness.metrics.named import TEXT_SCORERS, named_scorer

    specs: list[str] = []
    for part in (part for text in given for part in text.split(",") if part.strip()):
        option = "=" in part and part.partition(":")[0] not in TEXT_SCORERS
        if option and specs:
            specs[-1] += ("," if ":" in specs[-1] else ":") + part.strip()
        else:
            specs.append(part.strip())
    return {spec: named_scorer(spec) for spec in specs}
