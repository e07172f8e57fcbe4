"""Named entities asked for by tags, or written out and aligned back to the tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.metrics.spans import Span, spans_from_tags, tags_from_spans
from harness.types import Generate, Metric, Response, Sample, Stats, Tag
from harness_files import (
    FewShot,
    Shot,
    check_options,
    choice_option,
    data_file,
    few_shot,
    number_option,
)
from harness_ner.answers import read_answer, render
from harness_ner.columns import Sentence, entity_types, read_columns

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness.types import Option, TaskSettings

NAME = "conll"
MAX_TOKENS = 256


@dataclass(frozen=True, kw_only=True)
class EntityTask:
    """Sentences with entities. References hold ``tokens`` and ``spans`` (type, start, end)."""

    items: Sequence[Sample]
    types: Sequence[str]
    scorer: Scorer

    @property
    def metrics(self) -> Sequence[Metric]:
        """Entity F1."""
        return (self.scorer.metric,)

    def samples(self) -> Iterator[Sample]:
        """The sentences in the file's order."""
        return iter(self.items)

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """Counts of entities; unparseable: other than one tag per token, or not the form."""
        tokens = sample.reference["tokens"]
        if isinstance(sample.requests[0], Tag):
            tags = responses[0].tags or ()
            entities, readable = spans_from_tags(tags), len(tags) == len(tokens)
        else:
            reading = read_answer(responses[0].text or "", tokens, self.types)
            entities, readable = reading.entities, reading.readable
        stats = {self.scorer.metric.name: self.scorer.stats(entities, sample.reference["spans"])}
        return stats if readable else {**stats, "unparseable": (1.0,)}

    def oracle(self, sample: Sample) -> tuple[Response, ...]:
        """A model that finds every entity."""
        tokens = sample.reference["tokens"]
        spans = [
            (str(kind), int(start), int(end)) for kind, start, end in sample.reference["spans"]
        ]
        if isinstance(sample.requests[0], Tag):
            return (Response(tags=tuple(tags_from_spans(spans, len(tokens)))),)
        return (Response(text=f" {render(tokens, spans)}"),)


def build(settings: TaskSettings, options: Sequence[Option]) -> EntityTask:
    """Read the file that the settings name, and ask every sentence as the model can answer."""
    from harness import metrics

    check_options(NAME, settings, options)
    sentences = _read(settings, data_file(NAME, settings))
    types = entity_types(sentences)
    if "generate" in settings.kinds:
        items = _written(settings, sentences, types)
    else:
        if settings.shots:
            raise UsageError(
                f"Task '{NAME}' asks this model for tags, which take no worked examples.\n"
                "Leave out --shots, or run it apart from models that write their answers."
            )
        items = tuple(
            _sample(number, sentence, Tag(tokens=sentence.tokens))
            for number, sentence in enumerate(sentences, start=1)
        )
    return EntityTask(items=items, types=types, scorer=metrics.entity_f1())


def introduction(types: Sequence[str]) -> str:
    """What is asked, once before all worked examples."""
    return (
        "List the named entities of each text in order, as TYPE: words, parted by semicolons, "
        f"or None.\nTypes: {', '.join(types)}"
    )


def question(tokens: Sequence[str]) -> str:
    """One sentence as it is asked, its tokens parted by blanks."""
    return f"Text: {' '.join(tokens)}\nEntities:"


def shot(sentence: Sentence) -> Shot:
    """A worked example."""
    answer = render(sentence.tokens, spans_from_tags(sentence.tags))
    return Shot(question=question(sentence.tokens), answer=f" {answer}")


def _read(settings: TaskSettings, path: str) -> tuple[Sentence, ...]:
    encoding = choice_option(NAME, settings, "encoding", ("utf-8", "latin-1"), default="utf-8")
    return read_columns(path, column=number_option(NAME, settings, "column"), encoding=encoding)


def _written(
    settings: TaskSettings, sentences: Sequence[Sentence], types: Sequence[str]
) -> tuple[Sample, ...]:
    pool = settings.options.get("shots_data", "")
    shots = few_shot(
        NAME,
        settings,
        [shot(sentence) for sentence in _read(settings, pool)] if pool else [],
        needs="shots_data=FILE",
        introduction=introduction(types),
    )
    return tuple(
        _sample(number, sentence, _request(str(number), sentence, shots))
        for number, sentence in enumerate(sentences, start=1)
    )


def _request(identity: str, sentence: Sentence, shots: FewShot) -> Generate:
    prompt = shots.prompt(identity, question(sentence.tokens))
    return Generate(prompt=prompt, max_tokens=MAX_TOKENS, stop=("\n",))


def _sample(number: int, sentence: Sentence, request: Tag | Generate) -> Sample:
    spans: list[Span] = spans_from_tags(sentence.tags)
    return Sample(
        id=str(number),
        requests=(request,),
        reference={"tokens": list(sentence.tokens), "spans": [list(span) for span in spans]},
        group=sentence.document,
    )
