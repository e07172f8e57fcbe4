"""A data set of one file whose questions are answered in writing: reader in, task out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.types import Generate, Option, Sample, TaskSettings, TaskSpec
from harness_files.hub import HUB
from harness_files.options import check_options, data_file, pool_file
from harness_files.rows import check_ids
from harness_files.shots import FewShot, Shot, few_shot
from harness_files.tasks import AnswerTask, Part

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness.types import JSON, Cut

ONE_FILE = (
    Option(name="data", help="the data set's file, plain or gzip; the same as NAME:FILE"),
    Option(name="shots_data", help="a file of the same format with worked examples for --shots"),
)
MAX_SHOTS = 32


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question: as it is asked, how a worked example goes on, and what is right.

    ``question`` is the prompt up to the answer, ``answer`` continues it (mostly with a blank
    first), ``reference`` is what the scorers compare with.
    """

    id: str
    question: str
    answer: str
    reference: JSON
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """All that makes a task of a file: how to read, clean and score it.

    ``read`` turns a path into items and raises DataError. ``clean`` turns a model's text into what
    is scored, None where it is no answer. ``introduction`` is put before all prompts, once.
    ``parts`` are further scores of some items only. ``cut`` says which part of a prompt longer than
    a model's context is lost. Without ``examples`` there are no worked examples but those that the
    introduction brings.
    """

    name: str
    category: str
    description: str
    read: Callable[[str], Iterable[Item]]
    scorers: Callable[[], Sequence[Scorer]]
    clean: Callable[[str], str | None] = str.strip
    introduction: Callable[[Sequence[Item]], str] = lambda items: ""
    parts: Callable[[Sequence[Item]], Sequence[Part]] = lambda items: ()
    max_tokens: int = 64
    stop: tuple[str, ...] = ("\n",)
    cut: Cut = "start"
    examples: bool = True

    @property
    def options(self) -> tuple[Option, ...]:
        """The file, and that of worked examples where there may be any."""
        return ONE_FILE if self.examples else ONE_FILE[:1]

    def spec(self) -> TaskSpec:
        """The task as a plugin declares it; nothing is read before it is built."""
        return TaskSpec(
            name=self.name,
            build=self.build,
            needs=(frozenset({"generate"}),),
            category=self.category,
            argument="FILE",
            options=self.options,
            max_shots=MAX_SHOTS if self.examples else 0,
            description=self.description,
            hub=HUB.get(self.name, ()),
        )

    def build(self, settings: TaskSettings) -> AnswerTask:
        """Read the file that the settings name, and put every question into a prompt."""
        check_options(self.name, settings, self.options)
        path = data_file(self.name, settings)
        items = tuple(self.read(path))
        check_ids(path, (item.id for item in items))
        pool = pool_file(self.name, settings)
        shots = few_shot(
            self.name,
            settings,
            [Shot(question=i.question, answer=i.answer) for i in self.read(pool)] if pool else [],
            needs="shots_data=FILE",
            introduction=self.introduction(items),
        )
        return AnswerTask(
            items=ask(items, shots, max_tokens=self.max_tokens, stop=self.stop, cut=self.cut),
            answers={item.id: item.answer for item in items},
            scorers=self.scorers(),
            parts=self.parts(items),
            read=self.clean,
        )


def ask(
    items: Iterable[Item],
    shots: FewShot,
    *,
    max_tokens: int,
    stop: tuple[str, ...],
    cut: Cut = "start",
) -> tuple[Sample, ...]:
    """Samples of one generate request each, with their worked examples before them."""
    return tuple(
        Sample(
            id=item.id,
            requests=(
                Generate(
                    prompt=shots.prompt(item.id, item.question),
                    max_tokens=max_tokens,
                    stop=stop,
                    cut=cut,
                ),
            ),
            reference=item.reference,
            group=item.group,
        )
        for item in items
    )
