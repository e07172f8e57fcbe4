"""What happens while a model is trained: counts, the best weights so far, when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.training import TrainingPoint
from harness_train.finetune.measuring import MEASURES

if TYPE_CHECKING:
    from harness.types import RequestKind


class DivergedError(Exception):
    """Training must not go on; the message names the step."""

    def __init__(self, reason: str, step: int) -> None:
        """``step`` is the optimiser's."""
        super().__init__(reason)
        self.step = step


@dataclass
class Course:
    """What happens while one model is trained: changed by the trainer and its callbacks."""

    name: str
    tell: Callable[[str], None]
    watch: Callable[[TrainingPoint], None]
    patience: int
    loss: float = 0.0
    """Of the batches since the optimiser's last step, as it takes them: it adds them up."""
    tokens: int = 0
    samples: int = 0
    best: tuple[float, float] | None = None
    best_step: int = 0
    best_tokens: int = 0
    best_samples: int = 0
    waited: int = 0
    lowest_loss: float = math.inf
    scores: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Any] = field(default_factory=dict)


def watch(model: Any, kind: RequestKind, steps: int, course: Course) -> Any:
    """The callback that keeps the best weights, stops early and plans AdaLoRA's ranks."""
    from transformers import TrainerCallback

    measure = MEASURES[kind]

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            allocate = getattr(getattr(model, "base_model", None), "update_and_allocate", None)
            if allocate is not None:
                allocate(state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            course.watch(
                TrainingPoint(
                    model=course.name,
                    step=state.global_step,
                    tokens=course.tokens,
                    values={"train/loss": course.loss},
                )
            )
            course.loss = 0.0

        def on_evaluate(
            self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
        ) -> None:
            if state.global_step == 0:  # the untrained model
                return
            scores = _scores(metrics or {})
            loss = scores.get("loss", math.nan)
            course.watch(
                TrainingPoint(
                    model=course.name,
                    step=state.global_step,
                    tokens=course.tokens,
                    values={f"validation/{name}": value for name, value in scores.items()},
                )
            )
            if not math.isfinite(loss):
                raise DivergedError(f"the validation loss is {loss}", state.global_step)
            rank = measure.rank(scores)
            better = course.best is None or rank > course.best
            # A score may stand still for long, at no entity found, while the loss still falls.
            course.waited = 0 if better or loss < course.lowest_loss else course.waited + 1
            if better:
                course.best = rank
                _keep(model, scores, state.global_step, course)
            if loss < course.lowest_loss:
                course.lowest_loss = loss
            control.should_training_stop = 0 < course.patience <= course.waited
            shown = f"{measure.name} {scores.get(measure.name, math.nan):.4g}"
            course.tell(f"epoch {state.epoch:.0f}, step {state.global_step}/{steps}: {shown}")
            if control.should_training_stop and state.global_step < steps:
                course.tell(
                    f"stopped early, no better for {course.waited} epochs: the weights of step "
                    f"{course.best_step} are kept"
                )

    return Watch()


def _scores(found: Mapping[str, Any]) -> dict[str, float]:
    """The scores among what ``Trainer`` reports, which are timings besides."""
    named = ("loss", "entity_f1", "macro_f1", "acc")
    return {key: float(found[f"eval_{key}"]) for key in named if f"eval_{key}" in found}


def _keep(model: Any, scores: dict[str, float], step: int, course: Course) -> None:
    course.best_step = step
    course.best_tokens, course.best_samples = course.tokens, course.samples
    course.scores = scores
    course.weights = {
        name: weight.detach().to("cpu", copy=True)
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }


def restore(model: Any, weights: Mapping[str, Any]) -> None:
    """Put weights back that were kept, by their names."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in weights:
                weight.copy_(weights[name])
