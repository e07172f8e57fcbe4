"""``harness rescore``: grade a run's saved answers anew."""

from __future__ import annotations

import itertools

import click

from harness.cli.common import find_run
from harness.cli.show import print_run
from harness.errors import HarnessError
from harness.plan import RunRequest, plan_task
from harness.plugins import load_registry
from harness.rescore import kinds_asked
from harness.rescore import rescore as rescore_cell
from harness.results import RunDirectory


@click.command()
@click.argument("run")
@click.option(
    "--allow-code-execution",
    is_flag=True,
    help="Let tasks that need it run what the model wrote, confined, on this machine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def rescore(run: str, allow_code_execution: bool, as_json: bool) -> int:
    """Grade the saved answers of RUN anew, without a model, and print its tables.

    The tasks are those installed now: after a metric was added or a grader mended, every score of
    the run follows. A task that now asks other questions is refused with exit code 5.
    """
    registry = load_registry()
    directory = RunDirectory(find_run(run))
    first: HarnessError | None = None
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
            rescore_cell(directory, record, plan_task(registry, record.task, kinds, request))
        except HarnessError as error:
            click.echo(f"harness: {error}", err=True)
            first = first or error
    code = print_run(directory, as_json=as_json)
    return first.exit_code if first is not None else code
