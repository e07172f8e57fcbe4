"""Documents of a text file, each scored alone from the beginning of a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import DataError
from harness.types import Loglikelihood, Metric, Response, Sample, Stats
from harness_files import check_options, choice_option, data_file, number_option, read_text
from harness_files.columnar import is_columnar, read_columnar

if TYPE_CHECKING:
    from harness.metrics.scorer import Scorer
    from harness.types import Option, TaskSettings

UNITS = ("token", "word", "byte")

SEPARATOR = "<|endoftext|>"

SPLITS: Mapping[str, tuple[Callable[[str], bool], Callable[[str], bool]]] = {
    "endoftext": (lambda line: line == SEPARATOR, lambda line: line != SEPARATOR),
    "paragraphs": (lambda line: not line, bool),
    "lines": (lambda line: True, bool),
}
"""For each way to split: whether a line opens a new document, and whether it is kept."""


@dataclass(frozen=True, kw_only=True)
class TextTask:
    """Documents, scored per UTF-8 byte, and per ``unit`` of the perplexity."""

    items: Sequence[Sample]
    bits_per_byte: Scorer
    perplexity: Scorer
    unit: str = "token"

    @property
    def metrics(self) -> Sequence[Metric]:
        """Bits per byte, and perplexity; that per token is not comparable between tokenizers."""
        return (self.bits_per_byte.metric, self.perplexity.metric)

    def samples(self) -> Iterator[Sample]:
        """The documents in the file's order."""
        return iter(self.items)

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """Bits and bytes, nats and units; perplexity is left out where tokens are not known."""
        response = responses[0]
        logprob = response.logprob or 0.0
        stats = {
            self.bits_per_byte.metric.name: self.bits_per_byte.stats(logprob, sample.reference)
        }
        count = response.tokens if self.unit == "token" else self._size(sample)
        if count:
            stats[self.perplexity.metric.name] = self.perplexity.stats(logprob, count)
        return stats

    def _size(self, sample: Sample) -> int:
        """How many bytes or words the document has."""
        (asked,) = sample.requests
        if self.unit == "byte" or not isinstance(asked, Loglikelihood):
            return int(sample.reference)
        return len(asked.continuation.split())

    def oracle(self, sample: Sample) -> tuple[Response, ...]:
        """A model that is certain of every byte."""
        return (Response(logprob=0.0, greedy=True, tokens=sample.reference),)


def documents(name: str, settings: TaskSettings) -> list[str]:
    """The documents of the file that the settings name, each cut to the length they say."""
    path = data_file(name, settings)
    split = choice_option(name, settings, "split", tuple(SPLITS), default="endoftext")
    if is_columnar(path):
        text = "\n".join(row.text("text").rstrip("\n") for row in read_columnar(path))
    else:
        text = read_text(path)
    texts = cut_documents(text, split)
    if not texts:
        raise DataError(f"'{path}' holds no documents, only {SEPARATOR} lines.\nName another file.")
    longest = number_option(name, settings, "max_chars")
    return [text[:longest] for text in texts]


def build(name: str, settings: TaskSettings, options: Sequence[Option]) -> TextTask:
    """Read the file that the settings name; every document becomes one request."""
    from harness import metrics

    check_options(name, settings, options)
    texts = documents(name, settings)
    unit = choice_option(name, settings, "perplexity", UNITS, default="token")
    return TextTask(
        items=tuple(_sample(number, text) for number, text in enumerate(texts, start=1)),
        bits_per_byte=metrics.bits_per_byte(),
        perplexity=metrics.perplexity(unit),  # type: ignore[arg-type]
        unit=unit,
    )


def cut_documents(text: str, split: str = "endoftext") -> list[str]:
    """The documents of a text, whole if nothing in it ends one.

    ``split`` names what does: lines of ``<|endoftext|>``, blank lines (``paragraphs``) or every
    line's end (``lines``). Blanks around a document are no part of it, and blank documents are
    none.
    """
    documents: list[list[str]] = [[]]
    ends, kept = SPLITS[split]
    for line in text.split("\n"):
        if ends(line.strip()):
            documents.append([])
        if kept(line.strip()):
            documents[-1].append(line)
    stripped = ("\n".join(lines).strip() for lines in documents)
    return [document for document in stripped if document]


def _sample(number: int, text: str) -> Sample:
    return Sample(
        id=str(number),
        requests=(Loglikelihood(context="", continuation=text),),
        reference=len(text.encode()),
    )
