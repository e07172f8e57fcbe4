"""The sweep: what it will cost, then cell after cell, each skipped that is done already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.errors import ModelError, UsageError
from harness.training import Estimate, TrainedModel
from harness_hf.devices import resolve_device
from harness_hf.quiet import quiet
from harness_hf.threads import threads_for
from harness_train.finetune import costs, saving
from harness_train.finetune.cells import Cell, cells_of
from harness_train.finetune.course import DivergedError
from harness_train.finetune.estimating import (
    Counts,
    count_parts,
    estimate,
    refuse_memory,
    seconds_per_text,
    texts_read,
)
from harness_train.finetune.methods import save_plain
from harness_train.finetune.ready import Ready, make_ready, read_texts
from harness_train.finetune.recording import (
    notes_of,
    record_of,
    row_of,
    with_counts,
    with_training,
)
from harness_train.finetune.starting import SCHEMES, open_base, resolve_dtype
from harness_train.finetune.training import Plan, Trained, train_cell

if TYPE_CHECKING:
    from pathlib import Path

    from harness.training import FinetuneRequest


class FinetuneJob:
    """Trains every cell of a request. Everything that can be refused is, before the first."""

    def __init__(self, request: FinetuneRequest) -> None:
        """Read checkpoints' headers and the texts.

        Raises UsageError and DataError for whatever cannot be trained.
        """
        self._cells = cells_of(request)
        self._device = resolve_device(request.device)
        self._dtype = resolve_dtype(request.dtype, self._device)
        self._request = replace(request, device=self._device, dtype=self._dtype)
        self._bases = {
            start.name: open_base(start, request.kind, request.max_length)
            for start in request.models
        }
        self._texts = read_texts(request)
        self._counts: dict[tuple[str, str], Counts] = {
            (cell.start.name, cell.method): count_parts(
                self._bases[cell.start.name], cell.method, request, self._texts.labels
            )
            for cell in {(cell.start.name, cell.method): cell for cell in self._cells}.values()
        }

    def estimates(self) -> Sequence[Estimate]:
        """What each cell will cost; the time of a step is measured on its weights."""
        seconds: dict[tuple[str, str], float | None] = {}
        found = []
        for cell in self._cells:
            ready = self._ready(cell)
            one = self._estimate(ready)
            key = (cell.start.name, cell.method)
            if not one.refused:
                if key not in seconds:
                    seconds[key] = seconds_per_text(ready, self._request, self._device, self._dtype)
                each = seconds[key]
                if each is not None:
                    one = replace(one, seconds=each * texts_read(ready, self._request))
            found.append(one)
        return found

    def run(self, tell: Callable[[str], None]) -> Iterator[TrainedModel]:
        """Train what is missing. Raises UsageError where the folder holds another sweep's cells."""
        with saving.prepared(self._request.output):
            for number, cell in enumerate(self._cells, start=1):
                told = _labelled(tell, f"[{number}/{len(self._cells)}] {cell.name}")
                ready = self._ready(cell)
                row = self._done(ready)
                if row is not None:
                    told("done before")
                else:
                    told(f"{ready.samples} examples, {ready.data.train.tokens} tokens an epoch")
                    for note in notes_of(ready.data):
                        told(f"warning: {note}")
                    refuse_memory(self._estimate(ready))
                    row = self._train(ready, told)
                yield row

    def _ready(self, cell: Cell) -> Ready:
        return make_ready(cell, self._bases[cell.start.name], self._texts, self._request)

    def _estimate(self, ready: Ready) -> Estimate:
        counts = self._counts[ready.cell.start.name, ready.cell.method]
        return estimate(ready, counts, self._request, self._device)

    def _done(self, ready: Ready) -> TrainedModel | None:
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

    def _address(self, ready: Ready) -> str:
        place = self._request.output / saving.MODELS / ready.cell.name
        return f"{SCHEMES[self._request.kind]}:{place}"

    def _train(self, ready: Ready, tell: Callable[[str], None]) -> TrainedModel:
        request = self._request
        plan = Plan(
            name=ready.cell.name,
            kind=request.kind,
            seed=ready.cell.seed,
            device=self._device,
            dtype=self._dtype,
            learning_rate=ready.rate,
            steps=ready.steps,
        )
        trainable = self._counts[ready.cell.start.name, ready.cell.method].trainable
        row = row_of(
            ready, request.task, trainable=trainable, device=self._device, dtype=self._dtype
        )
        peak = costs.PeakMemory(self._device)
        model = ready.model(request)
        try:
            with threads_for(ready.base.parameters.total, self._device):
                trained = train_cell(model, ready.data, plan, request, tell)
        except DivergedError as stop:
            tell(f"stopped at step {stop.step}: {stop}")
            why = f"step {stop.step}: {stop}"
            row = replace(row, outcome="diverged", step=stop.step, error=why)
            saving.save_failure(request.output, row, ready.digest)
            return row
        except RuntimeError as error:
            if "out of memory" not in str(error) and "allocate memory" not in str(error):
                raise
            raise ModelError(
                f"'{row.name}' does not fit on {self._device}.\n"
                "Use a smaller --batch-size with --accumulate, or --gradient-checkpointing."
            ) from error
        return self._save(ready, model, with_training(row, trained, peak.read()), trained)

    def _save(self, ready: Ready, model: Any, row: TrainedModel, trained: Trained) -> TrainedModel:
        rows = [replace(row, model=self._address(ready))]

        def write(folder: Path) -> dict[str, Any]:
            with quiet():
                save_plain(model, ready.cell.method, folder)
                ready.tokenizer.save_pretrained(folder)
            rows.append(with_counts(rows[0], folder, ready))
            return record_of(rows[-1], ready, trained)

        saving.save_checkpoint(self._request.output, ready.cell.name, write)
        return rows[-1]


def _labelled(tell: Callable[[str], None], label: str) -> Callable[[str], None]:
    return lambda line: tell(f"{label}: {line}")
