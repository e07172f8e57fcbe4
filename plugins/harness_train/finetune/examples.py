"""From a task's samples to labelled examples, and which of them a share takes.

Examples are what the task itself would ask and call right (``task.oracle``), so that a model is
trained on the very form it is evaluated in.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from harness.errors import DataError, UsageError
from harness.types import Classify, Generate, Loglikelihood, Tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.types import Cut, RequestKind, Response, Sample, Task

OUTSIDE = "O"


@dataclass(frozen=True, kw_only=True)
class Tagged:
    """Tokens, each with its tag."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def classes(self) -> frozenset[str]:
        """The types of the entities in it."""
        return frozenset(tag[2:] for tag in self.tags if tag != OUTSIDE)

    @property
    def labels(self) -> frozenset[str]:
        """Its tags."""
        return frozenset(self.tags)


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One text, or a pair, with its label."""

    texts: tuple[str, ...]
    label: str

    @property
    def classes(self) -> frozenset[str]:
        """Its label."""
        return frozenset((self.label,))

    @property
    def labels(self) -> frozenset[str]:
        """Its label."""
        return frozenset((self.label,))


@dataclass(frozen=True, kw_only=True)
class Prompted:
    """A prompt and the right answer, with the blank between them if there is one.

    ``cut`` says what a prompt too long for the model loses.
    """

    prompt: str
    answer: str
    cut: Cut = "start"
    classes: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()


Example: TypeAlias = Tagged | Labelled | Prompted


def read_examples(task: Task, kind: RequestKind, what: str) -> tuple[Example, ...]:
    """The task's samples as examples; ``what`` names them in errors.

    Raises DataError where there are none, and UsageError for a task that cannot say what is right.
    """
    oracle = getattr(task, "oracle", None)
    if not callable(oracle):
        raise UsageError(
            f"The task of {what} does not say which answers are right (it has no oracle), so "
            "nothing can be learnt from it."
        )
    found = [_example(sample, tuple(oracle(sample)), kind) for sample in task.samples()]
    examples = tuple(example for example in found if example is not None)
    if not examples:
        raise DataError(f"{what} holds no example to {kind}.\nName a file with labelled texts.")
    return examples


def _example(sample: Sample, right: Sequence[Response], kind: RequestKind) -> Example | None:
    for request, response in zip(sample.requests, right, strict=True):
        if isinstance(request, Tag) and kind == "tag":
            return Tagged(tokens=request.tokens, tags=tuple(response.tags or ()))
        if isinstance(request, Classify) and kind == "classify":
            chances = response.logprobs or ()
            best = max(range(len(chances)), key=lambda i: chances[i])
            return Labelled(texts=request.texts, label=request.labels[best][0])
        if isinstance(request, Generate) and kind == "generate":
            answer = _answer(sample, request, response)
            return Prompted(prompt=request.prompt, answer=answer, cut=request.cut)
    return None


def _answer(sample: Sample, request: Generate, response: Response) -> str:
    """The right text with the blank before it.

    Where the task also weighs the right answer after the same prompt, that says how they join;
    else a blank parts them unless there is white space already.
    """
    text = response.text or ""
    for other in sample.requests:
        if (
            isinstance(other, Loglikelihood)
            and other.context == request.prompt
            and other.continuation.strip() == text.strip()
        ):
            return other.continuation
    joined = not request.prompt or request.prompt[-1].isspace() or text[:1].isspace()
    return text if joined else f" {text}"


def labels_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """The labels in alphabetical order; for tags ``O`` first, and an ``I-`` for each type."""
    found = {label for example in examples for label in example.labels}
    if examples and isinstance(examples[0], Tagged):
        types = sorted({kind for example in examples for kind in example.classes})
        return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in ("B", "I")))
    return tuple(sorted(found))


def check_labels(labels: Sequence[str], others: Sequence[Example], what: str) -> None:
    """Raise DataError where ``others`` bear a label that training never shows."""
    unknown = Counter(
        label for example in others for label in example.labels if label not in set(labels)
    )
    if unknown:
        names = ", ".join(f"{name} ({count}×)" for name, count in unknown.most_common(4))
        raise DataError(
            f"{what} has labels that the training texts never show: {names}.\n"
            f"Known are {', '.join(labels[:12])}. Use files of one label set."
        )


def split(
    examples: tuple[Example, ...], seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Training and validation: a tenth, at least one, drawn by ``seed``, is kept back."""
    if len(examples) < 2:
        raise DataError(
            "One training example is too few to keep some back for validation.\n"
            "Give more, or --validation."
        )
    order = _order(len(examples), seed)
    kept = set(order[: max(1, len(examples) // 10)])
    return (
        tuple(example for i, example in enumerate(examples) if i not in kept),
        tuple(example for i, example in enumerate(examples) if i in kept),
    )


def share_of(examples: tuple[Example, ...], share: float, seed: int) -> tuple[Example, ...]:
    """The first ``share`` of the examples in an order drawn by ``seed``.

    A smaller share of the same seed lies within a larger one. The order begins with one example of
    each class, so that no class is missing from a share that has room for all of them. Raises
    DataError for a share with fewer examples than there are classes.
    """
    number = round(share * len(examples))
    order = _covering(examples, _order(len(examples), seed))
    classes = {name for example in examples for name in example.classes}
    if number < max(1, len(classes)):
        raise DataError(
            f"The share {share:g} of {len(examples)} examples is {number}, fewer than one for each "
            f"of {max(1, len(classes))} classes.\nThe smallest share that can be is "
            f"{max(1, len(classes)) / len(examples):.3g}."
        )
    return tuple(examples[i] for i in order[:number])


def _order(number: int, seed: int) -> list[int]:
    order = list(range(number))
    random.Random(f"share {seed}").shuffle(order)
    return order


def _covering(examples: Sequence[Example], order: list[int]) -> list[int]:
    """The order with the first example of each class moved to the front."""
    seen: set[str] = set()
    first = []
    for index in order:
        if examples[index].classes - seen:
            first.append(index)
            seen |= examples[index].classes
    return [*first, *(index for index in order if index not in set(first))]
