"""HumanEval: a function is to be written from its signature and docstring, and tests decide.

Asked, cut and run as Chen et al. 2021 (arXiv:2107.03374) do: the prompt as it is, the answer up to
the next top-level statement, and prompt, answer and tests as one program with three seconds' time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness import metrics
from harness.errors import DataError, UsageError
from harness.types import Generate, Metric, Response, Sample, Stats
from harness_code import PERMISSION
from harness_code.sandbox import Limits, Outcome, run_program
from harness_files import check_ids, check_options, data_file, number_option, read_json_lines

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness.types import Option, TaskSettings

NAME = "humaneval"
MAX_TOKENS = 512
STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
KS = (1, 10, 100)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A function to be written: ``prompt`` is its beginning, ``solution`` completes it."""

    id: str
    prompt: str
    solution: str
    test: str
    entry_point: str

    def program(self, completion: str) -> str:
        """The whole program: it ends without an exception where the completion is right."""
        return f"{self.prompt}{completion}\n{self.test}\ncheck({self.entry_point})\n"


@dataclass(frozen=True, kw_only=True)
class CodeTask:
    """Problems, each asked ``attempts`` times and graded by running the answers."""

    problems: Mapping[str, Problem]
    scorers: Sequence[Scorer]
    attempts: int
    limits: Limits

    @property
    def metrics(self) -> Sequence[Metric]:
        """pass@1, and pass@10 and pass@100 where there are as many attempts."""
        return tuple(scorer.metric for scorer in self.scorers)

    def samples(self) -> Iterator[Sample]:
        """The problems in the file's order."""
        for problem in self.problems.values():
            request = Generate(prompt=problem.prompt, max_tokens=MAX_TOKENS, stop=STOP)
            yield Sample(
                id=problem.id,
                requests=(request,) * self.attempts,
                reference={"test": problem.test, "entry_point": problem.entry_point},
            )

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """Run every answer; one that could not be run is counted as unparseable."""
        problem = self.problems[sample.id]
        outcomes = [self._run(problem.program(response.text or "")) for response in responses]
        passed = [outcome.passed for outcome in outcomes]
        stats = {scorer.metric.name: scorer.stats(passed, None) for scorer in self.scorers}
        if any(outcome.status == "unstarted" for outcome in outcomes):
            stats["unparseable"] = (1.0,)
        return stats

    def _run(self, program: str) -> Outcome:
        outcome = run_program(program, self.limits)
        # A process that did not come up says nothing of the program: once more.
        return run_program(program, self.limits) if outcome.status == "unstarted" else outcome

    def oracle(self, sample: Sample) -> tuple[Response, ...]:
        """A model that writes the data set's own solution."""
        return (Response(text=self.problems[sample.id].solution),) * self.attempts


def build(settings: TaskSettings, options: Sequence[Option]) -> CodeTask:
    """Read the problems; UsageError without the permission to run what a model writes."""
    check_options(NAME, settings, options)
    if settings.options.get(PERMISSION) != "yes":
        raise UsageError(
            f"Task '{NAME}' runs code that a model wrote, and nobody allowed that.\n"
            f"It runs confined, but in no virtual machine. Allow it with {PERMISSION}=yes."
        )
    path = data_file(NAME, settings)
    problems = tuple(_problems(path))
    check_ids(path, (problem.id for problem in problems))
    attempts = number_option(NAME, settings, "attempts") or 1
    limits = Limits(seconds=float(number_option(NAME, settings, "timeout") or Limits.seconds))
    _try_out(limits)
    return CodeTask(
        problems={problem.id: problem for problem in problems},
        scorers=tuple(_scorer(k, limits) for k in KS if k <= attempts),
        attempts=attempts,
        limits=limits,
    )


def _scorer(k: int, limits: Limits) -> Scorer:
    """pass@k, with what the programs may use in its signature: it can change the score."""
    scorer = metrics.pass_at_k(k)
    settled = f"timeout:{limits.seconds:g}s|memory:{limits.memory >> 20}MiB"
    signature = f"{scorer.metric.signature}|{settled}"
    return replace(scorer, metric=replace(scorer.metric, signature=signature))


def _problems(path: str) -> Iterator[Problem]:
    for row in read_json_lines(path):
        entry_point = row.filled("entry_point")
        if not entry_point.isidentifier():
            raise DataError(
                f"{row.place}: 'entry_point' is {entry_point!r}, not a function's name.\n"
                "Name a file in HumanEval's format."
            )
        yield Problem(
            id=row.filled("task_id"),
            prompt=row.filled("prompt"),
            solution=row.text("canonical_solution"),
            test=row.filled("test"),
            entry_point=entry_point,
        )


def _try_out(limits: Limits) -> None:
    """Raise DataError where no program can be run here; say which barriers are missing."""
    outcome = run_program("assert 1 + 1 == 2\n", limits)
    if not outcome.passed:
        outcome = run_program("assert 1 + 1 == 2\n", limits)
    if not outcome.passed:
        raise DataError(
            f"Programs cannot be run here: {outcome.status} ({outcome.detail}).\n"
            "Grade the answers on another machine."
        )
    if outcome.missing:
        log.warning(
            "the kernel does not confine: %s; the interpreter's own barriers stand alone there",
            ", ".join(dict.fromkeys(outcome.missing)),
        )
