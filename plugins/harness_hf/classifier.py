"""Text classification: how probable each label of a text, or of a pair of texts, is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.types import Classify, Response, Sent
from harness_hf.answers import NO_MEMORY, NO_NUMBERS
from harness_hf.described import room_beside
from harness_hf.heads import Head, Row
from harness_hf.labels import Labels
from harness_hf.sharing import common
from harness_hf.tokens import Codec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch

    from harness.types import Request
    from harness_hf.described import Described
    from harness_hf.loading import Loaded


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Texts as one row; ``cut`` tokens of the longer text did not fit, before number ``at``."""

    row: Row
    cut: int = 0
    at: int = 0


@dataclass(frozen=True, kw_only=True)
class Classifying:
    """How texts become rows of token ids, as the tokenizer itself puts one or two together."""

    tokenizer: Any
    labels: Labels
    context: int | None
    who: str

    @classmethod
    def of(cls, described: Described, tokenizer: Any) -> Classifying:
        """For a checkpoint and its tokenizer."""
        labels, who = Labels.of(described), described.options.who
        return cls(tokenizer=tokenizer, labels=labels, context=described.context, who=who)

    def reading(self, request: Classify) -> Reading:
        """One text or a pair; of a pair that is too long, the longer text is cut first, on the
        side that the tokenizer names.

        Raises :class:`harness.errors.UsageError` for a context that holds no text.
        """
        whole = _row(self.tokenizer(*request.texts))
        most = self.context
        if most is None or len(whole.ids) <= most:
            return Reading(row=whole)
        around = self.tokenizer.num_special_tokens_to_add(pair=len(request.texts) == 2)
        room_beside(most, around, self.who)
        kept = _row(self.tokenizer(*request.texts, truncation="longest_first", max_length=most))
        cut = len(whole.ids) - len(kept.ids)
        return Reading(row=kept, cut=cut, at=common(whole.ids, kept.ids))

    def sent(self, request: Request) -> tuple[Sent, ...]:
        """What is read for ``request``."""
        if not isinstance(request, Classify):
            raise DataError(f"{self.labels.who} reads no {request.kind} requests.")
        reading = self.reading(request)
        ids = reading.row.ids
        pieces = Codec(tokenizer=self.tokenizer, vocabulary=len(self.tokenizer)).pieces(ids)
        return (Sent(ids=ids, pieces=pieces, cut=reading.cut, at=reading.at),)


def _row(found: Mapping[str, Any]) -> Row:
    """What a tokenizer made of texts."""
    return Row(ids=tuple(found["input_ids"]), segments=tuple(found.get("token_type_ids") or ()))


class Classifier:
    """Answers classify requests with a loaded text classifier."""

    def __init__(self, loaded: Loaded, classifying: Classifying, *, rows: int | None) -> None:
        """Make ready; ``rows`` fixes the batch size."""
        self.classifying = classifying
        self.head = Head(loaded, rows=rows)

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Yield ``(number, response)`` for every request.

        Raises :class:`harness.errors.UsageError` where the checkpoint's labels are not the task's.
        """
        orders: dict[tuple[tuple[str, ...], ...], tuple[int, ...]] = {}
        jobs: list[tuple[int, tuple[int, ...], Reading]] = []
        for number, request in enumerate(requests):
            if not isinstance(request, Classify):
                said = f"a text classifier cannot answer a {request.kind} request"
                yield number, Response(error=said)
                continue
            if request.labels not in orders:
                orders[request.labels] = self.classifying.labels.order(request.labels)
            reading = self.classifying.reading(request)
            refusal = self.head.refusal(reading.row)
            if refusal is not None:
                yield number, Response(error=refusal)
                continue
            jobs.append((number, orders[request.labels], reading))
        for part, logits in self.head.run([reading.row for _, _, reading in jobs]):
            for place, job in enumerate(part):
                number, order, reading = jobs[job]
                yield number, _response(None if logits is None else logits[place], order, reading)


def _response(logits: torch.Tensor | None, order: Sequence[int], reading: Reading) -> Response:
    """The answer by ``logits`` [labels]; ``order`` says which of them the task asks for."""
    if logits is None:
        return Response(error=NO_MEMORY)
    if not bool(logits.isfinite().all()):
        return Response(error=NO_NUMBERS)
    table = logits.double().log_softmax(dim=-1).tolist()
    return Response(
        logprobs=tuple(table[label] for label in order),
        prompt_tokens=len(reading.row.ids),
        prompt_truncated=reading.cut > 0,
    )
