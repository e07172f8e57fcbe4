"""Named entities asked for by tags, or written out and aligned back to the tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import metrics
from harness.errors import UsageError
from harness.metrics.spans import Span, spans_from_tags, tags_from_spans
from harness.types import (
    Entity,
    Generate,
    Metric,
    Option,
    Response,
    Sample,
    Stats,
    Tag,
    TaskSpec,
)
from harness_files import Shot, check_options, choice_option, data_file, few_shot
from harness_files.dataset import MAX_SHOTS, ONE_FILE
from harness_files.hub import HUB
from harness_files.options import pool_file
from harness_ner.forms import FORMS

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness.types import TaskSettings
    from harness_files import FewShot
    from harness_ner.answers import Form

MAX_TOKENS = 256

FORM = Option(name="form", help="how a model writes entities down: list (default), tags or json")


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A text with its entities. ``group`` names its document, where there are several."""

    tokens: tuple[str, ...]
    spans: tuple[Span, ...]
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class EntityTask:
    """Texts with entities. References hold ``tokens`` and ``spans`` (type, start, end)."""

    items: Sequence[Sample]
    types: Sequence[str]
    form: Form
    glue: str
    scorer: Scorer

    @property
    def metrics(self) -> Sequence[Metric]:
        """Entity F1."""
        return (self.scorer.metric,)

    def samples(self) -> Iterator[Sample]:
        """The texts in the file's order."""
        return iter(self.items)

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """Counts of entities; unparseable: other than one tag per token, or not the form."""
        found, readable = self._read(sample, responses)
        stats = {self.scorer.metric.name: self.scorer.stats(found, sample.reference["spans"])}
        return stats if readable else {**stats, "unparseable": (1.0,)}

    def entities(self, sample: Sample, responses: Sequence[Response]) -> Sequence[Entity]:
        """What the answer says, in tokens; those at no place of the text stand before it."""
        return self._read(sample, responses)[0]

    def _read(self, sample: Sample, responses: Sequence[Response]) -> tuple[list[Span], bool]:
        tokens = sample.reference["tokens"]
        if isinstance(sample.requests[0], Tag):
            tags = responses[0].tags or ()
            return spans_from_tags(tags), len(tags) == len(tokens)
        reading = self.form.read(responses[0].text or "", tokens, self.types)
        return reading.entities, reading.readable

    def oracle(self, sample: Sample) -> tuple[Response, ...]:
        """A model that finds every entity."""
        tokens = sample.reference["tokens"]
        spans = [
            (str(kind), int(start), int(end)) for kind, start, end in sample.reference["spans"]
        ]
        if isinstance(sample.requests[0], Tag):
            return (Response(tags=tuple(tags_from_spans(spans, len(tokens)))),)
        return (Response(text=f" {self.form.render(tokens, spans, self.glue)}"),)


@dataclass(frozen=True, kw_only=True)
class EntitySet:
    """A data set of marked texts in one file.

    ``read`` takes the settings and a path; ``glue`` joins tokens to a text; ``options`` are those
    besides the file's.
    """

    name: str
    description: str
    read: Callable[[TaskSettings, str], Sequence[Marked]]
    glue: str = " "
    options: tuple[Option, ...] = ()

    @property
    def all_options(self) -> tuple[Option, ...]:
        """Every option the task takes."""
        return (*ONE_FILE, FORM, *self.options)

    def spec(self) -> TaskSpec:
        """The task as a plugin declares it; nothing is read before it is built."""
        return TaskSpec(
            name=self.name,
            build=self.build,
            needs=(frozenset({"tag"}), frozenset({"generate"})),
            category="named entities",
            argument="FILE",
            options=self.all_options,
            max_shots=MAX_SHOTS,
            description=self.description,
            hub=HUB.get(self.name, ()),
        )

    def build(self, settings: TaskSettings) -> EntityTask:
        """Read the file that the settings name, and ask every text as the model can answer."""
        check_options(self.name, settings, self.all_options)
        form = FORMS[choice_option(self.name, settings, "form", tuple(FORMS), default="list")]
        texts = self.read(settings, data_file(self.name, settings))
        types = sorted({span[0] for text in texts for span in text.spans})
        if "generate" in settings.kinds:
            request = self._writing(settings, form, types)
        else:
            request = self._tagging(settings, types)
        return EntityTask(
            items=tuple(
                _sample(str(number), text, request) for number, text in enumerate(texts, start=1)
            ),
            types=types,
            form=form,
            glue=self.glue,
            scorer=metrics.entity_f1(),
        )

    def _tagging(
        self, settings: TaskSettings, types: Sequence[str]
    ) -> Callable[[str, Marked], Generate | Tag]:
        if settings.shots:
            raise UsageError(
                f"Task '{self.name}' asks this model for tags, which take no worked examples.\n"
                "Leave out --shots, or run it apart from models that write their answers."
            )
        return lambda identity, text: Tag(tokens=text.tokens, types=tuple(types))

    def _writing(
        self, settings: TaskSettings, form: Form, types: Sequence[str]
    ) -> Callable[[str, Marked], Generate | Tag]:
        """Requests to write entities down, with the worked examples that the settings ask for."""
        pool = pool_file(self.name, settings)
        shots: FewShot = few_shot(
            self.name,
            settings,
            [self._shot(text, form) for text in self.read(settings, pool)] if pool else [],
            needs="shots_data=FILE",
            introduction=f"{form.instruction}\nTypes: {', '.join(types)}",
        )

        def request(identity: str, text: Marked) -> Generate:
            prompt = shots.prompt(identity, self._question(text, form))
            return Generate(prompt=prompt, max_tokens=MAX_TOKENS, stop=("\n",))

        return request

    def _question(self, text: Marked, form: Form) -> str:
        return f"Text: {self.glue.join(text.tokens)}\n{form.cue}"

    def _shot(self, text: Marked, form: Form) -> Shot:
        answer = form.render(text.tokens, text.spans, self.glue)
        return Shot(question=self._question(text, form), answer=f" {answer}")


def _sample(
    identity: str, text: Marked, request: Callable[[str, Marked], Generate | Tag]
) -> Sample:
    return Sample(
        id=identity,
        requests=(request(identity, text),),
        reference={"tokens": list(text.tokens), "spans": [list(span) for span in text.spans]},
        group=text.group,
    )
