"""The hooks a plugin may implement. Mark implementations with ``harness.hookimpl``.

A plugin is a module or an object that the entry-point group ``harness`` names. Declaring hooks
must be pure and cheap: no file is read, nothing heavy is imported until a spec's ``build`` runs.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from harness.tracking import TrackerSpec
from harness.training import TrainerSpec
from harness.types import CellRecord, ExporterSpec, ImporterSpec, ModelSpec, RunRecord, TaskSpec

PROJECT = "harness"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def harness_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Yield a spec for every model, or scheme of models, that the plugin adds."""


@hookspec
def harness_tasks() -> Iterable[TaskSpec]:  # type: ignore[empty-body]
    """Yield a spec for every task that the plugin adds."""


@hookspec
def harness_importers() -> Iterable[ImporterSpec]:  # type: ignore[empty-body]
    """Yield a spec for every format of results that the plugin reads."""


@hookspec
def harness_exporters() -> Iterable[ExporterSpec]:  # type: ignore[empty-body]
    """Yield a spec for every format that the plugin writes runs in."""


@hookspec
def harness_trainers() -> Iterable[TrainerSpec]:  # type: ignore[empty-body]
    """Yield a spec for ``harness finetune`` or ``harness pretrain``, or both."""


@hookspec
def harness_trackers() -> Iterable[TrackerSpec]:  # type: ignore[empty-body]
    """Yield a spec for every place that ``--track`` can send curves and scores to."""


@hookspec
def harness_laws() -> Iterable[object]:  # type: ignore[empty-body]
    """Yield scaling laws (``harness.laws.Law``) that ``harness fit --law`` then knows by name.

    Called only when a law is asked for, so numpy may be imported inside.
    """


@hookspec
def harness_cell_finished(record: CellRecord) -> None:
    """A cell's record was just saved. What is raised here is reported and ends nothing."""


@hookspec
def harness_run_finished(run: RunRecord) -> None:
    """All cells of a run are done. What is raised here is reported and ends nothing."""
