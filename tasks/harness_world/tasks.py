"""The four tasks: what is asked, and how answers are graded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.types import Entity, Generate, Loglikelihood, Metric, Response, Sample, Stats
from harness_files import check_options, choice_option, number_option
from harness_world import MOST_ITEMS, OPTIONS, SPLITS, USUAL_ITEMS
from harness_world.answers import placed, read_names
from harness_world.records import Item, drawn, items

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness.types import TaskSettings
    from harness_world.tagging import TaggingTask

MAX_TOKENS = {"generation": 96, "translation": 80, "qa": 24, "ner": 96}


@dataclass(frozen=True, kw_only=True)
class WorldTask:
    """A held-out set: an answer is asked for, and where the model can, the right one is weighed.

    ``likelihood`` scores the latter in bits per byte; None where the model gives no
    log-probabilities.
    """

    name: str
    scorers: tuple[Scorer, ...]
    likelihood: Scorer | None
    texts: Sequence[Item]

    @property
    def metrics(self) -> Sequence[Metric]:
        """The scorers' metrics, headline first, bits per byte last where it is measured."""
        scorers = (*self.scorers, self.likelihood) if self.likelihood else self.scorers
        return tuple(scorer.metric for scorer in scorers)

    def samples(self) -> Iterator[Sample]:
        """Every item, in the file's order."""
        return (self._sample(item) for item in self.texts)

    def _sample(self, item: Item) -> Sample:
        asked = Generate(prompt=item.prompt, max_tokens=MAX_TOKENS[self.name], stop=("\n",))
        weighed = Loglikelihood(context=item.prompt, continuation=f" {item.answer}")
        spans = [list(span) for span in item.spans]
        named = {"answer": item.answer, "text": item.source, "spans": spans}
        return Sample(
            id=item.id,
            requests=(asked, weighed) if self.likelihood else (asked,),
            reference=named if self.name == "ner" else item.answer,
        )

    def oracle(self, sample: Sample) -> tuple[Response, ...]:
        """The right answer to each request of a sample."""
        right = (Response(text=self._answer(sample)), Response(logprob=0.0, greedy=True))
        return right[: len(sample.requests)]

    def _answer(self, sample: Sample) -> str:
        return str(sample.reference["answer"] if self.name == "ner" else sample.reference)

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """Each scorer's statistics of the answer, and the weight of the right one."""
        answer, right = (responses[0].text or "").strip(), self._answer(sample)
        prediction: object = answer
        gold: object = right
        stats: dict[str, Stats] = {}
        if self.name == "ner":
            prediction = self.entities(sample, responses)
            gold = sample.reference["spans"]
            if not read_names(answer)[1]:
                stats["unparseable"] = (1.0,)
        for scorer in self.scorers:
            stats[scorer.metric.name] = scorer.stats(prediction, gold)
        if self.likelihood and responses[1].logprob is not None:
            size = len(f" {right}".encode())
            stats[self.likelihood.metric.name] = self.likelihood.stats(responses[1].logprob, size)
        return stats

    def entities(self, sample: Sample, responses: Sequence[Response]) -> Sequence[Entity] | None:
        """The names in the answer where they stand in the text, in characters."""
        if self.name != "ner":
            return None
        names, _ = read_names((responses[0].text or "").strip())
        return placed(names, sample.reference["text"])


def texts(name: str, settings: TaskSettings) -> tuple[Item, ...]:
    """The held-out set, or the texts to train on that the options ask for. Raises UsageError."""
    check_options(f"world-{name}", settings, OPTIONS)
    split = choice_option(f"world-{name}", settings, "split", SPLITS, default="test")
    number = number_option(f"world-{name}", settings, "items")
    if split == "test":
        if number is not None:
            raise UsageError(
                f"Task 'world-{name}': items= counts texts to train on; the test set is fixed.\n"
                "Add split=train, or use --limit."
            )
        return items(name)
    if (number or 0) > MOST_ITEMS:
        raise UsageError(f"Task 'world-{name}': items={number} is more than {MOST_ITEMS}.")
    return drawn(name, split, number or USUAL_ITEMS)


def build(name: str, settings: TaskSettings) -> WorldTask | TaggingTask:
    """The task of one held-out set, ``generation``, ``translation``, ``qa`` or ``ner``.

    With the option ``split`` it holds texts to train on instead. Raises UsageError for options
    that cannot be.
    """
    from harness import metrics

    if "tag" in settings.kinds:
        from harness_world.tagging import TaggingTask

        return TaggingTask(texts=texts(name, settings), scorer=metrics.entity_f1())
    scorers: dict[str, tuple[Scorer, ...]] = {
        "generation": (metrics.rouge("rougeL"), metrics.rouge("rouge1")),
        "translation": (metrics.bleu(nrefs=1), metrics.chrf(nrefs=1)),
        "qa": (metrics.exact_match(), metrics.f1()),
        "ner": (metrics.entity_f1(),),
    }
    weighs = "loglikelihood" in settings.kinds
    return WorldTask(
        name=name,
        scorers=scorers[name],
        likelihood=metrics.bits_per_byte() if weighs else None,
        texts=texts(name, settings),
    )
