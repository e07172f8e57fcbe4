"""What a check says, and how a list of checks is run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from harness.codec import from_json, to_json
from harness.errors import HarnessError

SubjectT = TypeVar("SubjectT")


class CheckFailed(AssertionError):  # noqa: N818 - reads as the sentence it is in a test's output
    """A promise is broken; the message says which, how it shows, and what to do."""


class CheckSkipped(Exception):  # noqa: N818
    """The check does not apply; the message says why."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One check of one subject, such as ``model letters-1``; ``reason`` unless it passed."""

    subject: str
    check: str
    status: Literal["passed", "failed", "skipped"]
    reason: str = ""

    @property
    def line(self) -> str:
        """The result as a line, or more where the reason has several."""
        return f"{self.subject}: {self.check}: {self.reason or self.status}"


def run_checks(
    label: str, checks: Iterable[Callable[[SubjectT], None]], subject: SubjectT
) -> tuple[CheckResult, ...]:
    """Run every check on ``subject``, each on its own: one that fails hides none of the others."""
    return tuple(_run(label, check, subject) for check in checks)


def _run(label: str, check: Callable[[SubjectT], None], subject: SubjectT) -> CheckResult:
    name = check.__name__.removeprefix("check_").replace("_", " ")
    try:
        check(subject)
    except CheckSkipped as why:
        return CheckResult(subject=label, check=name, status="skipped", reason=str(why))
    except (CheckFailed, HarnessError) as error:
        return CheckResult(subject=label, check=name, status="failed", reason=str(error))
    except Exception as error:
        return CheckResult(subject=label, check=name, status="failed", reason=_raised(error))
    return CheckResult(subject=label, check=name, status="passed")


def round_trip(record: object, what: str) -> None:
    """Raises CheckFailed unless ``record`` survives JSON unchanged."""
    try:
        text = json.dumps(to_json(record), ensure_ascii=False, allow_nan=False)
        text.encode()
        back = from_json(type(record), json.loads(text), where=what)
    except (TypeError, ValueError, HarnessError) as error:
        raise CheckFailed(
            f"{what} cannot be kept as JSON: {error}\n"
            "Use str, int, float, bool, None, lists and dicts with string keys; convert the rest."
        ) from error
    if back != record:
        raise CheckFailed(
            f"{what} comes back from JSON changed: {_difference(record, back)}.\n"
            "Use lists instead of tuples in `reference`, and no NaN or infinity."
        )


def _difference(record: object, back: object) -> str:
    for name, value in vars(record).items():
        other = getattr(back, name)
        if other != value:
            return f"its {name} was {value!r:.100} and became {other!r:.100}"
    return f"{record!r:.100} became {back!r:.100}"


def _raised(error: Exception) -> str:
    """What was raised, and the line of code it came from."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = ""
    if frame is not None:
        code = frame.tb_frame.f_code
        place = f" ({code.co_filename}, line {frame.tb_lineno}, in {code.co_name})"
    return f"raised {type(error).__name__}: {error}{place}"
