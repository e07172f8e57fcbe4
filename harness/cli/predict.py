"""``harness predict``: what a size will score, what size a score needs, how to spend compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import click

from harness.cli.common import completeness, echo_json
from harness.cli.fitoptions import fit_options
from harness.errors import DataError, UsageError
from harness.wording import short

if TYPE_CHECKING:
    from harness.cli.sources import Named
    from harness.laws.frontier import Allocation
    from harness.laws.records import Prediction
    from harness.laws.target import Needed

Answer: TypeAlias = "Prediction | Needed | Allocation"


@click.command()
@fit_options
@click.option("--size", type=float, help="Parameters of the model to foretell, such as 7e9.")
@click.option(
    "--tokens", type=float, help="Training tokens, for laws in N and D, with --size or --target."
)
@click.option("--target", help="A score to reach, such as 'bleu>=30': which size does it need?")
@click.option("--compute", type=float, help="A budget of FLOP: the best N and D for it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def predict(
    source: str,
    size: float | None,
    tokens: float | None,
    target: str | None,
    compute: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Foretell from SOURCE: a run, or a CSV file with a header, fitted as by `harness fit`.

    Every answer has a 95 % interval, and says how far beyond the data it lies. A fit that is not
    identifiable gives no number. Exits with 4 when no fit gives one, or when the run is partial.
    """
    if sum(value is not None for value in (size, target, compute)) != 1:
        raise UsageError("Ask one thing: --size N, --target 'METRIC>=VALUE' or --compute FLOP.")
    from harness.cli.sources import read_fits, source_status
    from harness.fitreport import isoflop_text
    from harness.laws.frontier import isoflop_beside
    from harness.laws.target import parse_target

    if target is not None and not options["y"]:
        options["y"] = parse_target(target).metric
    answers: list[tuple[Named, Answer]] = []
    refusals: list[str] = []
    for one in read_fits(source, options):
        try:
            answers.append((one, _answer(one, size, tokens, target, compute)))
        except DataError as error:
            refusals.append(f"{one.label}: {error}")
    status = source_status(source)
    if as_json:
        echo_json(_document(answers, refusals, status))
    else:
        for one, answer in answers:
            click.echo(f"{one.label} ({one.fit.law}): {_words(answer, size)}")
            if compute is not None and (beside := isoflop_text(*isoflop_beside(one.fit), compute)):
                click.echo(beside)
        for refusal in refusals:
            click.echo(refusal, err=True)
    code = completeness(status, source, as_json=as_json)
    return code if answers else DataError.exit_code


def _answer(
    one: Named, size: float | None, tokens: float | None, target: str | None, compute: float | None
) -> Answer:
    from harness.laws.frontier import allocate
    from harness.laws.target import needed_size, parse_target

    if compute is not None:
        return allocate(one.fit, compute)
    others = {} if tokens is None else {"D": tokens}
    if target is not None:
        # A prediction says how far it lies from the largest size, so the largest size is known.
        largest = 1.0 / one.fit.predict(1.0, **others).beyond
        return needed_size(one.fit, parse_target(target), largest, others)
    assert size is not None
    return one.fit.predict(size, **others)


def _words(answer: Answer, size: float | None) -> str:
    from harness.fitreport import allocation_text, needed_text, prediction_text
    from harness.laws.frontier import Allocation
    from harness.laws.records import Prediction

    if isinstance(answer, Prediction):
        return f"at {short(size or 0)}: {prediction_text(answer)}"
    return allocation_text(answer) if isinstance(answer, Allocation) else needed_text(answer)


def _document(
    answers: list[tuple[Named, Answer]], refusals: list[str], status: str
) -> dict[str, Any]:
    from harness.codec import SCHEMA

    return {
        "schema": SCHEMA,
        "status": status,
        "predictions": [
            dict(one.group)
            | {"metric": one.metric, "law": one.fit.law, "verdict": one.fit.verdict}
            | _entry(answer)
            for one, answer in answers
        ],
        "errors": refusals,
    }


def _entry(answer: Answer) -> dict[str, Any]:
    from harness.laws.records import Prediction

    if not isinstance(answer, Prediction):
        return answer.to_json()
    return {
        "at": dict(answer.at),
        "value": answer.value,
        "ci": [answer.lo, answer.hi],
        "beyond": answer.beyond,
        "note": answer.note,
    }
