"""The nouns of training: what is asked of a trainer, and what it hands back.

A plugin yields a :class:`TrainerSpec`; the spec builds a :class:`TrainingJob` from a request; the
job says beforehand what it will cost (``estimates``) and then trains model by model (``run``).
Every finished model is an ordinary checkpoint folder that ``--models`` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias

from harness.types import RequestKind, Task

TrainerName: TypeAlias = Literal["finetune", "pretrain"]
Method: TypeAlias = Literal["full", "lora", "adalora", "adapter", "prefix", "head"]
Outcome: TypeAlias = Literal["complete", "diverged", "failed"]


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Start:
    """A checkpoint to start from: its folder, what it is called and the family it belongs to.

    A ``folder`` that is not there may be an id of the hub, to be fetched.
    """

    folder: Path
    name: str
    family: str


@dataclass(frozen=True, kw_only=True)
class TrainingPoint:
    """Where a training stands: ``values`` by name (losses in nats, scores), after ``step``."""

    model: str
    step: int
    tokens: int
    values: Mapping[str, float]


Watch: TypeAlias = Callable[[TrainingPoint], None]


def unwatched(point: TrainingPoint) -> None:
    """Nobody looks."""


@dataclass(frozen=True, kw_only=True)
class FinetuneRequest:
    """Every model × method × share × seed is one cell of the sweep.

    models
        the checkpoints to start from
    kind
        what the finished models will be asked: ``tag``, ``classify`` or ``generate``
    train, validation
        tasks over the labelled texts; their requests and right answers are the examples.
        Without ``validation`` a tenth of the training texts is kept back for it.
    test
        a task whose labels must be known from ``train``; it is not trained on
    task
        what the task is called in names and records
    shares
        parts of the training texts in (0, 1]; a smaller share lies within a larger one
    seeds
        of the draw of the share, the head's first weights and the order of examples
    batch_size, accumulate
        texts per step of the device, and such steps per step of the optimiser
    watch
        is told of the loss of every step, and of every evaluation
    patience
        epochs without a better validation score or loss before training stops; 0: never
    """

    models: tuple[Start, ...]
    kind: RequestKind
    task: str
    train: Task
    output: Path
    validation: Task | None = None
    test: Task | None = None
    methods: tuple[Method, ...] = ("full",)
    shares: tuple[float, ...] = (1.0,)
    seeds: tuple[int, ...] = (0,)
    epochs: int = 10
    learning_rate: float | None = None
    warmup: float = 0.1
    weight_decay: float = 0.01
    batch_size: int = 16
    accumulate: int = 1
    patience: int = 3
    max_length: int | None = None
    class_weights: bool = False
    gradient_checkpointing: bool = False
    device: str = "auto"
    dtype: str = "auto"
    watch: Watch = unwatched


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one cell will cost, before it starts.

    ``parameters`` and ``trainable`` are counts, ``samples`` and ``tokens`` what it will see in all
    epochs, ``flops`` floating-point operations, ``seconds`` wall time, ``memory`` and ``available``
    bytes of the device (``None``: not known). ``done``: it is finished already. ``refused``: why
    it cannot run, else empty.
    """

    name: str
    parameters: int
    trainable: int
    samples: int
    tokens: int
    flops: float
    seconds: float | None
    memory: int
    available: int | None = None
    done: bool = False
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """One row of a sweep's table.

    ``model`` is what ``--models`` takes (``hf-tagger:DIR``), empty where nothing came out.
    ``samples`` and ``unique_tokens`` are distinct, ``tokens`` (D) counts repeats, ``flops`` is C;
    the last two up to the step whose weights were kept. ``scores`` are on the validation texts.
    ``settings`` say which cell it is (base, method, share, seed, ...). ``error`` says why there is
    no model, or where it diverged.
    """

    name: str
    family: str
    outcome: Outcome
    model: str = ""
    parameters: int = 0
    non_embedding: int = 0
    trainable: int = 0
    samples: int = 0
    unique_tokens: int = 0
    tokens: int = 0
    flops: float = 0.0
    step: int = 0
    seconds: float = 0.0
    peak_bytes: int | None = None
    scores: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    settings: Mapping[str, str] = field(default_factory=_nothing)
    notes: tuple[str, ...] = ()
    error: str = ""


class TrainingJob(Protocol):
    """What a trainer builds from a request. Nothing is trained before :meth:`run`."""

    def estimates(self) -> Sequence[Estimate]:
        """One for each cell, in the order in which they run; what cannot be is ``refused``."""
        ...

    def run(self, tell: Callable[[str], None]) -> Iterator[TrainedModel]:
        """Train what is missing and yield a row per cell, also for those finished earlier.

        ``tell`` takes lines for whoever waits. A finished cell survives whatever comes after it;
        an unfinished one leaves nothing that looks finished.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class TrainerSpec:
    """A trainer as a plugin declares it: ``build`` takes the request of the command of its name."""

    name: TrainerName
    build: Callable[[Any], TrainingJob]
    description: str = ""
