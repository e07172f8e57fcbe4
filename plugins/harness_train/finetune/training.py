"""One cell, trained by transformers' ``Trainer``: AdamW, warm-up, the best weights kept."""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from harness.training import unwatched
from harness_hf.quiet import quiet
from harness_train.finetune.course import Course, DivergedError, restore, watch
from harness_train.finetune.encoding import IGNORED, collator
from harness_train.finetune.losses import count_learnt, plain_loss, weighted_loss
from harness_train.finetune.measuring import DIVERGED, scores_of

if TYPE_CHECKING:
    from harness.training import FinetuneRequest
    from harness.types import RequestKind
    from harness_train.finetune.encoding import Encoded
    from harness_train.finetune.examples import Example


@dataclass(frozen=True, kw_only=True)
class Data:
    """What one cell learns from and is measured on; ``labels`` in the order of the outputs."""

    train: Encoded
    validation: Encoded
    validation_examples: Sequence[Example]
    labels: Sequence[str]
    pad: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The numbers of one cell's training; ``steps`` are the optimiser's in all epochs."""

    name: str
    kind: RequestKind
    seed: int
    device: str
    dtype: str
    learning_rate: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The weights that were kept are in the model again; counts are up to their step.

    ``spent_tokens`` and ``seconds`` are of the whole training, evaluations included in the latter.
    """

    step: int
    tokens: int
    samples_seen: int
    spent_tokens: int
    seconds: float
    scores: Mapping[str, float]
    first_loss: float
    notes: tuple[str, ...] = ()


def steps_of(rows: int, request: FinetuneRequest) -> int:
    """How many steps the optimiser makes in all epochs over so many rows."""
    batches = math.ceil(rows / request.batch_size)
    return math.ceil(batches / request.accumulate) * request.epochs


def train_cell(
    model: Any, data: Data, plan: Plan, request: FinetuneRequest, tell: Callable[[str], None]
) -> Trained:
    """Train ``model`` in place and leave the best weights in it.

    Raises DivergedError at the first loss that is not finite, and where the validation loss never
    fell below ``DIVERGED`` times the untrained model's.
    """
    course = Course(name=plan.name, tell=tell, watch=request.watch, patience=request.patience)
    started = time.monotonic()
    with quiet(), seeded(plan.seed), tempfile.TemporaryDirectory() as scratch:
        trainer = _trainer(model, data, plan, request, course, scratch)
        first = float(trainer.evaluate()["eval_loss"])
        trainer.train()
    if not course.lowest_loss <= DIVERGED * first:
        raise DivergedError(
            f"the validation loss was {first:.4g} untrained and never below "
            f"{course.lowest_loss:.4g} afterwards",
            plan.steps,
        )
    restore(model, course.weights)
    return Trained(
        step=course.best_step,
        tokens=course.best_tokens,
        samples_seen=course.best_samples,
        spent_tokens=course.tokens,
        seconds=time.monotonic() - started,
        scores=course.scores,
        first_loss=first,
    )


def seconds_per_batch(model: Any, data: Data, plan: Plan, request: FinetuneRequest) -> float | None:
    """Wall time to learn from one batch, by a few that ``Trainer`` takes as in earnest.

    The median, as the first also pays for what happens once; None where the loss is no number
    from the first. ``data`` should hold few rows.
    """
    from transformers import TrainerCallback

    ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            ends.append(time.perf_counter())

    course = Course(name=plan.name, tell=lambda _: None, watch=unwatched, patience=0)
    once = replace(request, epochs=1, accumulate=1)
    with quiet(), seeded(plan.seed), tempfile.TemporaryDirectory() as scratch:
        trainer = _trainer(model, data, plan, once, course, scratch)
        trainer.args.eval_strategy = "no"
        trainer.add_callback(Clock())
        with suppress(DivergedError):
            trainer.train()
    return median(b - a for a, b in pairwise(ends)) if len(ends) > 1 else None


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's, numpy's and torch's generators begin at ``seed`` and are put back afterwards.

    ``Trainer`` and the drawing of a new head use the global ones.
    """
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def _trainer(
    model: Any,
    data: Data,
    plan: Plan,
    request: FinetuneRequest,
    course: Course,
    scratch: str,
) -> Any:
    from transformers import Trainer
    from transformers.trainer_callback import PrinterCallback

    # A causal model foretells each token but the first.
    shifted = plan.kind == "generate" and not getattr(model.config, "is_encoder_decoder", False)

    class CountingTrainer(Trainer):  # type: ignore[misc]
        """Counts what is read, and stops at the first loss that is not a number."""

        # Ours is: few architectures divide by the number they are told, and those that take no
        # notice of it would have the steps of an update count as whole ones.
        loss_is_scaled_for_ga = True

        def get_batch_samples(
            self, epoch_iterator: Any, num_batches: int, device: Any
        ) -> tuple[list[Any], int]:
            batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
            return batches, sum(count_learnt(batch["labels"], shifted) for batch in batches)

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            """The batch's part of the mean over all labels of the batches of an update."""
            if self.compute_loss_func is not None or not model.training:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            part = count_learnt(inputs["labels"], shifted) / max(1, num_items_in_batch)
            return super().compute_loss(model, inputs) * part

        def training_step(
            self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
        ) -> Any:
            loss = super().training_step(model, inputs, num_items_in_batch)
            if not math.isfinite(float(loss)):
                raise DivergedError(f"the loss is {float(loss)}", self.state.global_step + 1)
            course.loss += float(loss)
            course.tokens += _read(inputs, model)
            course.samples += len(inputs["input_ids"])
            return loss

        def evaluate(self, *arguments: Any, **keywords: Any) -> dict[str, float]:
            with plain_loss(model):
                found: dict[str, float] = super().evaluate(*arguments, **keywords)
            return found

    trainer = CountingTrainer(
        model=model,
        args=_arguments(plan, request, scratch),
        train_dataset=list(data.train.rows),
        eval_dataset=list(data.validation.rows),
        data_collator=collator(data.pad),
        compute_metrics=scores_of(
            plan.kind, data.validation_examples, data.validation, data.labels
        ),
        preprocess_logits_for_metrics=_most_probable,
        compute_loss_func=(
            weighted_loss(data.train, len(data.labels)) if request.class_weights else None
        ),
        callbacks=[watch(model, plan.kind, plan.steps, course)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(plan: Plan, request: FinetuneRequest, scratch: str) -> Any:
    from transformers import TrainingArguments

    on_cpu = plan.device == "cpu"
    return TrainingArguments(
        output_dir=scratch,
        per_device_train_batch_size=request.batch_size,
        per_device_eval_batch_size=request.batch_size,
        gradient_accumulation_steps=request.accumulate,
        num_train_epochs=request.epochs,
        learning_rate=plan.learning_rate,
        warmup_steps=math.ceil(request.warmup * plan.steps),
        weight_decay=request.weight_decay,
        optim="adamw_torch",
        lr_scheduler_type="linear",
        bf16=plan.dtype == "bfloat16",
        fp16=plan.dtype == "float16",
        gradient_checkpointing=request.gradient_checkpointing,
        gradient_checkpointing_kwargs=(
            {"use_reentrant": False} if request.gradient_checkpointing else None
        ),
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="no",
        prediction_loss_only=plan.kind == "generate",
        label_names=["labels"],
        remove_unused_columns=False,
        seed=plan.seed,
        use_cpu=on_cpu,
        dataloader_pin_memory=plan.device.startswith("cuda"),
        disable_tqdm=True,
        report_to="none",
    )


def _read(inputs: Mapping[str, Any], model: Any) -> int:
    """Tokens of a batch without padding; for an encoder-decoder the answers', too."""
    tokens = int(inputs["attention_mask"].sum())
    if getattr(model.config, "is_encoder_decoder", False) and inputs["labels"].dim() > 1:
        tokens += int((inputs["labels"] != IGNORED).sum())
    return tokens


def _most_probable(logits: Any, labels: Any) -> Any:
    """Label numbers in place of logits, so that an evaluation keeps little in memory."""
    return (logits[0] if isinstance(logits, tuple) else logits).argmax(dim=-1)
