"""What a cell trains on: the sweep's texts, and a share of them encoded for one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, UsageError
from harness_hf.checkpoint import digest
from harness_hf.quiet import quiet
from harness_hf.tokens import Codec, TokenError
from harness_train.finetune.cells import digest_of
from harness_train.finetune.costs import Shape
from harness_train.finetune.encoding import Encoder
from harness_train.finetune.examples import check_labels, labels_of, read_examples, share_of, split
from harness_train.finetune.methods import apply_method, usual_rate
from harness_train.finetune.starting import load_model, load_tokenizer
from harness_train.finetune.training import Data, seeded, steps_of

if TYPE_CHECKING:
    from harness.training import FinetuneRequest
    from harness_train.finetune.cells import Cell
    from harness_train.finetune.examples import Example
    from harness_train.finetune.starting import Base


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The labelled texts of a sweep, before shares are taken, and the labels of its models."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    labels: tuple[str, ...]


def read_texts(request: FinetuneRequest) -> Texts:
    """Read what the request names. Raises UsageError and DataError for texts that do not suit."""
    train = read_examples(request.train, request.kind, "--train")
    if request.validation is None:
        train, validation = split(train, 0)
    else:
        validation = read_examples(request.validation, request.kind, "--validation")
    if request.kind == "generate":
        return Texts(train=train, validation=validation, labels=())
    labels = labels_of(train)
    if len(labels) < 2:
        raise UsageError(
            f"The training texts bear one label only, {labels[0]}: there is nothing to learn.\n"
            "Name a file with labelled texts, and the column that holds the labels."
        )
    check_labels(labels, validation, "--validation")
    if request.test is not None:
        check_labels(labels, read_examples(request.test, request.kind, "--test"), "--test")
    for share in request.shares:
        share_of(train, share, request.seeds[0])
    return Texts(train=train, validation=validation, labels=labels)


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A cell with its data encoded for its model.

    ``digest`` is over all that decides its weights; ``rate`` is AdamW's peak learning rate and
    ``steps`` are the optimiser's in all epochs.
    """

    cell: Cell
    base: Base
    tokenizer: Any
    data: Data
    samples: int
    digest: str
    rate: float
    steps: int

    def model(self, request: FinetuneRequest) -> Any:
        """The starting weights with the method applied; the same for the same seed."""
        with seeded(self.cell.seed), quiet():
            model = load_model(self.base, request.kind, self.data.labels, self.data.pad)
            return apply_method(model, self.cell.method, request.kind, self.steps)


def make_ready(cell: Cell, base: Base, texts: Texts, request: FinetuneRequest) -> Ready:
    """Draw the cell's share and encode it. Raises DataError where nothing of it can be learnt."""
    tokenizer = load_tokenizer(base, request.kind)
    codec = None
    if request.kind == "generate":
        size = getattr(base.config, "vocab_size", None)  # two halves may each have their own
        codec = Codec.of(tokenizer, vocabulary=size if isinstance(size, int) else len(tokenizer))
    encoder = Encoder(
        tokenizer=tokenizer,
        length=base.length,
        labels=texts.labels,
        codec=codec,
        before=base.before,
    )
    examples = share_of(texts.train, cell.share, cell.seed)
    try:
        with quiet():
            data = Data(
                train=encoder.encode(examples, "the training texts"),
                validation=encoder.encode(texts.validation, "the validation texts"),
                validation_examples=texts.validation,
                labels=texts.labels,
                pad=int(tokenizer.pad_token_id),
            )
    except TokenError as error:
        raise DataError(f"'{cell.start.name}' cannot read the texts: {error}.") from error
    _refuse_strange_ids(data, base)
    rate = request.learning_rate
    if rate is None:
        rate = usual_rate(cell.method, Shape.of(base.config).width)
    return Ready(
        cell=cell,
        base=base,
        tokenizer=tokenizer,
        data=data,
        samples=len(data.train.rows),
        digest=digest_of(
            request,
            cell,
            base=digest(base.checkpoint),
            rate=rate,
            examples=(*examples, *texts.validation),
        ),
        rate=rate,
        steps=steps_of(len(data.train.rows), request),
    )


def _refuse_strange_ids(data: Data, base: Base) -> None:
    """Raise DataError where the tokenizer gives ids that the model does not embed."""
    known = getattr(base.config, "vocab_size", None)
    if not isinstance(known, int):
        return
    rows = (*data.train.rows, *data.validation.rows)
    largest = max(max(row["input_ids"]) for row in rows)
    if base.before:  # a decoder reads tokens of its own
        largest = max(largest, *(max(row["labels"]) for row in rows))
    files = {"generation_config.json": max(base.before, default=0), "tokenizer": largest}
    for file, token in files.items():
        if token >= known:
            raise DataError(
                f"'{base.start.name}': the {file} gives token id {token:,}, the model embeds "
                f"{known:,}: they do not belong together.\n"
                f"Use the {file} that the weights were trained with."
            )
