"""Trackers for ``--track``: TensorBoard, Weights & Biases, MLflow.

Each lives in a module of its own, which is imported when it is asked for, and its library then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl
from harness.tracking import TrackerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.tracking import Tracker


def _tensorboard(argument: str) -> Tracker:
    from harness_track.tensorboard import TensorBoard

    return TensorBoard(argument)


def _wandb(argument: str) -> Tracker:
    from harness_track.wandb import WeightsAndBiases

    return WeightsAndBiases(argument)


def _mlflow(argument: str) -> Tracker:
    from harness_track.mlflow import MLflow

    return MLflow(argument)


@hookimpl
def harness_trackers() -> Iterator[TrackerSpec]:
    """Declare the trackers."""
    yield TrackerSpec(
        name="tensorboard", open=_tensorboard, argument="DIR", description="TensorBoard event files"
    )
    yield TrackerSpec(
        name="wandb", open=_wandb, argument="PROJECT", description="a Weights & Biases project"
    )
    yield TrackerSpec(
        name="mlflow",
        open=_mlflow,
        argument="URI",
        description="an MLflow server, or a folder as file:DIR",
    )
