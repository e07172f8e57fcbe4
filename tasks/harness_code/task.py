"""HumanEval: a function is to be written from its signature and docstring, and tests decide.

Asked, cut and run as Chen et al. 2021 (arXiv:2107.03374) do: the prompt as it is, the answer up to
the next top-level statement, and prompt, answer and tests as one program with three seconds' time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness import metrics
from harness.errors import DataError, UsageError
from harness.types import Generate, Metric, Response, Sample, Stats
from harness_code import PERMISSION
from harness_code.sandbox import Limits, Outcome, prove, run_program
from harness_files import check_ids, check_options, data_file, number_option, read_json_lines

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness.types import Option, TaskSettings

NAME = "humaneval"
MAX_TOKENS = 512
STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
KS = (1, 10, 100)
MOST_ATTEMPTS = 1000
TEMPERATURE, TOP_P = 0.8, 0.95
"""How several answers are drawn unless it is said: as Chen et al. drew them for pass@100."""

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
class Asking:
    """How often each problem is asked, and how answers are drawn."""

    attempts: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def requests(self, prompt: str) -> tuple[Generate, ...]:
        """One for each attempt; the most probable answer has no seed, so it is asked once."""
        asked = Generate(prompt=prompt, max_tokens=MAX_TOKENS, stop=STOP)
        if not self.temperature:
            return (asked,) * self.attempts
        drawn = replace(asked, temperature=self.temperature, top_p=self.top_p, seed=self.seed)
        return tuple(replace(drawn, attempt=number) for number in range(self.attempts))


@dataclass(frozen=True, kw_only=True)
class CodeTask:
    """Problems, each asked several times or once and graded by running the answers."""

    problems: Mapping[str, Problem]
    scorers: Sequence[Scorer]
    asking: Asking
    limits: Limits

    @property
    def metrics(self) -> Sequence[Metric]:
        """pass@1, and pass@10 and pass@100 where there are as many attempts."""
        return tuple(scorer.metric for scorer in self.scorers)

    def samples(self) -> Iterator[Sample]:
        """The problems in the file's order."""
        for problem in self.problems.values():
            yield Sample(
                id=problem.id,
                requests=self.asking.requests(problem.prompt),
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
        outcome = prove(program, self.limits)
        # A process that did not come up says nothing of the program: once more.
        return prove(program, self.limits) if outcome.status == "unstarted" else outcome

    def oracle(self, sample: Sample) -> tuple[Response, ...]:
        """A model that writes the data set's own solution."""
        return (Response(text=self.problems[sample.id].solution),) * self.asking.attempts


def build(settings: TaskSettings, options: Sequence[Option]) -> CodeTask:
    """Read the problems; UsageError without the permission to run what a model writes."""
    check_options(NAME, settings, options)
    if settings.options.get(PERMISSION) != "yes":
        raise UsageError(
            f"Task '{NAME}' runs code that a model wrote, and nobody allowed that.\n"
            "It runs confined, but in no virtual machine. Allow it with --allow-code-execution, or "
            f"with {PERMISSION}=yes after the task's name."
        )
    path = data_file(NAME, settings)
    problems = tuple(_problems(path))
    check_ids(path, (problem.id for problem in problems))
    asking = _asking(settings)
    limits = Limits(seconds=float(number_option(NAME, settings, "timeout") or Limits.seconds))
    _try_out(limits)
    return CodeTask(
        problems={problem.id: problem for problem in problems},
        scorers=tuple(_scorer(k, asking, limits) for k in _ks(settings, asking.attempts)),
        asking=asking,
        limits=limits,
    )


def _asking(settings: TaskSettings) -> Asking:
    """What the options say of attempts; UsageError where that cannot be."""
    attempts = number_option(NAME, settings, "attempts") or 1
    if attempts > MOST_ATTEMPTS:
        raise UsageError(
            f"Task '{NAME}': attempts={attempts} is not possible.\n"
            f"Give a whole number up to {MOST_ATTEMPTS:,}."
        )
    temperature = _fraction(settings, "temperature", TEMPERATURE if attempts > 1 else 0.0, 5.0)
    top_p = _fraction(settings, "top_p", TOP_P if temperature else 1.0, 1.0)
    if attempts > 1 and not temperature:
        raise UsageError(
            f"Task '{NAME}': temperature=0 gives the same answer at each of {attempts} attempts.\n"
            "Raise the temperature, or leave attempts out."
        )
    if not top_p or (top_p < 1 and not temperature):
        why = "leaves nothing to draw from" if not top_p else "needs a temperature above 0"
        raise UsageError(f"Task '{NAME}': top_p={top_p:g} {why}.\nChange it, or leave it out.")
    return Asking(attempts=attempts, temperature=temperature, top_p=top_p, seed=settings.seed)


def _fraction(settings: TaskSettings, option: str, default: float, most: float) -> float:
    """The value of an option that takes a number from 0 to ``most``."""
    text = settings.options.get(option)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= most:
        raise UsageError(
            f"Task '{NAME}': {option}={text} is not possible.\nGive a number from 0 to {most:g}."
        )
    return value


def _ks(settings: TaskSettings, attempts: int) -> Sequence[int]:
    """The k of each pass@k: the usual ones that there are attempts for, and the one asked for."""
    asked = number_option(NAME, settings, "k")
    if asked is not None and asked > attempts:
        raise UsageError(
            f"Task '{NAME}': pass@{asked} needs at least {asked} attempts at each problem, and "
            f"attempts={attempts}.\nRaise attempts, or lower k."
        )
    return sorted({*(k for k in KS if k <= attempts), *((asked,) if asked else ())})


def _scorer(k: int, asking: Asking, limits: Limits) -> Scorer:
    """pass@k, with what the programs may use in its signature: it can change the score."""
    scorer = metrics.pass_at_k(k)
    several = f"attempts:{asking.attempts}|" if asking.attempts > 1 else ""
    settled = f"{several}timeout:{limits.seconds:g}s|memory:{limits.memory >> 20}MiB"
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
