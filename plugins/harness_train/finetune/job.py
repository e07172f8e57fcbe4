"""The sweep: what it will cost, then cell after cell, each skipped that is done already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.codec import to_json
from harness.errors import ModelError, UsageError
from harness.training import Estimate, TrainedModel
from harness_hf.checkpoint import digest, open_checkpoint, read_tensors
from harness_hf.counts import count_parameters
from harness_hf.loading import resolve_device
from harness_hf.quiet import quiet
from harness_hf.threads import threads_for
from harness_hf.tokens import Codec
from harness_train.finetune import costs, saving
from harness_train.finetune.cells import Cell, cells_of, digest_of
from harness_train.finetune.encoding import Encoder, collator
from harness_train.finetune.examples import check_labels, labels_of, read_examples, share_of, split
from harness_train.finetune.methods import (
    apply_method,
    plain_model,
    trainable_parameters,
    usual_rate,
)
from harness_train.finetune.starting import SCHEMES, Base, load_model, load_tokenizer, open_base
from harness_train.finetune.training import (
    Data,
    DivergedError,
    Plan,
    Trained,
    seeded,
    steps_of,
    train_cell,
)

if TYPE_CHECKING:
    from pathlib import Path

    from harness.training import FinetuneRequest
    from harness_train.finetune.examples import Example


@dataclass(frozen=True, kw_only=True)
class _Texts:
    """The labelled texts of the sweep, before shares are taken."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """A cell with its data encoded for its model."""

    cell: Cell
    base: Base
    tokenizer: Any
    data: Data
    samples: int
    digest: str
    rate: float


class FinetuneJob:
    """Trains every cell of a request. Everything that can be refused is, before the first."""

    def __init__(self, request: FinetuneRequest) -> None:
        """Read checkpoints' headers and the texts.

        Raises UsageError and DataError for whatever cannot be trained.
        """
        self._request = request
        self._cells = cells_of(request)
        self._bases = {
            start.name: open_base(start, request.kind, request.max_length)
            for start in request.models
        }
        self._texts = _read_texts(request)
        for share in request.shares:
            share_of(self._texts.train, share, request.seeds[0])
        self._refuse_methods()

    def estimates(self) -> Sequence[Estimate]:
        """What each cell will cost; the time of a step is measured on its weights."""
        seconds: dict[tuple[str, str], float] = {}
        found = []
        for cell in self._cells:
            ready = self._ready(cell)
            estimate = self._estimate(ready)
            key = (cell.start.name, cell.method)
            if key not in seconds and not estimate.refused:
                seconds[key] = self._time(ready)
            if not estimate.refused:
                step = seconds[key] / min(self._request.batch_size, len(ready.data.train.rows))
                whole = step * (estimate.samples + self._evaluated(ready) / 3)
                estimate = replace(estimate, seconds=whole)
            found.append(estimate)
        return found

    def run(self, tell: Callable[[str], None]) -> Iterator[TrainedModel]:
        """Train what is missing. Raises UsageError where the folder holds another sweep's cells."""
        saving.prepare(self._request.output)
        for number, cell in enumerate(self._cells, start=1):
            label = f"[{number}/{len(self._cells)}] {cell.name}"
            ready = self._ready(cell)
            row = self._done(ready)
            if row is not None:
                tell(f"{label}: done before")
                yield row
                continue
            tell(f"{label}: {ready.samples} examples, {ready.data.train.tokens} tokens an epoch")
            self._refuse_memory(ready)
            yield self._train(ready, lambda line, label=label: tell(f"{label}: {line}"))  # type: ignore[misc]

    @cached_property
    def _device(self) -> str:
        return resolve_device(self._request.device)

    @cached_property
    def _dtype(self) -> str:
        """The number type of the forward pass; weights and moments stay in float32."""
        asked = self._request.dtype
        if asked != "auto":
            return asked
        if not self._device.startswith("cuda"):
            return "float32"
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"

    def _ready(self, cell: Cell) -> _Ready:
        request, texts = self._request, self._texts
        base = self._bases[cell.start.name]
        tokenizer = load_tokenizer(base, request.kind)
        codec = None
        if request.kind == "generate" and not base.encoder_decoder:
            codec = Codec.of(tokenizer, vocabulary=int(base.config.vocab_size))
        encoder = Encoder(tokenizer=tokenizer, length=base.length, labels=texts.labels, codec=codec)
        examples = share_of(texts.train, cell.share, cell.seed)
        with quiet():
            data = Data(
                train=encoder.encode(examples, "the training texts"),
                validation=encoder.encode(texts.validation, "the validation texts"),
                validation_examples=texts.validation,
                labels=texts.labels,
                pad=int(tokenizer.pad_token_id),
            )
        rate = request.learning_rate
        if rate is None:
            rate = usual_rate(cell.method, costs.Shape.of(base.config).width)
        made_from = digest_of(
            request,
            cell,
            base=digest(base.checkpoint),
            rate=rate,
            examples=(*examples, *texts.validation),
        )
        return _Ready(
            cell=cell,
            base=base,
            tokenizer=tokenizer,
            data=data,
            samples=len(examples),
            digest=made_from,
            rate=rate,
        )

    def _done(self, ready: _Ready) -> TrainedModel | None:
        found = saving.finished(self._request.output, ready.cell.name)
        if found is None:
            return None
        row, made_from = found
        if made_from != ready.digest:
            raise UsageError(
                f"'{ready.cell.name}' in {self._request.output} was trained from other texts, "
                "other weights or with other settings.\nGive another -o, or remove it."
            )
        return replace(row, model=self._address(ready)) if row.outcome == "complete" else row

    def _address(self, ready: _Ready) -> str:
        place = self._request.output / saving.MODELS / ready.cell.name
        return f"{SCHEMES[self._request.kind]}:{place}"

    def _model(self, ready: _Ready) -> Any:
        """The starting weights with the cell's method applied, the same for the same seed."""
        request, cell = self._request, ready.cell
        with seeded(cell.seed), quiet():
            model = load_model(ready.base, request.kind, ready.data.labels, ready.data.pad)
            steps = steps_of(len(ready.data.train.rows), request)
            return apply_method(model, cell.method, request.kind, steps)

    def _train(self, ready: _Ready, tell: Callable[[str], None]) -> TrainedModel:
        cell, request = ready.cell, self._request
        plan = Plan(
            kind=request.kind,
            seed=cell.seed,
            device=self._device,
            dtype=self._dtype,
            learning_rate=ready.rate,
            steps=steps_of(len(ready.data.train.rows), request),
        )
        peak = costs.PeakMemory(self._device)
        model = self._model(ready)
        trainable = trainable_parameters(model)
        try:
            with threads_for(ready.base.parameters.total, self._device):
                trained = train_cell(model, ready.data, plan, request, tell)
        except DivergedError as stop:
            tell(f"stopped at step {stop.step}: {stop}")
            return self._failed(ready, trainable, stop)
        except RuntimeError as error:
            if "out of memory" not in str(error) and "allocate memory" not in str(error):
                raise
            raise ModelError(
                f"'{cell.name}' does not fit on {self._device}.\n"
                "Use a smaller --batch-size with --accumulate, or --gradient-checkpointing."
            ) from error
        return self._save(ready, model, trainable, trained, peak.read())

    def _failed(self, ready: _Ready, trainable: int, stop: DivergedError) -> TrainedModel:
        row = replace(
            self._row(ready, trainable),
            outcome="diverged",
            step=stop.step,
            error=f"step {stop.step}: {stop}",
        )
        saving.save_failure(self._request.output, row, ready.digest)
        return row

    def _row(self, ready: _Ready, trainable: int) -> TrainedModel:
        cell, data = ready.cell, ready.data
        return TrainedModel(
            name=cell.name,
            family=cell.family,
            outcome="complete",
            trainable=trainable,
            samples=ready.samples,
            unique_tokens=data.train.tokens,
            settings={
                "task": self._request.task,
                "base": cell.start.name,
                "method": cell.method,
                "share": f"{cell.share:g}",
                "seed": str(cell.seed),
                "learning_rate": f"{ready.rate:.4g}",
                "device": self._device,
                "dtype": self._dtype,
            },
            notes=_notes(data),
        )

    def _save(
        self, ready: _Ready, model: Any, trainable: int, trained: Trained, peak: int | None
    ) -> TrainedModel:
        row = replace(
            self._row(ready, trainable),
            model=self._address(ready),
            tokens=trained.tokens,
            step=trained.step,
            seconds=round(trained.seconds, 3),
            peak_bytes=peak,
            scores=trained.scores,
        )
        with quiet():
            plain = plain_model(model, ready.cell.method)

        def write(folder: Path) -> dict[str, Any]:
            nonlocal row
            with quiet():
                plain.save_pretrained(folder)
                ready.tokenizer.save_pretrained(folder)
            row = _counted(row, folder, ready.cell)
            return _record(row, ready, trained)

        saving.save_checkpoint(self._request.output, ready.cell.name, write)
        return row

    def _estimate(self, ready: _Ready) -> Estimate:
        request, cell, data = self._request, ready.cell, ready.data
        done = saving.finished(request.output, cell.name) is not None
        base = ready.base.parameters
        total, inner = base.total or 0, base.non_embedding or 0
        trained = self._trained_parameters(ready.base, cell)
        rows = min(request.batch_size, len(data.train.rows))
        longest = max(len(row["input_ids"]) for row in data.train.rows)
        memory = costs.memory_bytes(
            costs.Shape.of(ready.base.config),
            total=total,
            trained=trained,
            rows=rows,
            length=longest,
            checkpointing=request.gradient_checkpointing,
        )
        available = costs.available_bytes(self._device)
        tokens = data.train.tokens * request.epochs
        return Estimate(
            name=cell.name,
            parameters=total,
            trainable=trained,
            samples=len(data.train.rows) * request.epochs,
            tokens=tokens,
            flops=tokens * costs.flops_per_token(inner, min(trained, inner), cell.method),
            seconds=None,
            memory=memory,
            available=available,
            done=done,
            refused=_too_much(memory, available, self._device) if not done else "",
        )

    def _evaluated(self, ready: _Ready) -> int:
        """Validation texts read in all: once untrained, once an epoch."""
        return len(ready.data.validation.rows) * (self._request.epochs + 1)

    def _refuse_memory(self, ready: _Ready) -> None:
        refused = self._estimate(ready).refused
        if refused:
            raise ModelError(
                f"'{ready.cell.name}' cannot be trained here: {refused}.\n"
                "Use a smaller --batch-size with --accumulate, --gradient-checkpointing, or lora."
            )

    def _time(self, ready: _Ready) -> float:
        rows = sorted(ready.data.train.rows, key=lambda row: len(row["input_ids"]))
        middle = len(rows) // 2
        size = min(self._request.batch_size, len(rows))
        start = max(0, min(middle - size // 2, len(rows) - size))
        batch = collator(ready.data.pad)(rows[start : start + size])
        with threads_for(ready.base.parameters.total, self._device), quiet():
            return costs.seconds_per_step(self._model(ready), batch, self._device)

    @cached_property
    def _skeletons(self) -> dict[tuple[str, str], int]:
        return {}

    def _trained_parameters(self, base: Base, cell: Cell) -> int:
        """Trainable parameters of a method, counted on a model without weights."""
        key = (cell.start.name, cell.method)
        if key not in self._skeletons:
            self._skeletons[key] = _count_trainable(base, cell, self._request, self._texts.labels)
        return self._skeletons[key]

    def _refuse_methods(self) -> None:
        for cell in self._cells:
            self._trained_parameters(self._bases[cell.start.name], cell)


def _count_trainable(
    base: Base, cell: Cell, request: FinetuneRequest, labels: Sequence[str]
) -> int:
    """Build the model without memory for its weights, and apply the method to it."""
    import torch

    from harness_train.finetune.starting import empty_model

    with quiet(), torch.device("meta"):
        model = empty_model(base, request.kind, labels)
    with quiet(), torch.device("meta"):
        return trainable_parameters(apply_method(model, cell.method, request.kind, 10))


def _read_texts(request: FinetuneRequest) -> _Texts:
    train = read_examples(request.train, request.kind, "--train")
    if request.validation is None:
        train, validation = split(train, 0)
    else:
        validation = read_examples(request.validation, request.kind, "--validation")
    labels = labels_of(train) if request.kind != "generate" else ()
    if request.kind != "generate":
        if len(labels) < 2:
            raise UsageError(
                f"The training texts bear one label only, {labels[0]}: there is nothing to learn.\n"
                "Name a file with labelled texts, and the column that holds the labels."
            )
        check_labels(labels, validation, "--validation")
        if request.test is not None:
            check_labels(labels, read_examples(request.test, request.kind, "--test"), "--test")
    return _Texts(train=train, validation=validation, labels=labels)


def _too_much(memory: int, available: int | None, device: str) -> str:
    if available is None or memory <= available:
        return ""
    return (
        f"it needs about {memory / 2**30:.1f} GiB and {device} has {available / 2**30:.1f} GiB free"
    )


def _notes(data: Data) -> tuple[str, ...]:
    found = []
    if data.train.cut:
        found.append(f"{data.train.cut} training texts are longer than the model's context")
    if data.train.unread:
        found.append(f"the tokenizer leaves nothing of {data.train.unread} words")
    return tuple(found)


def _counted(row: TrainedModel, folder: Path, cell: Cell) -> TrainedModel:
    """The row with parameters counted from the saved files, and C by the rule."""
    checkpoint = open_checkpoint(folder)
    parameters = count_parameters(read_tensors(checkpoint), checkpoint.config)
    total, inner = parameters.total or 0, parameters.non_embedding or 0
    each = costs.flops_per_token(inner, min(row.trainable, inner), cell.method)
    return replace(row, parameters=total, non_embedding=inner, flops=row.tokens * each)


def _record(row: TrainedModel, ready: _Ready, trained: Trained) -> dict[str, Any]:
    """What ``harness_model.json`` says."""
    return {
        "schema": 1,
        "name": row.name,
        "family": row.family,
        "parameters": {
            "total": row.parameters,
            "non_embedding": row.non_embedding,
            "trainable": row.trainable,
        },
        "train_tokens": row.tokens,
        "train_flops": row.flops,
        "train_flops_rule": costs.RULE,
        "train_samples": row.samples,
        "unique_tokens": row.unique_tokens,
        "seed": ready.cell.seed,
        "steps": row.step,
        "training": {
            "row": to_json(replace(row, model="")),
            "digest": ready.digest,
            "base": {
                "name": ready.cell.start.name,
                "identity": f"sha256:{digest(ready.base.checkpoint)}",
                "train_tokens": ready.base.checkpoint.notes.get("train_tokens"),
                "train_flops": ready.base.checkpoint.notes.get("train_flops"),
            },
            "first_validation_loss": trained.first_loss,
            "spent_tokens": trained.spent_tokens,
            "samples_seen": trained.samples_seen,
        },
    }
