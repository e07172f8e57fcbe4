"""``harness pretrain``: the corpus, then every size of the family."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from harness.errors import DataError, UsageError, suggestion
from harness.pretraining import Prepared, PretrainRequest
from harness.training import Estimate, TrainedModel, TrainingPoint
from harness_hf.devices import resolve_device
from harness_hf.threads import threads_for
from harness_train.memory import available_bytes
from harness_train.pretrain.batches import Masking
from harness_train.pretrain.contamination import note_of
from harness_train.pretrain.documents import Document
from harness_train.pretrain.estimates import estimate, memory_of
from harness_train.pretrain.evaluation import HeldOut, held_out_of
from harness_train.pretrain.feed import Feed
from harness_train.pretrain.loop import DivergedError, Training
from harness_train.pretrain.networks import check_network
from harness_train.pretrain.pairs import masked_rows
from harness_train.pretrain.preparation import Text, check_corpus_options, prepare
from harness_train.pretrain.records import Subject, checkpoint_name, record_of, row_of, settings_of
from harness_train.pretrain.rows import Rows, causal_rows, digest
from harness_train.pretrain.saving import (
    RECORD,
    fill_checkpoint,
    is_complete,
    read_json,
    remove_folder,
    write_folder,
    write_json,
)
from harness_train.pretrain.schedule import Schedule, schedule_of
from harness_train.pretrain.shapes import Shape, shapes_of
from harness_train.pretrain.vocabulary import MASKED_SPECIAL, learn_tokenizer, token_id

PLAN, STATE, LOGS = "pretrain.json", ".state", "logs"
_PAIRS = 3  # a stream of random numbers of its own


@dataclass(frozen=True, kw_only=True)
class Material:
    """What the sizes learn from and are judged by."""

    text: Text
    tokenizer: Tokenizer
    rows: Rows
    held_out: Mapping[str, Rows]
    digest: str


class PretrainingJob:
    """See :class:`harness.pretraining.PretrainJob`."""

    def __init__(self, request: PretrainRequest) -> None:
        """Check what can be checked without reading. Raises UsageError."""
        check_corpus_options(request)
        self.request = request
        self.device = torch.device(resolve_device(request.device))
        if request.training.clip < 0 or request.family.context < 8:
            raise UsageError("--clip is at least 0, and --context at least 8 tokens.")
        for shape in shapes_of(request, request.corpus.vocabulary):
            check_network(request.training, shape)
        self._tell: Callable[[str], None] = lambda _: None

    def prepared(self) -> Prepared:
        """Read and clean the corpus, learn the tokenizer, check against the tasks; once."""
        text = self._material.text
        return Prepared(
            steps=text.steps,
            documents=len(text.documents),
            held_out_documents=sum(map(len, text.held_out.values())),
            tokens=self._material.rows.used,
            vocabulary=self._material.tokenizer.get_vocab_size(),
            notes=tuple(self._notes()),
        )

    def checkpoints(self) -> Sequence[int]:
        """Training tokens of every checkpoint of the first size; larger batches round them."""
        training = self._trainings[0]
        return [training.feed.tokens(end) for end in training.schedule.ends]

    def estimates(self) -> Sequence[Estimate]:
        """One for each size; a few steps of each are taken to tell the time."""
        found = []
        for each in self._trainings:
            with threads_for(each.shape.total, self.device.type):
                found.append(estimate(each, done=self._is_done(each)))
        return found

    def run(self, tell: Callable[[str], None]) -> Iterator[TrainedModel]:
        """Train what is missing, the smallest size first; a row for every checkpoint."""
        self._tell = tell
        trainings = self._trainings
        self._refuse_what_does_not_fit()  # first: a refused plan must not claim the folder
        self._refuse_another_plan()
        for training in trainings:
            # One thread for a small size: it is quicker, and sums in the same order everywhere.
            with threads_for(training.shape.total, self.device.type):
                yield from self._size(training)

    def _size(self, training: Training) -> Iterator[TrainedModel]:
        mark = self.request.output / f"{training.shape.name}.diverged.json"
        told = read_json(mark)
        if told is not None:
            self._remove(training)  # what a kill may have left
            yield self._diverged(training, str(told["error"]))
            return
        if self._is_done(training):
            self._tell(f"{training.shape.name}: done before")
            yield from self._finished(training, len(training.schedule.ends))
            return
        subject = Subject(
            request=self.request, text=self._material.text, digest=self._material.digest
        )
        try:
            for number, reached in enumerate(training.run()):
                if number == 0:  # those of an earlier command come first
                    yield from self._finished(training, reached.branch)
                record = record_of(subject, training, reached)
                folder = self.request.output / record["name"]
                self._refuse_useless(training, record)
                if not is_complete(folder):
                    self._write(folder, reached.network.checkpoint(), record)
                self._tell(f"{record['name']}: {_said(record)}")
                yield row_of(read_json(folder / RECORD), f"hf:{folder}")
        except DivergedError as error:
            write_json(mark, {"schema": 1, "name": training.shape.name, "error": str(error)})
            self._remove(training)
            yield self._diverged(training, str(error))
            return
        training.state.unlink(missing_ok=True)

    def _remove(self, training: Training) -> None:
        """A size that diverged leaves no model, of earlier checkpoints neither."""
        training.state.unlink(missing_ok=True)
        for branch in range(len(training.schedule.ends)):
            remove_folder(
                self.request.output / checkpoint_name(training, branch, self.request.mark)
            )

    def _finished(self, training: Training, stop: int) -> Iterator[TrainedModel]:
        """Rows of the checkpoints before ``stop``, from their records."""
        for branch in range(stop):
            folder = self.request.output / checkpoint_name(training, branch, self.request.mark)
            if is_complete(folder):
                yield row_of(read_json(folder / RECORD), f"hf:{folder}")

    def _write(self, folder: Path, checkpoint: Any, record: Mapping[str, Any]) -> None:
        write_folder(
            folder,
            lambda inside: fill_checkpoint(
                inside,
                checkpoint,
                self._material.tokenizer,
                objective=self.request.objective,
                number=self.request.training.saved_dtype,
                record=record,
            ),
        )

    def _refuse_useless(self, training: Training, record: Mapping[str, Any]) -> None:
        """By rule, a model that is worse than guessing every piece alike has diverged."""
        uniform = float(np.log(training.shape.vocabulary))
        worst = max(
            (said["nats_per_token"] for said in record["losses"]["held_out"].values()), default=0.0
        )
        if not worst <= uniform:
            raise DivergedError(
                f"after step {record['steps']} the held-out loss is {worst:.3f} nats a token, and "
                f"guessing gives {uniform:.3f}"
            )

    def _diverged(self, training: Training, error: str) -> TrainedModel:
        shape = training.shape
        self._tell(f"{shape.name}: diverged: {error}; it is left out")
        return TrainedModel(
            name=f"{shape.name}{self.request.mark}",
            family=self.request.family.name,
            outcome="diverged",
            parameters=shape.total,
            non_embedding=shape.non_embedding,
            trainable=shape.total,
            settings=settings_of(
                self.request.objective, shape.name, None, self.request.training.seed
            ),
            error=error,
        )

    def _is_done(self, training: Training) -> bool:
        return all(
            is_complete(self.request.output / checkpoint_name(training, branch, self.request.mark))
            for branch in range(len(training.schedule.ends))
        )

    @cached_property
    def _material(self) -> Material:
        request = self.request
        text = prepare(request, self._tell)
        documents = text.documents
        if request.training.shuffle:
            order = np.random.default_rng(request.training.seed).permutation(len(documents))
            documents = tuple(documents[place] for place in order)
        tokenizer = learn_tokenizer(request.objective, request.corpus, text.documents)
        rows = self._rows(tokenizer, documents, request.training.rows)
        return Material(
            text=text,
            tokenizer=tokenizer,
            rows=rows,
            held_out={
                kind: self._rows(tokenizer, each, None) for kind, each in text.held_out.items()
            },
            digest=digest(rows),
        )

    def _rows(self, tokenizer: Tokenizer, documents: Sequence[Document], most: int | None) -> Rows:
        training, objective = self.request.training, self.request.objective
        length = training.row or self.request.family.context
        if objective == "causal":
            whole = training.packing == "whole"
            return causal_rows(tokenizer, documents, length=length, whole=whole, most=most)
        return masked_rows(
            tokenizer,
            documents,
            length=length,
            pairs=objective == "mlm+nsp",
            generator=np.random.default_rng((training.seed, _PAIRS)),
        )

    @cached_property
    def _trainings(self) -> list[Training]:
        request, material = self.request, self._material
        shapes = shapes_of(request, material.tokenizer.get_vocab_size())
        known = [shape.name for shape in shapes]
        for name in request.only:
            if name not in known:
                raise UsageError(f"There is no size '{name}'. {suggestion(name, known)}")
        chosen = [shape for shape in shapes if not request.only or shape.name in request.only]
        return [self._training(shape, material) for shape in chosen]

    def _training(self, shape: Shape, material: Material) -> Training:
        options, output = self.request.training, self.request.output
        feed = self._feed(material.rows, shape, material.tokenizer)
        if len(material.rows) < shape.batch_rows:
            raise DataError(
                f"The corpus fills {len(material.rows)} rows of {material.rows.tokens.shape[1]} "
                f"tokens, and a batch has {shape.batch_rows}.\n"
                "Give more text, or a smaller --batch-tokens or --context."
            )
        return Training(
            shape=shape,
            options=options,
            schedule=self._schedule(shape, material.rows),
            feed=feed,
            held_out={
                kind: self._held_out(rows, shape, kind) for kind, rows in material.held_out.items()
            },
            device=self.device,
            state=output / STATE / f"{shape.name}.pt",
            log=output / LOGS / f"{shape.name}.jsonl",
            watch=self._watch,
            tell=lambda line: self._tell(line),
        )

    def _watch(self, point: TrainingPoint) -> None:
        """Seeds have curves of their own, called as the model that comes out at their end."""
        self.request.watch(dataclasses.replace(point, model=f"{point.model}{self.request.mark}"))

    def _schedule(self, shape: Shape, rows: Rows) -> Schedule:
        options = self.request.training
        count = options.rows
        if count is None:
            count = len(rows)
            if options.tokens is not None:
                count = round(options.tokens / (rows.used / len(rows)))
        steps = max(1, count // shape.batch_rows)
        return schedule_of(steps, options.checkpoints, options.warmup, options.decay)

    def _held_out(self, rows: Rows, shape: Shape, kind: str) -> HeldOut:
        material = self._material
        feed = dataclasses.replace(self._feed(rows, shape, material.tokenizer), shuffle=False)
        return held_out_of(feed, material.text.held_out[kind], material.tokenizer)

    def _feed(self, rows: Rows, shape: Shape, tokenizer: Tokenizer) -> Feed:
        options = self.request.training
        masking = None
        if shape.objective != "causal":
            masking = Masking(
                mask=token_id(tokenizer, "[MASK]"),
                first=len(MASKED_SPECIAL),
                vocabulary=shape.vocabulary,
            )
        return Feed(
            rows=rows,
            batch_rows=shape.batch_rows,
            seed=options.seed,
            shuffle=options.shuffle,
            whole=options.packing == "whole",
            masking=masking,
        )

    def _refuse_another_plan(self) -> None:
        """A folder holds one training; its finished sizes must not be taken for another's."""
        path = self.request.output / PLAN
        mine = _plan_of(self.request, self._material.digest)
        there = read_json(path)
        if there is None:
            write_json(path, mine)
            return
        for key, value in mine.items():
            if there.get(key) != value:
                raise UsageError(
                    f"'{self.request.output}' holds another training: its {key} is "
                    f"{there.get(key)!r}, and {value!r} is asked for.\n"
                    "Choose another directory with -o, or repeat the first command."
                )

    def _refuse_what_does_not_fit(self) -> None:
        free = available_bytes(str(self.device))
        for training in self._trainings:
            needed = memory_of(training)
            if free is not None and needed > free and not self._is_done(training):
                raise UsageError(
                    f"{training.shape.name} needs about {needed / 1e9:.1f} GB of memory, and "
                    f"{free / 1e9:.1f} GB are free.\n"
                    "Give a smaller --batch-tokens or --max-params."
                )

    def _notes(self) -> Iterator[str]:
        rows, text = self._material.rows, self._material.text
        if text.overlaps:
            yield note_of(text.overlaps, self.request.corpus.ngram)
        if rows.pairs is not None and self.request.objective == "mlm+nsp":
            alone = int((rows.pairs < 0).sum())
            if alone:
                yield (
                    f"{alone} of {len(rows)} rows hold one sentence, which nothing follows; they "
                    "are learnt by masks alone"
                )
        training = self._trainings[0]
        passes = training.schedule.steps * training.shape.batch_rows / len(rows)
        if passes > 1:
            yield f"the text is passed over {passes:.1f} times"


def _plan_of(request: PretrainRequest, data: str) -> dict[str, Any]:
    """What decides the weights, flat, as JSON gives it back."""
    found: dict[str, Any] = {"objective": request.objective, "data_sha256": data}
    found["vocabulary"] = request.corpus.vocabulary
    for part in (request.family, request.training):
        found |= dataclasses.asdict(part)
    found["shapes"] = [list(dataclasses.asdict(one).values()) for one in request.family.shapes]
    for one in found["shapes"]:
        one[:] = [list(value) if isinstance(value, tuple) else value for value in one]
    return found


def _said(record: Mapping[str, Any]) -> str:
    losses = record["losses"]
    held_out = ", ".join(
        f"{kind} {said['nats_per_token']:.4f}" for kind, said in losses["held_out"].items()
    )
    return (
        f"{record['train_tokens']:,} tokens, loss {losses['train_nats_per_token']:.4f}, "
        f"held out {held_out} nats a token, {record['wall_seconds']:.0f} s"
    )
