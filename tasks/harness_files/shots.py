"""Worked examples before the question: drawn from a pool of their own, seeded, never the item."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from harness.errors import DataError, UsageError

if TYPE_CHECKING:
    from harness.types import TaskSettings

SEPARATOR = "\n\n"
"""Between worked examples, and between the last of them and the question."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A question as it is asked, and its right answer as a model would continue it."""

    question: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """Puts ``count`` examples of ``pool`` before each question.

    Which ones depends on ``seed`` and the item's id alone, so that ``--limit`` and the order of
    items change no prompt; they stand in the pool's order, so that asking for a whole pool gives
    it as it is (MMLU's five). An example that asks the very question is never drawn.
    """

    pool: Sequence[Shot] = ()
    count: int = 0
    seed: int = 0
    introduction: str = ""

    def prompt(self, identity: str, question: str, *, variants: Collection[str] = ()) -> str:
        """The whole prompt of the item with this id and question.

        ``variants`` are other forms of the same question, which no example may ask either.
        """
        drawn = self.drawn(identity, {question, *variants})
        head = [self.introduction] if self.introduction else []
        return SEPARATOR.join(
            [*head, *(f"{shot.question}{shot.answer}" for shot in drawn), question]
        )

    def drawn(self, identity: str, asked: Collection[str]) -> list[Shot]:
        """The examples for an item, in the order shown; none of them asks what is ``asked``."""
        if not self.count:
            return []
        import numpy as np

        order = np.random.default_rng([self.seed, *identity.encode()]).permutation(len(self.pool))
        others = (int(i) for i in order if self.pool[i].question not in asked)
        drawn = sorted(islice(others, self.count))
        if len(drawn) < self.count:
            raise DataError(
                f"The pool of worked examples has {len(drawn)} besides item '{identity}', "
                f"not {self.count}.\nAsk for fewer with --shots, or name a larger pool."
            )
        return [self.pool[i] for i in drawn]


def few_shot(
    name: str, settings: TaskSettings, pool: Sequence[Shot], *, needs: str, introduction: str = ""
) -> FewShot:
    """The examples that the settings ask for.

    ``needs`` says which options name the pool; UsageError where ``--shots`` asks for examples
    and ``pool`` is empty.
    """
    count = settings.shots or 0
    if count < 0:
        raise UsageError(f"--shots {count} is not possible.\nGive 0 or more.")
    if count and not pool:
        raise UsageError(
            f"Task '{name}' needs a pool for --shots {count}, apart from what is asked.\n"
            f"Name it with {needs}."
        )
    return FewShot(pool=pool, count=count, seed=settings.seed, introduction=introduction)
