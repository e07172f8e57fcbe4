"""Trains one size, from wherever an earlier training of it stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.pretraining import TrainingOptions
from harness.training import TrainingPoint, Watch
from harness_train.pretrain.evaluation import HeldOut, losses_of
from harness_train.pretrain.feed import Feed
from harness_train.pretrain.networks import Network, build_network, build_optimisers
from harness_train.pretrain.saving import read_state, saving, write_state
from harness_train.pretrain.schedule import Schedule
from harness_train.pretrain.shapes import Shape, ruled_rate

AVERAGED_FROM = 0.75  # of the steps; a running mean holds nothing older
STATE_SECONDS = 60.0
STATE_SHARE = 0.05  # of the time may go into saving the state
LINES = 100  # of the log, of a whole training
VALIDATIONS = 10


class DivergedError(HarnessError):
    """The loss stopped being a number."""

    exit_code = 4


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A checkpoint: the network holds its weights until the next one is asked for."""

    branch: int
    steps: int
    network: Network
    train_loss: float  # nats, mean over the last twentieth of the steps
    held_out: Mapping[str, Mapping[str, float]]
    seconds: float


@dataclass(kw_only=True)
class Training:
    """One size on its way. ``state`` and ``log`` are files."""

    shape: Shape
    options: TrainingOptions
    schedule: Schedule
    feed: Feed
    held_out: Mapping[str, HeldOut]
    device: torch.device
    state: Path
    log: Path
    watch: Watch
    tell: Callable[[str], None]
    _step: int = 0
    _branch: int = 0
    _seconds: float = 0.0
    _stem: dict[str, Any] | None = None
    _mean: list[Tensor] = field(default_factory=list)
    _saved: tuple[float, float] = (0.0, 0.0)  # when the state was saved last, and how long it took
    _logged: int = 0

    def rates(self) -> tuple[float, float]:
        """Peak rates: given, or by rule."""
        ruled = ruled_rate(self.shape, self.feed.tokens(self.schedule.steps))
        matrices, others = self.shape.rates
        return (matrices or ruled, others or ruled)

    def run(self) -> Iterator[Reached]:
        """Yield the network at every checkpoint; raises DivergedError naming the step."""
        self._network = build_network(self.options, self.shape)
        self._module.to(self.device)
        self._optimisers = build_optimisers(self.options, self._network, self.rates())
        self._losses = torch.zeros(self.schedule.steps)
        self._restore(read_state(self.state))
        self._log_begin()
        started = time.perf_counter()
        before = self._seconds
        self._saved = (started, 0.0)
        try:
            while self._branch < len(self.schedule.ends):
                self._advance(started - before)
                yield self._reached(time.perf_counter() - started + before)
                self._next_branch()
        except KeyboardInterrupt:
            self._seconds = time.perf_counter() - started + before
            self._save()
            raise

    @property
    def _module(self) -> nn.Module:
        assert isinstance(self._network, nn.Module)
        return self._network

    def _advance(self, origin: float) -> None:
        """Train up to the end of the branch."""
        end, last = self.schedule.ends[self._branch], len(self.schedule.ends) - 1
        begin = self.schedule.begin(self._branch)
        while self._step < end:
            if self._step == begin and self._branch < last and self._stem is None:
                self._stem = _copied(self._current())
            self._one_step(end)
            self._step += 1
            every = max(1, self.schedule.steps // LINES)
            if self._step % every == 0 or self._step == end:
                self._check()
                self._log_line(time.perf_counter() - origin)
                now, took = time.perf_counter(), self._saved[1]
                if now - self._saved[0] > max(STATE_SECONDS, took / STATE_SHARE):
                    self._seconds = now - origin
                    self._save()
                    self._saved = (time.perf_counter(), time.perf_counter() - now)

    def _one_step(self, end: int) -> None:
        share = self.schedule.rate(self._step, self._branch)
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * share
        loss = self._network(self.feed.batch(self._step).to(self.device)).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.options.clip:
            nn.utils.clip_grad_norm_(self._module.parameters(), self.options.clip)
        for optimiser in self._optimisers:
            optimiser.step()
        self._module.zero_grad(set_to_none=True)
        self._losses[self._step] = loss.detach()
        self._average(end)

    def _average(self, end: int) -> None:
        if not self.options.average:
            return
        first = math.ceil(max(AVERAGED_FROM, 1 - self.schedule.decay) * end)
        if self._step < first:
            return
        current = [weight.data for weight in self._module.parameters()]
        if self._step == first:
            self._mean = [weight.clone() for weight in current]
            return
        kept = 1 - 1 / max(1.0, self.options.average * end)
        for mean, weight in zip(self._mean, current, strict=True):
            mean.lerp_(weight, 1 - kept)

    def _check(self) -> None:
        done = self._losses[: self._step]
        bad = (~torch.isfinite(done)).nonzero()
        if len(bad):
            step = int(bad[0])
            raise DivergedError(f"the loss is {float(done[step])} at step {step + 1}")

    def _reached(self, seconds: float) -> Reached:
        end = self.schedule.ends[self._branch]
        if self._mean:
            for weight, mean in zip(self._module.parameters(), self._mean, strict=True):
                weight.data.copy_(mean)
        return Reached(
            branch=self._branch,
            steps=end,
            network=self._network,
            train_loss=float(self._losses[max(0, end - max(1, end // 20)) : end].mean()),
            held_out=losses_of(self._network, self.held_out, self.device),
            seconds=seconds,
        )

    def _next_branch(self) -> None:
        self._branch += 1
        if self._stem is not None:
            branch, stem = self._branch, self._stem
            self._stem = None
            self._restore(stem)
            self._branch = branch
        self._mean = []
        if self._branch < len(self.schedule.ends):
            self._save()

    def _current(self) -> dict[str, Any]:
        return {
            "step": self._step,
            "branch": self._branch,
            "seconds": self._seconds,
            "network": self._module.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
            "mean": self._mean,
            "losses": self._losses,
        }

    def _save(self) -> None:
        write_state(self.state, {**self._current(), "stem": self._stem})

    def _restore(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        self._step, self._branch = int(state["step"]), int(state["branch"])
        self._seconds = float(state["seconds"])
        self._module.load_state_dict(state["network"])
        for optimiser, kept in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        self._mean = [mean.to(self.device) for mean in state["mean"]]
        self._losses = state["losses"]
        self._stem = state.get("stem")
        self._logged = self._step

    def _log_begin(self) -> None:
        """Go on with the log of the steps that the state holds, and no others."""
        kept: list[str] = []
        if self._step and self.log.is_file():
            lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if _place(line) <= (self._branch, self._step)]
        with saving(self.log):
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self.log.write_text("".join(kept), encoding="utf-8")

    def _log_line(self, seconds: float) -> None:
        step, end = self._step, self.schedule.ends[self._branch]
        line: dict[str, Any] = {
            "checkpoint": self._branch + 1,
            "step": step,
            "tokens": self.feed.tokens(step),
            "rate": self.schedule.rate(step - 1, self._branch),
            "train_nats_per_token": float(self._losses[min(self._logged, step - 1) : step].mean()),
            "seconds": round(seconds, 2),
        }
        every = max(1, self.schedule.steps // VALIDATIONS)
        if step == end or step // every > (self._logged // every):
            line["held_out"] = losses_of(self._network, self.held_out, self.device)
            self.tell(
                f"{self.shape.name}: step {step}/{end}, loss {line['train_nats_per_token']:.4f}, "
                f"{seconds:.0f} s"
            )
        self._logged = step
        with saving(self.log), self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.watch(_point(self.shape.name, line))


def _point(model: str, line: Mapping[str, Any]) -> TrainingPoint:
    """A line of the log for whoever watches; a branch has a curve of its own."""
    values = {"train_nats_per_token": line["train_nats_per_token"], "rate": line["rate"]}
    for kind, said in line.get("held_out", {}).items():
        values |= {f"{kind}/{name}": value for name, value in said.items()}
    return TrainingPoint(
        model=model,
        step=line["step"],
        tokens=line["tokens"],
        values={f"checkpoint {line['checkpoint']}/{name}": v for name, v in values.items()},
    )


def _place(line: str) -> tuple[int, int]:
    try:
        said = json.loads(line)
        return (int(said["checkpoint"]) - 1, int(said["step"]))
    except (ValueError, KeyError, TypeError):  # a line cut by a kill
        return (1 << 60, 0)


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return value
